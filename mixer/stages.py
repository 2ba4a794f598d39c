"""Where a tick's time goes: a stop watch that costs nothing worth while it is off."""

from __future__ import annotations

import time


class Stages:
    """Sums the time between successive laps by the name of the stage that ended there."""

    def __init__(self) -> None:
        self.on = False
        self._last = 0.0
        self._sums: dict[str, float] = {}

    def start(self) -> None:
        if self.on:
            self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """The stage ends here."""
        if self.on:
            now = time.perf_counter()
            self._sums[stage] = self._sums.get(stage, 0.0) + now - self._last
            self._last = now

    def collect(self, ticks: int) -> dict[str, float]:
        """Mean microseconds a tick per stage since the last time; empty while off."""
        sums, self._sums = self._sums, {}
        return {stage: total / max(ticks, 1) * 1e6 for stage, total in sums.items()}
