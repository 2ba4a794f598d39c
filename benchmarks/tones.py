"""Who says what in a benchmark, and who hears whom: every talker has a tone, told apart again by a DFT."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixer.g711 import DECODE, ENCODE, PCMU, SILENCE

AMPLITUDE = 2300
"""Of 32768: -26 dBov, the nominal speech level of telephony (ITU-T P.56), which a levelling mixer leaves as it is."""
HEARD = 0.5
"""Part of the sent amplitude from which a tone counts as heard (-6 dB)."""
LEAKED = 0.1
"""Part of the sent amplitude from which a tone that must not be there counts as heard (-20 dB)."""
FAMILIES = 6
"""Rooms side by side have different tones, so that a mix of the wrong room is noticed."""


@dataclass(frozen=True)
class Seating:
    """``legs`` phones in rooms of ``room`` seats; the first ``talkers`` of each room talk, the others are silent."""

    legs: int
    room: int
    talkers: int

    @property
    def rooms(self) -> int:
        return -(-self.legs // self.room)

    def room_of(self) -> NDArray[np.int64]:
        return np.arange(self.legs) // self.room

    def tone_of(self) -> NDArray[np.int64]:
        """[legs] index of the tone a leg says, -1 for silence."""
        seat = np.arange(self.legs) % self.room
        return np.where(seat < self.talkers, (self.room_of() % FAMILIES) * self.talkers + seat, -1)

    def frequencies(self) -> NDArray[np.int64]:
        """Hz of each tone: whole numbers, so one second loops, and far enough apart for the DFT."""
        return 350 + 97 * np.arange(FAMILIES * self.talkers)

    def sound(self) -> NDArray[np.uint8]:
        """uint8[tones + 1, 8000]: a second of PCMU for each tone; the last is silence."""
        time = np.arange(8000) / 8000
        wave = AMPLITUDE * np.sin(2 * np.pi * self.frequencies()[:, None] * time)
        spoken = ENCODE[PCMU][wave.astype(np.int16).view(np.uint16)]
        return np.concatenate([spoken, np.full((1, 8000), SILENCE[PCMU], np.uint8)])

    def plays(self) -> NDArray[np.int64]:
        """[legs] row of sound()."""
        tone = self.tone_of()
        return np.where(tone < 0, FAMILIES * self.talkers, tone)


@dataclass(frozen=True)
class Verdict:
    """How many legs hear what they should."""

    right: int
    hear_themselves: int
    miss_someone: int
    hear_strangers: int
    level_db: tuple[float, float]
    """Lowest and highest level of a talker as heard, relative to as sent."""


def judge(seating: Seating, audio: NDArray[np.uint8]) -> Verdict:
    """Compare what every leg heard (PCMU uint8[legs, frames, 160]) with what it should."""
    legs = seating.legs
    tone, frequencies = seating.tone_of(), seating.frequencies()
    level = np.concatenate([_levels(audio[at : at + 100], frequencies) for at in range(0, legs, 100)])
    wanted = np.zeros(level.shape, np.bool_)
    room = seating.room_of()
    for one in range(seating.rooms):
        members = np.flatnonzero(room == one)
        wanted[np.ix_(members, tone[members][tone[members] >= 0])] = True
    own = np.zeros(level.shape, np.bool_)
    talks = np.flatnonzero(tone >= 0)
    own[talks, tone[talks]] = True
    wanted &= ~own
    itself = (own & (level > LEAKED)).any(axis=1)
    missing = (wanted & (level < HEARD)).any(axis=1)
    strange = (~wanted & ~own & (level > LEAKED)).any(axis=1)
    heard = 20 * np.log10(np.maximum(level[wanted], 1e-6)) if wanted.any() else np.zeros(1)
    return Verdict(
        right=int((~itself & ~missing & ~strange).sum()),
        hear_themselves=int(itself.sum()),
        miss_someone=int(missing.sum()),
        hear_strangers=int(strange.sum()),
        level_db=(round(float(heard.min()), 2), round(float(heard.max()), 2)),
    )


def _levels(audio: NDArray[np.uint8], frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    """[legs, tones] amplitude of each tone relative to the sent one, RMS over windows of 200 ms.

    Short windows: a jitter buffer that moves by a few milliseconds shifts the phase, which would cancel in a long one.
    """
    size = 1600
    pcm = DECODE[PCMU][audio.reshape(len(audio), -1, size)]
    window = np.hanning(size)
    probe = window[:, None] * np.exp(-2j * np.pi * np.arange(size)[:, None] / 8000 * frequencies)
    spectrum = pcm @ (probe * (2 / window.sum() / AMPLITUDE)).astype(np.complex64)
    return np.asarray(np.sqrt((np.abs(spectrum) ** 2).mean(axis=1)), np.float64)
