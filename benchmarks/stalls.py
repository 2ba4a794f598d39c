"""When was the machine itself held up? A process on each core that only sleeps, and tells when it was woken late.

It has a mixer's priority. Benchmarks put it beside a server to tell a tick that the server made late from one that
nobody could have kept.
``python -m benchmarks.stalls CORE`` is such a process: it prints the time (CLOCK_MONOTONIC) and by how many seconds.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from mixer.datagrams import boost_priority

NAP = 0.005
LATE = 0.007
"""Seconds; a tick counts as late from 10 ms on, and has work of its own to do."""


class Watch:
    """The processes, one a core, until close()."""

    def __init__(self) -> None:
        self._file = tempfile.NamedTemporaryFile("w+", prefix="veche-stalls-", suffix=".txt")  # noqa: SIM115 - closed below
        self._processes = [
            subprocess.Popen([sys.executable, "-P", "-m", "benchmarks.stalls", str(core)], stdout=self._file.fileno())
            for core in sorted(os.sched_getaffinity(0))
        ]

    def stalls(self) -> list[tuple[float, float]]:
        """(when it ended, seconds) of each stall until now, in order."""
        lines = Path(self._file.name).read_text().splitlines()
        return sorted((float(when), float(late)) for when, late in (line.split() for line in lines))

    def close(self) -> None:
        for process in self._processes:
            process.kill()
            process.wait()
        self._file.close()


def main() -> None:
    os.sched_setaffinity(0, {int(sys.argv[1])})
    boost_priority()
    while True:
        begun = time.monotonic()
        time.sleep(NAP)
        now = time.monotonic()
        if now - begun - NAP >= LATE:
            os.write(1, f"{now:.4f} {now - begun - NAP:.4f}\n".encode())


if __name__ == "__main__":
    main()
