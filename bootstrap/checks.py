"""./veche test: every check of the project in order, each with its time, and one tally at the end."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bootstrap import debian, portal, pythonenv
from bootstrap.place import PYTHON, ROOT, WEBUI

NO_TESTS = 5
"""pytest's exit status when nothing was collected or all was deselected."""
OUTCOME = re.compile(r"(\d+) (passed|failed|errors?|skipped|xfailed|xpassed|deselected|warnings?)")
TALLIED = ("failed", "passed", "skipped", "xfailed", "xpassed", "error")


@dataclass
class Checks:
    """Runs steps one after the other and keeps what became of them."""

    failed: list[str] = field(default_factory=list)
    taken: list[tuple[str, str, float]] = field(default_factory=list)
    outcomes: Counter[str] = field(default_factory=Counter)

    def step(
        self, name: str, command: Sequence[str | Path], cwd: Path = ROOT, env: dict[str, str] | None = None
    ) -> None:
        """Run a command that passes with exit status 0."""
        self._begin(name)
        begun = time.monotonic()
        done = subprocess.run(  # noqa: S603 - commands are put together here
            list(map(str, command)), cwd=cwd, env={**os.environ, **(env or {})}, check=False
        )
        self._end(name, done.returncode == 0, begun)

    def pytest(self, name: str, arguments: Sequence[str]) -> None:
        """Run pytest, showing its output and adding its last line up."""
        self._begin(name)
        begun = time.monotonic()
        colour = ["--color=yes"] if sys.stdout.isatty() else []
        command = [str(PYTHON), "-m", "pytest", *colour, *arguments]
        tail = b""
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as run:  # noqa: S603 - as above
            assert run.stdout is not None
            while part := os.read(run.stdout.fileno(), 1 << 16):  # as it comes: a dot is shown when its test is done
                sys.stdout.buffer.write(part)
                sys.stdout.flush()
                tail = (tail + part)[-4096:]
        lines = tail.decode(errors="replace").splitlines()
        last = next((line for line in reversed(lines) if OUTCOME.search(line)), "")
        for count, outcome in OUTCOME.findall(last):
            self.outcomes[outcome.rstrip("s") if outcome.startswith(("error", "warning")) else outcome] += int(count)
        self._end(name, run.returncode in (0, NO_TESTS), begun)

    def summary(self) -> int:
        """Print the table and the tally; the exit status."""
        if not any(self.outcomes[word] for word in TALLIED):
            self.failed.append("no test ran")
        width = max(len(name) for name, _, _ in self.taken)
        lines = ["", *(f"{name:<{width}}  {verdict:<6}  {seconds:6.1f} s" for name, verdict, seconds in self.taken)]
        if self.failed:
            lines += ["", "FAILED: " + ", ".join(self.failed)]
        tally = ", ".join(f"{self.outcomes[word]} {word}" for word in TALLIED if self.outcomes[word]) or "no tests ran"
        total = sum(seconds for _, _, seconds in self.taken)
        sys.stdout.write("\n".join(lines) + f"\n\n{f' {tally} in {total:.2f}s ':=^100}\n")
        sys.stdout.flush()
        return 1 if self.failed else 0

    @staticmethod
    def _begin(name: str) -> None:
        sys.stdout.write(f"\n-- {name}\n")
        sys.stdout.flush()

    def _end(self, name: str, passed: bool, begun: float) -> None:
        self.taken.append((name, "ok" if passed else "FAILED", time.monotonic() - begun))
        if not passed:
            self.failed.append(name)


def run(*, quick: bool, pytest_arguments: Sequence[str]) -> int:
    """Set up what the checks need, run them, return the exit status. Raises SetupError."""
    pythonenv.ensure(dev=True)
    if not quick:
        debian.ensure_programs(debian.TEST_PROGRAMS)
    portal.ensure_built()
    os.chdir(ROOT)
    checks = Checks()
    if pytest_arguments:
        checks.pytest("pytest", [*(["-m", "not peers"] if quick else []), *pytest_arguments])
        return checks.summary()
    checks.step("ruff", [PYTHON, "-m", "ruff", "check", ".", "veche"])
    checks.step("mypy --strict", [PYTHON, "-m", "mypy"])
    portal.ensure_packages()
    for name, script in (("tsc --strict", "typecheck"), ("eslint", "lint"), ("portal tests", "test")):
        checks.step(name, [*portal.npm_command(), "run", "--silent", script], WEBUI, portal.environment())
    checks.pytest("pytest: without peers", ["-q", "-n", "2", "-m", "not peers"])
    if not quick:
        checks.pytest("pytest: with real phones and sockets", ["-q", "-m", "peers"])
    return checks.summary()
