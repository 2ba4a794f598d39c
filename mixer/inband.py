"""Keypad tones in the voice itself (DTMF, ITU-T Q.23), for phones that say their digits in no other way.

Windows of 20 ms, four a tick, are each multiplied by the eight tones of the keypad and by their second harmonics: one
matrix product for all rows. A window shows a digit when two tones, one of each group, hold nearly all of its energy,
are about equally strong, have no second harmonics, and turn at the very frequency they should: how far the phase of a
tone moved between two windows tells its frequency within a few hertz. Enough such windows in a row make a press (Q.24:
tones of 40 ms are found, of 23 ms not; pauses of 40 ms divide, gaps of 10 ms do not).

A tone is to stay out of the mix. Speech is not delayed for that: a frame is kept out as soon as one of its windows
shows a digit, which takes some 14 ms of tone. So of a tone's beginning less than that can be heard, a soft tick;
holding all speech of such a leg back for a frame, so as to look ahead, would cost it 20 ms for ever.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from .table import Columns

LOW: Final = (697, 770, 852, 941)
HIGH: Final = (1209, 1336, 1477, 1633)
KEYS: Final = "123A456B789C*0#D"
"""By place of the low tone times four plus that of the high one."""
RATE: Final = 8000
FRAME: Final = 160
HOP: Final = 40
WINDOW: Final = 160
HOP_MS: Final = 5
LAG: Final = 2
"""Hops between the windows whose phases are compared (10 ms: unambiguous within 50 Hz)."""

LEAST_DBM0: Final = -36.0
"""Of each tone."""
FULL_SCALE_DBM0: Final = 3.14
"""Level of a sine that fills the codec (ITU-T G.711, A-law)."""
NORMAL_TWIST: Final = np.float32(10**0.95)
"""The low tone may be so much stronger in power: 8 dB by Q.24, 1.5 dB for what codecs and windows add."""
REVERSE_TWIST: Final = np.float32(10**0.55)
"""The high tone: 4 dB and 1.5 dB."""
TOLERANCE: Final = np.float32(0.025)
"""Of frequency: 1.5 % and 2 Hz are to be found, 3.5 % is not (Q.24)."""
SHARE: Final = np.float32(0.68)
"""Of the window's energy in the two tones."""
HARMONIC: Final = np.float32(0.1)
"""Power of a second harmonic over that of its tone."""
PRESS_HOPS: Final = 5
"""A press has at least so many windows that show its digit."""
CHANGE_HOPS: Final = 3
"""Windows in a row with another digit end a press though there was no pause."""
GAP_HOPS: Final = 6
"""A press is over after more windows than these without its digit."""
EXTRA_MS: Final = 8
"""A press is longer than from its first window to its last by this: a window shows a digit when 14 of its 20 ms are
tone."""
LATE_HOPS: Final = 2
"""The tone is taken to be present still so many windows after one that showed it."""

Float = NDArray[np.float32]
Complex = NDArray[np.complex64]
Int = NDArray[np.int64]
Bool = NDArray[np.bool_]

_TONES: Final = np.array(LOW + HIGH, np.float64)
_PAST: Final = WINDOW - HOP
_HOPS: Final = FRAME // HOP
_TAPER: Final = np.hanning(WINDOW + 1)[:-1]
_LEAST_POWER: Final = np.float32((32768 * 10 ** ((LEAST_DBM0 - FULL_SCALE_DBM0) / 20)) ** 2)
"""Squared amplitude."""
_QUIET: Final = _LEAST_POWER / 4
"""Mean square of a frame below which there is no tone in it."""
_OFF: Final = (_TONES * TOLERANCE * 2 * np.pi * LAG * HOP / RATE).astype(np.float32)
"""How far a phase may be from where it should be."""


def _bank() -> Float:
    """float32[WINDOW, 32]: cosines and sines of the tones, then of their second harmonics, so that a tone's product has
    its amplitude."""
    time = np.arange(WINDOW) / RATE
    phase = 2 * np.pi * time[:, None] * np.concatenate((_TONES, 2 * _TONES))
    waves = np.stack((np.cos(phase), -np.sin(phase)), axis=2).reshape(WINDOW, -1)
    bank: Float = (waves * _TAPER[:, None] * (2 / _TAPER.sum())).astype(np.float32)
    return bank


_BANK: Final = _bank()
_TURN: Final = np.exp(-2j * np.pi * _TONES * LAG * HOP / RATE).astype(np.complex64)
"""Takes out of a phase difference what the tone itself turned meanwhile."""
_ENERGY: Final = (_TAPER**2 / (_TAPER**2).sum()).astype(np.float32)
_CLEAR: Final = np.abs(2 * np.array(LOW)[:, None] - np.array(HIGH)) > RATE * 2 / WINDOW
"""bool[low, high]: the low tone's second harmonic can be told from the high tone."""
_NONE: Final = -1


class InbandDetector(Columns):
    """Digits in the rows' voices.

    Attributes, one element a row: ``enabled`` bool, to be set for rows whose phones send digits in no other way;
    ``present`` bool: the row's frame of this tick holds a tone.
    """

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.enabled: Bool = self.column(bool)
        self.present: Bool = self.column(bool)
        self._past: Float = self.column(np.float32, _PAST)
        self._quiet: Bool = self.column(bool, fill=True)
        """The frame before was."""
        self._phases: Complex = self.column(np.complex64, LAG, 8)
        """Tones in the windows before."""
        self._digit: Int = self.column(np.int64, fill=_NONE)
        """Of the press that goes on."""
        self._hits: Int = self.column(np.int64)
        self._span: Int = self.column(np.int64)
        """Windows from the press's first to its last."""
        self._missed: Int = self.column(np.int64)
        """Windows since its last."""
        self._other: Int = self.column(np.int64, fill=_NONE)
        self._other_hits: Int = self.column(np.int64)

    def update(self, rows: Int, frames: Float) -> list[tuple[int, str, int]]:
        """Take one tick of distinct ``rows``: ``frames`` float32[len(rows), 160], 8 kHz, int16 scale, before any gain.

        Returns (row, digit, milliseconds) of the presses that are over, each once, some 35 ms after its end. Sets
        ``present`` of the rows.
        """
        self.present[rows] = False
        quiet = np.einsum("ij,ij->i", frames, frames) < _QUIET * FRAME
        busy = ~(quiet & self._quiet[rows]) | (self._digit[rows] >= 0)
        self._quiet[rows] = quiet
        if not busy.all():
            rows, frames = rows[busy], frames[busy]
        if not len(rows):
            return []
        signal = np.concatenate((self._past[rows], frames), axis=1)
        self._past[rows] = signal[:, -_PAST:]
        shown = self._look(rows, signal)
        if not (shown >= 0).any() and not (self._digit[rows] >= 0).any():
            return []
        presses: list[tuple[int, str, int]] = []
        for hop in range(_HOPS):
            presses += self._follow(rows, shown[:, hop])
        self.present[rows] = (shown >= 0).any(axis=1) | (
            (self._missed[rows] <= LATE_HOPS) & (self._hits[rows] >= CHANGE_HOPS) & (self._digit[rows] >= 0)
        )
        return presses

    def _look(self, rows: Int, signal: Float) -> Int:
        """int64[len(rows), _HOPS], place in KEYS of the digit that each window shows, or _NONE."""
        windows = np.lib.stride_tricks.sliding_window_view(signal, WINDOW, axis=1)[:, ::HOP]
        flat = np.ascontiguousarray(windows).reshape(-1, WINDOW)
        spectrum = (flat @ _BANK).view(np.complex64).reshape(len(rows), _HOPS, 16)
        energy = ((flat * flat) @ _ENERGY).reshape(len(rows), _HOPS)
        tones = spectrum[:, :, :8]
        power = _power(spectrum)
        before = np.concatenate((self._phases[rows], tones), axis=1)
        self._phases[rows] = before[:, -LAG:]
        low = power[:, :, :4].argmax(axis=2)
        high = power[:, :, 4:8].argmax(axis=2)
        low_power = _at(power, low)
        high_power = _at(power, high + 4)
        good = (low_power > _LEAST_POWER) & (high_power > _LEAST_POWER)
        good &= (low_power < high_power * NORMAL_TWIST) & (high_power < low_power * REVERSE_TWIST)
        good &= (low_power + high_power) * np.float32(0.5) > energy * SHARE
        if good.any():
            good &= _at(power, high + 12) < high_power * HARMONIC
            good &= (_at(power, low + 8) < low_power * HARMONIC) | ~_CLEAR[low, high]
            off = np.abs(np.angle(tones * before[:, :_HOPS].conj() * _TURN))
            good &= (_at(off, low) < _OFF[low]) & (_at(off, high + 4) < _OFF[high + 4])
        return np.where(good, low * 4 + high, _NONE)

    def _follow(self, rows: Int, shown: Int) -> list[tuple[int, str, int]]:
        """One window further; the presses that it ends."""
        digit = self._digit[rows]
        same = (shown >= 0) & (shown == digit)
        hit = rows[same]
        self._span[hit] += self._missed[hit] + 1
        self._hits[hit] += 1
        self._missed[hit] = 0
        self._missed[rows[~same]] += 1

        other = ~same & (shown >= 0)
        self._other_hits[rows[~other]] = 0
        changing = rows[other]
        again = self._other[changing] == shown[other]
        self._other_hits[changing] = np.where(again, self._other_hits[changing], 0) + 1
        self._other[changing] = shown[other]

        changed = other & ((digit < 0) | (self._other_hits[rows] >= CHANGE_HOPS))
        over = (digit >= 0) & (changed | (self._missed[rows] > GAP_HOPS))
        presses = [
            (int(row), KEYS[self._digit[row]], int(self._span[row]) * HOP_MS + EXTRA_MS)
            for row in rows[over & (self._hits[rows] >= PRESS_HOPS)]
        ]
        self._digit[rows[over]] = _NONE
        begun = rows[changed]
        self._digit[begun] = shown[changed]
        self._hits[begun] = self._span[begun] = self._other_hits[begun]
        self._missed[begun] = self._other_hits[begun] = 0
        return presses


def _power(spectrum: Complex) -> Float:
    return spectrum.real**2 + spectrum.imag**2


def _at(values: Float, place: Int) -> Float:
    """values[..., place]"""
    taken: Float = np.take_along_axis(values, place[:, :, None], axis=2)[:, :, 0]
    return taken
