"""Concealment of lost frames by repeating the pitch, after ITU-T G.711 Appendix I, for many rows at once.

What is lost is replaced by the last pitch period, from 10 ms on by the last two and from 20 ms on by the last three
(one alone would sound like a buzzer), fading by 20 % every 10 ms from 10 ms on: silence after 60 ms. The first frame
that arrives again is overlapped with the continuation. Unlike the Appendix this adds no delay: the step between the
last sample played and the repetition is spread over a quarter of a period instead of being overlapped in advance.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

HISTORY_FRAMES: Final = 3
"""Frames of 20 ms that conceal() looks at."""
LONGEST: Final = 3
"""Frames after which nothing is left to hear."""

_PITCH_MS: Final = (2.5, 15.0)
_WINDOW_MS: Final = 20
_COARSE_RATE: Final = 4000
_FINE_RATE: Final = 8000
_CROSSFADE_MS: Final = 2.5
_RESUME_MS: Final = (4.0, 10.0)
"""How much of the overlap of the first good frame each lost 10 ms adds, and its most."""


class Concealer:
    """Concealment at one sample rate; what a row was losing is remembered until resume()."""

    def __init__(self, capacity: int, rate: int) -> None:
        """``rate``: samples a second, a multiple of 8000."""
        self.frame = rate // 50
        self._ms = rate // 1000
        self._coarse = rate // _COARSE_RATE
        self._fine = rate // _FINE_RATE
        self._overlap = int(_RESUME_MS[1] * self._ms)
        self._lost = np.zeros(capacity, np.int32)
        self._period = np.ones(capacity, np.int32)
        self._source = np.zeros((capacity, HISTORY_FRAMES * self.frame), np.float32)
        self._tail = np.zeros((capacity, self._overlap), np.float32)
        reach = np.arange(LONGEST * self.frame + self._overlap, dtype=np.float32)
        self._gain = np.clip(1.2 - reach / np.float32(50 * self._ms), 0, 1).astype(np.float32)

    def reset(self, row: int) -> None:
        """The row has lost nothing."""
        self._lost[row] = 0

    def move(self, src: int, dst: int) -> None:
        """Row ``src`` goes on as row ``dst``; ``src`` has lost nothing afterwards."""
        for column in (self._lost, self._period, self._source, self._tail):
            column[dst] = column[src]
        self._lost[src] = 0

    def conceal(self, rows: NDArray[np.intp], history: NDArray[np.float32]) -> NDArray[np.float32]:
        """float32[n, frame] to play in place of the frame that each of ``rows`` lost now.

        ``history``: float32[n, 3 * frame], what each of them played last, oldest first; it counts at the first loss
        since resume() only.
        """
        out = np.zeros((len(rows), self.frame), np.float32)
        age = self._lost[rows]
        first = np.flatnonzero(age == 0)
        if first.size:
            source = history[first]
            self._source[rows[first]] = source
            self._period[rows[first]] = self._pitch(source)
        for lost in range(LONGEST):
            group = first if lost == 0 else np.flatnonzero(age == lost)
            if group.size:
                played = self._extend(rows[group], lost * self.frame)
                out[group] = played[:, : self.frame]
                self._tail[rows[group]] = played[:, self.frame :]
        self._lost[rows] = age + 1
        return out

    def resume(self, rows: NDArray[np.intp], frames: NDArray[np.float32]) -> NDArray[np.float32]:
        """``frames`` float32[n, k], the first received since the loss, overlapped with what was played instead.

        Rows that have lost nothing get their frames as they are.
        """
        width = min(self._overlap, frames.shape[1])
        lost = self._lost[rows]
        per_loss, most = _RESUME_MS
        length = self._period[rows] / 4 + (2 * lost - 1) * per_loss * self._ms
        length = np.where(lost > 0, np.minimum(length, most * self._ms), 1e-9).astype(np.float32)
        rise = np.arange(1, width + 1, dtype=np.float32) / length[:, None]
        np.minimum(rise, 1, out=rise)
        out = frames.copy()
        out[:, :width] *= rise
        out[:, :width] += self._tail[rows, :width] * (1 - rise)
        self._lost[rows] = 0
        return out

    def _extend(self, rows: NDArray[np.intp], begin: int) -> NDArray[np.float32]:
        """float32[n, frame + overlap] from ``begin`` samples after the loss began."""
        source, period = self._source[rows], self._period[rows]
        end = begin + self.frame + self._overlap
        fade = int(_CROSSFADE_MS * self._ms)
        out = np.zeros((len(rows), end - begin), np.float32)
        edges = (0, 10 * self._ms, 20 * self._ms, end)
        for periods in (1, 2, 3):
            low, high = edges[periods - 1], edges[periods]
            at = np.arange(max(begin, low), min(end, high + fade))
            if not at.size:
                continue
            weight = self._gain[at].copy()
            if periods > 1:
                weight *= np.clip((at - low + 1) / (fade + 1), 0, 1)
            if periods < 3:
                weight *= np.clip((high + fade - at) / (fade + 1), 0, 1)
            out[:, at[0] - begin : at[-1] + 1 - begin] += weight * _repeat(source, period, periods, at)
        if begin == 0:
            # The repetition begins as if the sample one period ago had just been played: spread the difference.
            last = source.shape[1] - 1
            step = source[:, last] - source[np.arange(len(rows)), last - period]
            quarter = period[:, None] // 4 + 1
            head = np.arange(1, int(_PITCH_MS[1] * self._ms) // 4 + 2)
            out[:, : len(head)] += step[:, None] * np.maximum(1 - head / quarter, 0)
        return out

    def _pitch(self, source: NDArray[np.float32]) -> NDArray[np.int32]:
        """int32[n], samples of the period at the end of each row: coarse at 4 kHz, then at the full rate around it."""
        every = self._coarse
        thin = source.reshape(len(source), -1, every).mean(axis=2)
        lags = np.arange(int(_PITCH_MS[0] * _COARSE_RATE / 1000), int(_PITCH_MS[1] * _COARSE_RATE / 1000) + 1)
        window = _WINDOW_MS * _COARSE_RATE // 1000
        starts = thin.shape[1] - window - lags
        lagged = np.lib.stride_tricks.sliding_window_view(thin, window, axis=1)[:, starts]
        coarse = lags[_best(lagged, thin[:, -window:])] * every

        offsets = np.arange(-every, every + 1)
        shortest, longest = (int(limit * self._ms) for limit in _PITCH_MS)
        candidates = np.clip(coarse[:, None] + offsets, shortest, longest)
        at = np.arange(source.shape[1] - _WINDOW_MS * self._ms, source.shape[1], self._fine)
        index = at - candidates[:, :, None]
        index += (np.arange(len(source)) * source.shape[1])[:, None, None]
        choice = _best(source.ravel()[index], source[:, at])
        period: NDArray[np.int32] = candidates[np.arange(len(source)), choice].astype(np.int32)
        return period


def _best(lagged: NDArray[np.float32], target: NDArray[np.float32]) -> NDArray[np.intp]:
    """Which of lagged[n, lags, window] is most like target[n, window], by normalised correlation."""
    product = np.einsum("nlw,nw->nl", lagged, target)
    energy = np.einsum("nlw,nlw->nl", lagged, lagged)
    best: NDArray[np.intp] = (product / np.sqrt(energy + 1)).argmax(axis=1)
    return best


def _repeat(
    source: NDArray[np.float32], period: NDArray[np.int32], periods: int, at: NDArray[np.intp]
) -> NDArray[np.float32]:
    """float32[n, len(at)]: the last ``periods`` periods of each row for ever, the seams overlapped by a quarter."""
    length = (periods * period)[:, None]
    quarter = period[:, None] // 4 + 1
    place = at.astype(np.int32) % length
    index = place + (source.shape[1] - length)
    index += (np.arange(len(source), dtype=np.int32) * source.shape[1])[:, None]
    seam = np.maximum((place - (length - quarter)) / quarter.astype(np.float32), 0, dtype=np.float32)
    flat = source.ravel()
    repeated: NDArray[np.float32] = flat[index]
    repeated += seam * (flat[np.maximum(index - length, 0)] - repeated)
    return repeated
