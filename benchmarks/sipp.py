"""Callers played by sipp with the scenario call.xml, each with its own number, media address and direction."""

from __future__ import annotations

import csv
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from benchmarks.ports import free_port
from benchmarks.streams import FORMATS, Format

SCENARIO = Path(__file__).with_name("call.xml")
SETTLE = 40.0
"""Seconds that calls may take beyond rate and pause: longer than any SIP transaction lives (RFC 3261 timer B)."""


@dataclass(frozen=True)
class Caller:
    """One line of sipp's input: who calls which number, and where his media is."""

    dials: str
    number: str
    media: tuple[str, int]
    direction: str = "sendrecv"
    format: Format = FORMATS["PCMU"]

    def line(self) -> str:
        form = self.format
        fields = (self.dials, self.number, *self.media, self.direction, form.payload_type, form.rtpmap)
        return ";".join(map(str, fields))


@dataclass(frozen=True)
class Outcome:
    """What sipp counted."""

    successful: int
    failed: int
    retransmissions: int
    setup_ms: float
    """Mean time from INVITE to 200."""
    errors: str
    """The first of sipp's complaints."""


class Calls:
    """``count`` calls at ``rate`` a second to ``server``, each up for ``pause`` seconds; callers take turns."""

    def __init__(
        self,
        folder: Path,
        server: tuple[str, int],
        callers: Sequence[Caller],
        count: int,
        rate: float,
        pause: float,
        *,
        scenario: Path = SCENARIO,
    ) -> None:
        self.count = count
        self._pause = pause
        self._rate = rate
        self.folder = folder / f"sipp-{time.monotonic_ns()}"
        self.folder.mkdir(parents=True)
        lines = [caller.line() for caller in callers]
        (self.folder / "callers.csv").write_text("\n".join(["SEQUENTIAL", *lines, ""]))
        whole, per = (round(rate), 1000) if rate >= 1 else (1, round(1000 / rate))
        command = [
            "sipp", f"{server[0]}:{server[1]}", "-sf", str(scenario), "-inf", "callers.csv", "-nostdin",
            "-i", "127.0.0.1", "-p", str(free_port()), "-mp", str(free_port()),
            "-m", str(count), "-l", str(count), "-r", str(whole), "-rp", str(per), "-d", str(round(pause * 1000)),
            "-trace_stat", "-stf", "stat.csv", "-fd", "1",
            "-trace_err", "-error_file", "errors.log", "-trace_logs", "-log_file", "answers.log",
        ]  # fmt: skip
        with (self.folder / "screen.log").open("wb") as screen:
            self._process = subprocess.Popen(
                command, cwd=self.folder, stdout=screen, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL
            )

    @property
    def running(self) -> bool:
        return self._process.poll() is None

    def answers(self) -> dict[str, tuple[str, int]]:
        """By caller: where his voice has to go, for the calls answered so far."""
        path = self.folder / "answers.log"
        rows = [line.split() for line in path.read_text().splitlines()] if path.exists() else []
        return {row[0]: (row[1], int(row[2])) for row in rows if len(row) == 3 and row[2].isdigit()}

    def wait(self) -> Outcome:
        """Until all calls are over, or should long be."""
        try:
            self._process.wait(self.count / self._rate + self._pause + SETTLE)
        except subprocess.TimeoutExpired:
            self.stop()
        return self.outcome()

    def outcome(self) -> Outcome:
        path = self.folder / "stat.csv"
        rows = list(csv.DictReader(path.read_text().splitlines(), delimiter=";")) if path.exists() else []
        last = rows[-1] if rows else {}
        successful = int(last.get("SuccessfulCall(C)") or 0)
        errors = self.folder / "errors.log"
        complaint = errors.read_text(errors="replace") if errors.exists() else ""
        if not rows:
            complaint = (self.folder / "screen.log").read_text(errors="replace")
        return Outcome(
            successful=successful,
            failed=self.count - successful,
            retransmissions=int(last.get("Retransmissions(C)") or 0),
            setup_ms=_milliseconds(last.get("ResponseTimesetup(C)") or ""),
            errors=complaint[:600].strip(),
        )

    def stop(self) -> None:
        """End sipp as it is; its calls are left to the server."""
        if self.running:
            self._process.kill()
        self._process.wait()


def _milliseconds(clock: str) -> float:
    """sipp's ``hh:mm:ss:uuuuuu`` in milliseconds; 0 when there is none."""
    parts = clock.replace(".", ":").split(":")
    if len(parts) != 4:
        return 0.0
    hours, minutes, seconds, micros = map(int, parts)
    return ((hours * 60 + minutes) * 60 + seconds) * 1000 + micros / 1000
