"""./veche bench mix: how many legs, how well, at what cost beside the kernel's own.

For each load, phones in this process talk over real UDP to the server. Every leg must get its frames, hear the talkers
of its room and nobody else, itself included. Right afterwards the same phones exchange the same packets with a process
that only receives and sends them: that is the kernel's floor of the same run. CPU is the median of several runs.

  ./veche bench mix                              an idle server, then 100, 400 and 800 legs in rooms of ten
  ./veche bench mix --engine --stages            the same on a mixer process alone, and where the time goes
  ./veche bench mix --codec OPUS                 200 Opus phones in rooms of twenty, three talking
  ./veche bench mix --series one-core            2,000 legs in 200 conferences, one mixer process
  ./veche bench mix --series talkers,rooms       cost against talkers, then against the size of conferences
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from benchmarks import usage
from benchmarks.called import CalledServer
from benchmarks.engine import Engine
from benchmarks.measure import Idle, Result, Target, Timing, measure, measure_idle
from benchmarks.results import save
from benchmarks.server import ServerError
from benchmarks.tones import CODECS, Seating

SHARE = 0.995
RATIO = 2.0
RATIO_FROM = 800
"""Legs from which the ratio to the floor is a criterion: below, what a tick costs whatever its size weighs too much."""
NARROW = ("PCMU", "PCMA")
NARROW_US = 20.0
NARROW_FROM = 100
OPUS_US = 60.0
OPUS_TALKING = 0.15
"""The Opus criterion is for three talkers among twenty: each has to be decoded, and hears a mix of his own."""
GAP_MS = 60.0
GAP_FROM = 2000
CROWD = 1.15
"""A crowd in one conference may cost a leg so many times what it costs in conferences of ten."""
IDLE = 0.02
IDLE_SETTLE = 5.0
"""Seconds until a server that has just come up is idle."""


@dataclass(frozen=True)
class Load:
    """What is put on a server. ``mixers`` processes; 0 for one a core."""

    legs: int
    room: int = 10
    talkers: int = 2
    codec: str = "PCMU"
    mixers: int = 0

    def seating(self) -> Seating:
        return Seating(self.legs, self.room, self.talkers, self.codec)


SERIES = {
    "legs": [Load(legs) for legs in (100, 400, 800)],
    "talkers": [Load(400, talkers=talkers) for talkers in (1, 2, 4, 8)],
    "rooms": [Load(400, room=room) for room in (4, 10, 40, 400)],
    "codecs": [Load(200, room=20, talkers=3, codec=codec) for codec in CODECS],
    "crowd": [Load(1000), Load(1000, room=1000, talkers=3)],
    "one-core": [Load(2000, mixers=1)],
}


def complaints(result: Result, beside: Result | None = None) -> list[str]:
    """The criteria that are not met, in words. ``beside``: as many legs in conferences of ten."""
    found = []
    if result.refused_calls:
        found.append(f"{result.refused_calls} calls did not come about")
    if result.share_min < SHARE:
        found.append(f"the worst leg got {result.share_min:.2%} of its frames (at least {SHARE:.1%})")
    for count, words in (
        (result.verdict.hear_themselves, "hear themselves"),
        (result.verdict.miss_someone, "do not hear a talker of their room"),
        (result.verdict.hear_strangers, "hear another room"),
    ):
        if count:
            found.append(f"{count} legs {words}")
    if result.codec in NARROW and result.legs >= RATIO_FROM and result.ratio > RATIO:
        found.append(f"{result.ratio:.2f} times the kernel's floor (at most {RATIO})")
    if result.codec in NARROW and result.legs >= NARROW_FROM and result.cpu_us > NARROW_US:
        found.append(f"{result.cpu_us:.1f} us a leg and tick (at most {NARROW_US:.0f} from {NARROW_FROM} legs on)")
    if result.codec == "OPUS" and result.talkers <= OPUS_TALKING * result.room and result.cpu_us > OPUS_US:
        found.append(f"{result.cpu_us:.1f} us a leg and tick (at most {OPUS_US:.0f} with Opus)")
    if result.legs >= GAP_FROM and result.worst_gap_ms > GAP_MS:
        found.append(f"a gap of {result.worst_gap_ms:.0f} ms (at most {GAP_MS:.0f})")
    if beside and result.cpu_us > CROWD * beside.cpu_us:
        times = result.cpu_us / beside.cpu_us
        found.append(f"a leg costs {times:.2f} times what it does in conferences of ten (at most {CROWD})")
    return found


def idle_complaints(idle: Idle) -> list[str]:
    if idle.mixer_share <= IDLE:
        return []
    return [f"an idle mixer takes {idle.mixer_share:.1%} of a core (at most {IDLE:.0%})"]


HEADINGS = (
    " legs  room  talk  codec     worst  right mixes     gap  CPU us/   floor  ratio    core    tick    tick  memory\n"
    "                            frames                   ms  leg,tick    us             used  ms mean  ms max     MiB"
)


def show(result: Result, wrong: Sequence[str]) -> None:
    """One line of the table, further ones for what needs saying."""
    verdict = result.verdict
    print(
        f"{result.legs:5} {result.room:5} {result.talkers:5}  {result.codec:6}  {result.share_min:8.2%}"
        f"  {verdict.right:5}/{verdict.judged:<4}  {result.worst_gap_ms:6.0f}"
        f"  {result.cpu_us:8.2f} {result.floor_us:6.2f}  {result.ratio:5.2f}  {result.core_share:6.1%}"
        f"  {result.tick_us / 1000:6.2f}  {result.tick_max_us / 1000:6.2f}  {result.memory_mib:6.0f}"
    )
    runs = " ".join(f"{us:.1f}" for us in result.cpu_us_runs)
    low, high = verdict.level_db
    print(
        f"       runs: {runs} us, of it mixing {result.mixing_us:.1f}; talkers heard at {low:+.1f} .. {high:+.1f} dB; "
        f"generator at most {result.generator_late_ms:.0f} ms late"
    )
    for one in result.spoilt:
        print(
            f"       PUT ASIDE and measured again: the generator stood still for {one['late_ms']:.0f} ms; "
            f"worst frames {one['share_min']:.2%}, CPU {one['cpu_us']:.2f} us"
        )
    if result.stages_us:
        stages = "  ".join(f"{stage} {us:.2f}" for stage, us in result.stages_us.items())
        print(f"       us a leg and tick: {stages}")
    for line in result.warnings.splitlines():
        print(f"       the server warned: {line}")
    for complaint in wrong:
        print(f"       NOT MET: {complaint}")
    sys.stdout.flush()


def options(arguments: Sequence[str] | None = None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="./veche bench mix", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--series", help=f"loads set up beforehand, comma-separated: {', '.join(SERIES)}")
    parser.add_argument("--legs", help="numbers of legs, comma-separated (100,400,800; with Opus 200)")
    parser.add_argument("--room", type=int, help="legs a room (10; with Opus 20)")
    parser.add_argument("--talkers", type=int, help="of them talking (2; with Opus 3)")
    parser.add_argument("--codec", choices=CODECS, default="PCMU", help="what the phones speak (%(default)s)")
    parser.add_argument("--mixers", type=int, default=0, help="mixer processes (one a core)")
    parser.add_argument("--engine", action="store_true", help="a mixer process alone, without SIP and control")
    parser.add_argument("--stages", action="store_true", help="with --engine: the cost of each stage of the tick")
    parser.add_argument("--seconds", type=float, default=4, help="of each run (%(default)s)")
    parser.add_argument("--runs", type=int, default=3, help="measured of each load (%(default)s)")
    parser.add_argument("--warm", type=float, default=3, help="seconds before measuring (%(default)s)")
    parser.add_argument("--lanes", type=int, default=8, help="shared media sockets (%(default)s)")
    parser.add_argument("--json", type=Path, help="where to keep the results (benchmarks/results/)")
    chosen = parser.parse_args(arguments)
    if chosen.stages and not chosen.engine:
        parser.error("--stages needs --engine: only a mixer driven directly reports them")
    if chosen.engine and chosen.mixers:
        parser.error("--mixers: --engine is always one mixer")
    for name in (chosen.series or "").split(","):
        if name and name not in SERIES:
            parser.error(f"--series: there is no {name!r}; there are {', '.join(SERIES)}")
    if chosen.series and chosen.json:
        parser.error("--json: each series is kept under its own name")
    return chosen


def loads(chosen: argparse.Namespace) -> dict[str, list[Load]]:
    """What to measure, by the name its results are kept under."""
    if chosen.series:
        return {_name(chosen, name): SERIES[name] for name in chosen.series.split(",")}
    wide = chosen.codec != "PCMU"
    legs, room, talkers = chosen.legs or ("200" if wide else "100,400,800"), 20 if wide else 10, 3 if wide else 2
    one = [
        Load(int(count), chosen.room or room, talkers if chosen.talkers is None else chosen.talkers, chosen.codec)
        for count in legs.split(",")
    ]
    plain = not (wide or chosen.legs or chosen.room or chosen.talkers or chosen.mixers)
    return {_name(chosen, "legs" if plain else "own"): one}


def _name(chosen: argparse.Namespace, series: str) -> str:
    return f"mix-{series}-engine" if chosen.engine else f"mix-{series}"


def open_target(chosen: argparse.Namespace, load: Load, folder: Path) -> Target:
    if chosen.engine:
        return Engine(chosen.lanes, stages=chosen.stages)
    return CalledServer(folder, chosen.lanes, load.room, chosen.mixers or load.mixers)


def main() -> int:
    chosen = options()
    usage.steady()
    wrong = 0
    try:
        for name, series in loads(chosen).items():
            wrong += run(chosen, name, series)
    except (RuntimeError, ServerError) as error:
        print(error)
        return 1
    return int(wrong > 0)


def run(chosen: argparse.Namespace, name: str, series: Sequence[Load]) -> int:
    """Measure a series and keep the results; how many criteria are not met."""
    timing = Timing(chosen.seconds, chosen.runs, chosen.warm)
    found: dict[str, object] = {}
    wrong = 0
    if name.startswith("mix-legs"):
        wrong += _run_idle(chosen, series[0], found)
    print(f"\n{name}\n{HEADINGS}", flush=True)
    results: list[Result] = []
    for load in series:
        with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder:
            target = open_target(chosen, load, Path(folder))
            try:
                result = measure(load.seating(), target, chosen.lanes, timing)
            finally:
                target.close()
        beside = next((r for r in results if name.startswith("mix-crowd") and r.legs == result.legs), None)
        bad = complaints(result, beside)
        wrong += len(bad)
        show(result, bad)
        results.append(result)
    found["loads"] = [result.record() for result in results]
    print(f"kept in {save(name, found, chosen.json)}")
    return wrong


def _run_idle(chosen: argparse.Namespace, load: Load, found: dict[str, object]) -> int:
    with tempfile.TemporaryDirectory(prefix="veche-bench-") as folder:
        target = open_target(chosen, load, Path(folder))
        try:
            idle = measure_idle(target, chosen.seconds * chosen.runs, IDLE_SETTLE)
        finally:
            target.close()
    print(
        f"idle: {idle.core_share:.1%} of a core, the busiest mixer {idle.mixer_share:.1%}, {idle.memory_mib:.0f} MiB"
    )
    bad = idle_complaints(idle)
    for complaint in bad:
        print(f"       NOT MET: {complaint}")
    found["idle"] = asdict(idle)
    return len(bad)


if __name__ == "__main__":
    sys.exit(main())
