"""How a leg sounds, as a number: the E-model of ITU-T G.107 (narrowband) and G.107.1 (wideband), and loss bursts (B33).

All parameters of the model that nobody measures here have the Recommendation's default values. The rating R of a
narrowband codec is at most 93.2, that of a wideband codec at most 129; the two scales are not to be compared, which is
why a MOS comes with its R. Planning figures, not a measurement of an opinion.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

PAUSE_TICKS: Final = 25
"""What is missing for longer (500 ms) was not lost: the far side did not send."""


@dataclass(frozen=True, slots=True)
class Impairment:
    """What a codec costs: ``ie`` its equipment impairment factor, ``bpl`` its packet-loss robustness factor."""

    ie: float
    bpl: float
    wideband: bool


IMPAIRMENTS: Final = {
    # G.113 Appendix I: G.711 with the concealment of its Appendix I, random loss (4.3 without any concealment)
    "PCMU": Impairment(0.0, 25.1, wideband=False),
    "PCMA": Impairment(0.0, 25.1, wideband=False),
    # G.113 Appendix IV gives 13 at 64 kbit/s. It has no Bpl for G.722: assumed to be that of the wideband codecs it
    # lists (G.722.2: 4.3 to 4.9)
    "G722": Impairment(13.0, 4.9, wideband=True),
    # G.113 does not list Opus. Assumed: at the 24 kbit/s and more of a call no worse than G.722.2 at 23.85 kbit/s (8),
    # and a Bpl of 10, as Alahmadi, Pocta and Melvin (2021) found for random loss at 25 to 40 kbit/s
    "OPUS": Impairment(8.0, 10.0, wideband=True),
}

# G.107 table 2, default values
_SLR, _RLR, _STMR, _LSTR, _DS = 8.0, 2.0, 15.0, 18.0, 3.0
_TELR, _WEPL, _QDU = 65.0, 110.0, 1.0
_NC, _NFOR, _PS, _PR = -70.0, -64.0, 35.0, 35.0
_WIDEBAND_RO: Final = 129.0
_WIDEBAND_SCALE: Final = 1.29
_MOST_DELAY_MS: Final = 100.0
"""Delay up to which conversation does not suffer (mT, default of G.107)."""


def mos(codec: str, loss_fraction: float, burst_ratio: float = 1.0, delay_ms: float = 0.0) -> tuple[float, float]:
    """(R, MOS) of a leg's voice as somebody here hears it.

    ``codec``: PCMU, PCMA, G722 or OPUS. ``loss_fraction``: 0..1 of the frames that were not there when they were due.
    ``burst_ratio``: mean length of the losses over that of random ones; below 1 counts as 1. ``delay_ms``: one way,
    mouth to ear. Raises ValueError for an unknown codec or a value out of its range.
    """
    impairment = IMPAIRMENTS.get(codec)
    if impairment is None:
        raise ValueError(f"codec: no impairment known for {codec!r}")
    if not 0 <= loss_fraction <= 1:
        raise ValueError(f"loss_fraction: {loss_fraction} is not between 0 and 1")
    if not (math.isfinite(burst_ratio) and math.isfinite(delay_ms) and delay_ms >= 0):
        raise ValueError(f"burst_ratio, delay_ms: {burst_ratio}, {delay_ms} are no finite positive numbers")
    equipment = effective_impairment(impairment, loss_fraction * 100, max(burst_ratio, 1.0))
    if impairment.wideband:
        # G.107.1: Is,wb and A are 0 by default. The echo of a wideband telephone is taken as cancelled.
        rating = _WIDEBAND_RO - _delay_alone(delay_ms) - equipment
        return rating, opinion(rating / _WIDEBAND_SCALE)
    rating = _narrowband_base() - _delay_with_echo(delay_ms) - equipment
    return rating, opinion(rating)


def opinion(rating: float) -> float:
    """MOS of a rating (G.107 annex B; G.107.1 annex A with R / 1.29), not below 1."""
    if rating <= 0:
        return 1.0
    if rating >= 100:
        return 4.5
    return max(1 + 0.035 * rating + rating * (rating - 60) * (100 - rating) * 7e-6, 1.0)


def effective_impairment(impairment: Impairment, loss_percent: float, burst_ratio: float) -> float:
    """Ie-eff of G.107 section 7.5."""
    if loss_percent <= 0:
        return impairment.ie
    return impairment.ie + (95 - impairment.ie) * loss_percent / (loss_percent / burst_ratio + impairment.bpl)


def _noise() -> float:
    """No, the sum of all noise at the 0 dBr point (G.107 section 7.2), dBm0p."""
    overall = _SLR + _RLR
    sending = _PS - _SLR - _DS - 100 + 0.004 * (_PS - overall - _DS - 14) ** 2
    room = _PR + 10 * math.log10(1 + 10 ** ((10 - _LSTR) / 10))
    receiving = _RLR - 121 + room + 0.008 * (room - 35) ** 2
    return 10 * math.log10(sum(10 ** (level / 10) for level in (_NC, sending, receiving, _NFOR + _RLR)))


def _basic_ratio() -> float:
    """Ro, the basic signal-to-noise ratio (G.107 section 7.2)."""
    return 15 - 1.5 * (_SLR + _noise())


def _narrowband_base() -> float:
    """Ro - Is: what is left when neither delay nor loss nor codec impairs (G.107 sections 7.2 and 7.3)."""
    ratio = _basic_ratio()
    loudness = _SLR + _RLR + 0.2 * (64 + _noise() - _RLR)
    too_loud: float = 20 * ((1 + (loudness / 8) ** 8) ** (1 / 8) - loudness / 8)
    masked = -10 * math.log10(10 ** (-_STMR / 10) + 10 ** (-_TELR / 10))
    sidetone: float = (
        12 * (1 + ((masked - 13) / 6) ** 8) ** (1 / 8)
        - 28 * (1 + ((masked + 1) / 19.4) ** 35) ** (1 / 35)
        - 13 * (1 + ((masked - 3) / 33) ** 13) ** (1 / 13)
        + 29
    )
    quantising = 37 - 15 * math.log10(_QDU)
    grade = 1.07 + 0.258 * quantising + 0.0602 * quantising**2
    distortion = 15 * math.log10(1 + 10 ** ((ratio - 100) / 15 + 46 / 8.4 - grade / 9) + 10 ** (46 / 30 - grade / 40))
    return ratio - too_loud - sidetone - distortion


def _delay_alone(delay_ms: float) -> float:
    """Idd, too long a delay even without echo (G.107 section 7.4)."""
    if delay_ms <= _MOST_DELAY_MS:
        return 0.0
    octaves = math.log2(delay_ms / _MOST_DELAY_MS)
    impairment: float = 25 * ((1 + octaves**6) ** (1 / 6) - 3 * (1 + (octaves / 3) ** 6) ** (1 / 6) + 2)
    return impairment


def _delay_with_echo(delay_ms: float) -> float:
    """Id for T = Ta = Tr / 2: talker echo, listener echo and delay alone (G.107 section 7.4)."""
    noise = _noise()
    half: float
    talker = 0.0
    if delay_ms >= 1:
        masking = 6 * math.exp(-0.3 * delay_ms**2)
        loudness = _TELR - 40 * math.log10((1 + delay_ms / 10) / (1 + delay_ms / 150)) + masking
        half = (-1.5 * (noise - _RLR) - (80 + 2.5 * (loudness - 14))) / 2
        talker = (half + math.sqrt(half**2 + 100) - 1) * (1 - math.exp(-delay_ms))
    half = (_basic_ratio() - 10.5 * (_WEPL + 7) * (2 * delay_ms + 1) ** -0.25) / 2
    listener = half + math.sqrt(half**2 + 169)
    return talker + listener + _delay_alone(delay_ms)


class LossBurst(Columns):
    """How lossy each row is and in what bursts, frame by frame as they are due.

    A row that has not been heard yet, or not for longer than PAUSE_TICKS, loses nothing: it does not send.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.heard: NDArray[np.int64] = self.column(np.int64)
        """Frames that were there."""
        self.lost: NDArray[np.int64] = self.column(np.int64)
        self.bursts: NDArray[np.int64] = self.column(np.int64)
        """Losses, each of one frame or several in a row."""
        self._run: NDArray[np.int64] = self.column(np.int64, fill=PAUSE_TICKS + 1)
        """Frames missing in a row up to now."""
        self._open: NDArray[np.bool_] = self.column(bool, fill=True)
        """The row's last frame was missing."""

    def update(self, count: int, there: NDArray[np.bool_], meant: NDArray[np.bool_]) -> None:
        """Take one tick of rows 0..count-1. ``there``: bool[count], the frame due was there.

        ``meant``: bool[count], what was missing before it was a pause of the sender (silence suppression).
        """
        self.heard[:count] += there
        was_open = self._open[:count]
        gone = np.logical_not(there)
        if was_open.any():
            back = np.flatnonzero(was_open & there)
            if len(back):
                run = self._run[back]
                real = (run <= PAUSE_TICKS) & ~meant[back]
                self.lost[back] += np.where(real, run, 0)
                self.bursts[back] += real
                self._run[back] = 0
        if gone.any():
            self._run[:count] += gone
        was_open[:] = gone

    def loss_fraction(self, rows: Any) -> NDArray[np.float64]:
        """Share of the frames that were lost: float64, one for each of ``rows`` (an index or slice)."""
        lost = self.lost[rows]
        share: NDArray[np.float64] = lost / np.maximum(lost + self.heard[rows], 1)
        return share

    def burst_ratio(self, rows: Any) -> NDArray[np.float64]:
        """BurstR of G.107: mean length of the losses over the mean length that random losses as many would have."""
        bursts = self.bursts[rows]
        ratio: NDArray[np.float64] = self.lost[rows] / np.maximum(bursts, 1) * (1 - self.loss_fraction(rows))
        return np.where(bursts > 0, ratio, 1.0)
