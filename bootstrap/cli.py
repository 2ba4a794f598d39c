"""The command line of ./veche. Asking for help never sets anything up."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

from bootstrap import checks, debian, portal, pythonenv
from bootstrap.place import PYTHON, SERVER_ENVIRONMENT, SetupError, say

ABOUT = """Veche, a telephone operator's conference server.

The first use of a command sets up what it needs in this folder (.venv, webui/dist) and remembers that it did;
Python 3.11 or newer and a network are enough. Every command explains itself: ./veche COMMAND --help"""

RUN_ABOUT = """Start the server.

It is ready within seconds, prints where things are, and stops cleanly on SIGTERM or Ctrl+C.

Settings come from config/veche.toml, then from --config FILE, then from the environment:
VECHE_HTTP__PORT=18080  VECHE_SIP__PORT=15060  VECHE_MEDIA__PORTS=41000-41007  VECHE_DATA__DIR=/var/lib/veche
(any key: VECHE_SECTION__KEY). docs/configuration.md explains each."""

ACCOUNT_ABOUT = """Phone and operator accounts in the data folder, also while the server runs."""

BEARER_ABOUT = """Bearer tokens for the REST API, also while the server runs.

`./veche token create --name N --scope operator` prints the new token as its last line; it is stored hashed."""

TEST_ABOUT = """Run the checks: ruff, mypy --strict, tsc --strict, eslint, the portal's tests, pytest.

Arguments that are not ours go to pytest, and then only pytest runs: ./veche test tests/sip -k transaction"""

BENCH_ABOUT = """Measure the server on this machine.

Each benchmark starts what it needs on free ports of loopback, prints what it found and exits with a status
other than 0 when a criterion is not met. ./veche bench NAME --help lists its options."""

BENCHMARKS = {
    "sip": "calls per second, CPU per call, standing calls and memory, by sipp",
    "mix": "legs, frames on time and CPU per leg and tick, beside the kernel's own cost",
    "peers": "the same load on Veche and on other bridges that are installed: cost, gaps, delay, memory",
    "soak": "hundreds of legs come and go for a long time, mixers are killed: leaks, late ticks, call records",
    "survive": "mixers killed and stopped in the middle of 200 calls: how long it is silent",
}


UNREADY = "All options are listed once this tree is set up (any command without --help does that)."


def main(arguments: Sequence[str]) -> int:
    """Do what the command line says; the exit status."""
    options, rest = _parser().parse_known_args(arguments)
    try:
        return int(options.act(options, rest))
    except SetupError as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        say("interrupted")
        return 130


def _parser() -> argparse.ArgumentParser:
    plain = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(prog="./veche", description=ABOUT, formatter_class=plain)
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    def command(name: str, about: str, usage: str, act: object, *, own_help: bool = True) -> argparse.ArgumentParser:
        made = commands.add_parser(
            name,
            help=about.strip().splitlines()[0],
            description=about,
            usage=f"./veche {name} {usage}",
            formatter_class=plain,
            add_help=own_help,
        )
        made.set_defaults(act=act)
        return made

    for name, about in (("run", RUN_ABOUT), ("account", ACCOUNT_ABOUT), ("token", BEARER_ABOUT)):
        command(name, about, "[options]", _control, own_help=False).set_defaults(name=name, about=about)

    test = command("test", TEST_ABOUT, "[--quick] [pytest arguments]", _test)
    test.add_argument("--quick", action="store_true", help="leave out the tests with real phones and sockets")

    listed = "\n".join(f"  {name:8} {text}" for name, text in BENCHMARKS.items())
    bench = command("bench", f"{BENCH_ABOUT}\n\nbenchmarks:\n{listed}", "NAME [options]", _bench, own_help=False)
    bench.add_argument("benchmark", nargs="?", choices=sorted(BENCHMARKS), metavar="NAME")
    bench.set_defaults(parser=bench)
    return parser


def _asks_help(arguments: Sequence[str]) -> bool:
    return "-h" in arguments or "--help" in arguments


def _replace_process(module: str, arguments: Sequence[str]) -> int:
    """Become the program: signals then reach it directly. -P keeps the folder we were called from out of sys.path."""
    sys.stdout.flush()
    sys.stderr.flush()
    os.execv(PYTHON, [str(PYTHON), "-P", "-m", module, *arguments])  # noqa: S606 - no shell is wanted


def _control(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if _asks_help(rest):
        return _control_help(options, rest)
    pythonenv.ensure()
    if options.name == "run":
        for name, value in SERVER_ENVIRONMENT.items():
            os.environ.setdefault(name, value)
        portal.ensure_built()
    return _replace_process("control.cli", [options.name, *rest])


def _control_help(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if pythonenv.is_ready():
        return _replace_process("control.cli", [options.name, *rest])
    sys.stdout.write(f"usage: ./veche {options.name} ...\n\n{options.about}\n\n{UNREADY}\n")
    return 0


def _test(options: argparse.Namespace, rest: Sequence[str]) -> int:
    return checks.run(quick=options.quick, pytest_arguments=rest)


def _bench(options: argparse.Namespace, rest: Sequence[str]) -> int:
    if options.benchmark is None:
        options.parser.print_help()
        return 0 if _asks_help(rest) else 2
    if not _asks_help(rest):
        pythonenv.ensure(dev=True)
        debian.ensure_programs({"sipp": debian.TEST_PROGRAMS["sipp"]})
    elif not pythonenv.is_ready():
        sys.stdout.write(f"{BENCHMARKS[options.benchmark]}\n\n{UNREADY}\n")
        return 0
    return _replace_process(f"benchmarks.{options.benchmark}", rest)
