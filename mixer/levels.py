"""Speech levels and talk detection for all legs of a mixer at once.

Levels are in dBov as RFC 6464 and RFC 6465 have them: 0 is the loudest a codec can carry (a full-scale square wave; a
full-scale sine is -3), -127 is silence or less. One update is one tick of 20 ms.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

SILENCE_DBOV: Final = -127.0
FULL_SCALE_DB: Final = float(20 * np.log10(32768.0))
TICKS_PER_SECOND: Final = 50

ATTACK_TICKS: Final = 2
"""Frames above the threshold in a row before a leg talks: one loud frame is a click."""
HANGOVER_TICKS: Final = 15
"""A leg still talks in pauses this short (300 ms): those between words."""
MARGIN_DB: Final = 9.0
"""Speech is this much louder than the leg's own noise."""
HYSTERESIS_DB: Final = 3.0
"""Who talks already may be this much quieter."""
FLOOR_START_DBOV: Final = -60.0
FLOOR_RANGE_DBOV: Final = (-66.0, -45.0)
"""The noise floor stays in here: digital silence must not make a whisper of line noise into speech, and a sound louder
than -36 dBov counts as talking however long it lasts."""
FLOOR_RISE_DB: Final = 2.0 / TICKS_PER_SECOND
FLOOR_FALL: Final = 0.3
"""Slowly up and quickly down, so that the floor is found in the pauses of speech."""
GATE_MARGIN_DB: Final = 3.0
GATE_TICKS: Final = 10
"""The gate follows the noise floor every so many ticks."""
GAIN_RANGE_DB: Final = (-120.0, 40.0)
"""Beyond it a gain is silence, or nothing but distortion."""
LEVEL_RISE: Final = 0.5
LEVEL_FALL: Final = 0.15


def amplitude(gain_db: float) -> float:
    """Factor of a gain in dB, held within GAIN_RANGE_DB; what is no number is the lowest."""
    lowest, highest = GAIN_RANGE_DB
    return float(10 ** (min(max(lowest, gain_db), highest) / 20))


def dbov(energy: NDArray[np.float32]) -> NDArray[np.float32]:
    """Level in dBov, -127 to 0, of a mean square in int16 scale."""
    level = np.log10(np.maximum(energy, 1e-12, dtype=np.float32))
    level *= 10.0
    level -= FULL_SCALE_DB
    return np.clip(level, SILENCE_DBOV, 0.0, out=level)


class TalkDetector:
    """Who talks, by each row's level against its own noise floor.

    Attributes, one element a row: ``level_dbov`` float32 smoothed level, ``talking`` bool, ``talk_ticks`` int64 ticks
    spent talking since reset.
    """

    def __init__(self, capacity: int) -> None:
        self.level_dbov: NDArray[np.float32] = np.empty(capacity, np.float32)
        self.talking: NDArray[np.bool_] = np.empty(capacity, np.bool_)
        self.talk_ticks: NDArray[np.int64] = np.empty(capacity, np.int64)
        self._floor: NDArray[np.float32] = np.empty(capacity, np.float32)
        self._gate: NDArray[np.float32] = np.empty(capacity, np.float32)
        self._ticks = 0
        self._loud: NDArray[np.int32] = np.empty(capacity, np.int32)
        self._hangover: NDArray[np.int32] = np.empty(capacity, np.int32)
        self._columns: tuple[NDArray[np.generic], ...] = (
            self.level_dbov, self.talking, self.talk_ticks, self._floor, self._gate, self._loud, self._hangover,
        )  # fmt: skip
        self.reset(slice(None))

    def reset(self, row: int | slice) -> None:
        """Make the row (or rows) as new: silent, not talking, nothing counted."""
        self.level_dbov[row] = SILENCE_DBOV
        self.talking[row] = False
        self.talk_ticks[row] = 0
        self._floor[row] = FLOOR_START_DBOV
        self._gate[row] = 0
        self._loud[row] = 0
        self._hangover[row] = 0

    def move(self, src: int, dst: int) -> None:
        """Row ``src`` goes on as row ``dst``; ``src`` is as new afterwards."""
        for column in self._columns:
            column[dst] = column[src]
        self.reset(src)

    def gate(self, n: int, least: np.float32) -> NDArray[np.float32]:
        """Mean square, float32[n], above which a frame is more than the row's noise; never below ``least``."""
        if self._ticks % GATE_TICKS == 0:
            power = np.power(np.float32(10), (self._floor[:n] + np.float32(GATE_MARGIN_DB + FULL_SCALE_DB)) / 10)
            np.maximum(power, least, out=self._gate[:n])
        self._ticks += 1
        return np.maximum(self._gate[:n], least)

    def update(
        self, n: int, energy: NDArray[np.float32], active: NDArray[np.bool_]
    ) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
        """Take one tick of rows 0..n-1; returns the rows that began and those that stopped talking.

        ``energy``: float32[n], mean square of the frame in int16 scale. ``active``: bool[n], the frame is audio that
        was received; the others count as silence and teach nothing about the noise floor.
        """
        level = np.where(active, dbov(energy), np.float32(SILENCE_DBOV))
        smoothed, floor = self.level_dbov[:n], self._floor[:n]
        smoothed += (level - smoothed) * np.where(level > smoothed, np.float32(LEVEL_RISE), np.float32(LEVEL_FALL))

        talking, loud, hangover = self.talking[:n], self._loud[:n], self._hangover[:n]
        above = level > floor + np.where(talking, np.float32(MARGIN_DB - HYSTERESIS_DB), np.float32(MARGIN_DB))
        loud += 1
        loud *= above
        hangover -= 1
        np.putmask(hangover, above, HANGOVER_TICKS)
        now = np.where(talking, hangover > 0, loud >= ATTACK_TICKS)
        started = np.flatnonzero(now & ~talking)
        stopped = np.flatnonzero(talking & ~now)
        talking[:] = now
        self.talk_ticks[:n] += now

        toward = np.minimum((level - floor) * np.float32(FLOOR_FALL), np.float32(FLOOR_RISE_DB))
        toward *= active
        floor += toward
        np.clip(floor, *FLOOR_RANGE_DBOV, out=floor)
        return started, stopped
