"""Who says what in a benchmark, and who hears whom: every talker has a tone, told apart again by a DFT.

With G.711 and G.722 the tone is all a talker says. An Opus encoder would not take it for a voice, so there it goes with
syllables: a hum below the tones and formants above them, rising and falling four times a second.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import FORMATS, Stream, decode, encode

if TYPE_CHECKING:
    from benchmarks.phones import Heard

AMPLITUDE = 2300
"""Of 32768: -26 dBov, the nominal speech level of telephony (ITU-T P.56), which a levelling mixer leaves as it is."""
HEARD = 0.5
"""Part of the sent amplitude from which a tone counts as heard (-6 dB)."""
LEAKED = 0.1
"""Part of the sent amplitude from which a tone that must not be there counts as heard (-20 dB)."""
FAMILIES = 6
"""Rooms side by side have different tones, so that a mix of the wrong room is noticed."""
BURST_HZ = 2600
"""Above all tones, and whole periods in 5 ms."""
BURST_AMPLITUDE = 12000
BURST_SECONDS = 0.04
MIXED = ("OPUS", "G722", "PCMU", "PCMA")
"""Codecs of the seats of a room, in turn."""
CODECS = (*FORMATS, "mixed")
VOICE_SECONDS = 2
"""As long as what is judged, so that it makes no difference where in the loop that begins."""
ROOM_NOISE = 12.0
"""RMS of what an Opus phone sends whose owner is silent, of 32768: -69 dBov."""
JUDGED = 100
"""Legs at most whose mix is decoded and judged when that takes a codec."""
SETTLE_SECONDS = 0.2
"""A decoder that is switched on in the middle of a stream needs a little while."""


@dataclass(frozen=True)
class Seating:
    """``legs`` phones in rooms of ``room`` seats; the first ``talkers`` of each room talk, the others are silent.

    ``burst``: leg 0 says a short burst every second instead of its tone.
    """

    legs: int
    room: int
    talkers: int
    codec: str = "PCMU"
    """One of CODECS."""
    burst: bool = False

    @property
    def rooms(self) -> int:
        return -(-self.legs // self.room)

    def room_of(self) -> NDArray[np.int64]:
        return np.arange(self.legs) // self.room

    def codec_of(self) -> list[str]:
        """[legs] name of the codec."""
        if self.codec == "mixed":
            return [MIXED[leg % self.room % len(MIXED)] for leg in range(self.legs)]
        return [self.codec] * self.legs

    def tone_of(self) -> NDArray[np.int64]:
        """[legs] index of the tone a leg says, -1 for none."""
        seat = np.arange(self.legs) % self.room
        tone = np.where(seat < self.talkers, (self.room_of() % FAMILIES) * self.talkers + seat, -1)
        if self.burst:
            tone[0] = -1
        return tone

    def frequencies(self) -> NDArray[np.int64]:
        """Hz of each tone: whole numbers, so one second loops, and far enough apart for the DFT."""
        return 350 + 97 * np.arange(FAMILIES * self.talkers)

    def streams(self) -> tuple[list[Stream], NDArray[np.int64]]:
        """What is said, and [legs] who says which of it."""
        made: dict[tuple[int, str], int] = {}
        streams: list[Stream] = []
        plays = np.zeros(self.legs, np.int64)
        for leg, (tone, codec) in enumerate(zip(self.tone_of().tolist(), self.codec_of(), strict=True)):
            key = (-2 if self.burst and leg == 0 else tone, codec)
            if key not in made:
                made[key] = len(streams)
                streams.append(encode(FORMATS[codec], self._sound(*key)))
            plays[leg] = made[key]
        return streams, plays

    def _sound(self, tone: int, codec: str) -> NDArray[np.float32]:
        """float32 at the codec's rate: a talker's tone or voice, silence for -1, the burst for -2."""
        rate = FORMATS[codec].rate
        if tone == -2:
            return burst(rate)
        frequencies = self.frequencies()
        if codec == "OPUS":
            above = int(frequencies.max(initial=0))
            return room_noise(rate) if tone < 0 else voice(int(frequencies[tone]), above, rate, phase=tone)
        if tone < 0:
            return np.zeros(rate, np.float32)
        time = np.arange(rate) / rate
        return np.asarray(AMPLITUDE * np.sin(2 * np.pi * frequencies[tone] * time), np.float32)


def voice(tone: int, above: int, rate: int, phase: int) -> NDArray[np.float32]:
    """A talker that a speech encoder takes for one: ``tone`` and syllables around it, none of them at other tones."""
    time = np.arange(VOICE_SECONDS * rate) / rate
    syllables = np.clip(np.sin(2 * np.pi * (2 * time + phase * 0.19)) ** 2 + 0.1 * np.sin(2 * np.pi * time), 0.02, 1)
    hum = [(100, 0.4), (200, 0.5), (300, 0.3)]
    formants = [(hertz, 450 / hertz) for hertz in range(above // 100 * 100 + 200, 6000, 200)]
    wave = 3 * np.sin(2 * np.pi * tone * time)
    for hertz, part in hum + formants:
        wave += part * np.sin(2 * np.pi * hertz * time + hertz)
    wave *= syllables
    return np.asarray(wave * (AMPLITUDE / np.sqrt(2) / np.sqrt((wave**2).mean())), np.float32)


def room_noise(rate: int) -> NDArray[np.float32]:
    """What the microphone of somebody silent hears."""
    noise = np.random.default_rng(7).standard_normal(VOICE_SECONDS * rate)
    smooth = np.convolve(noise, np.ones(12) / 12, "same")
    return np.asarray(smooth * (ROOM_NOISE / smooth.std()), np.float32)


def burst(rate: int) -> NDArray[np.float32]:
    """A second that begins with a burst."""
    time = np.arange(rate) / rate
    sound = np.where(time < BURST_SECONDS, BURST_AMPLITUDE * np.sin(2 * np.pi * BURST_HZ * time), 0)
    return np.asarray(sound, np.float32)


@dataclass(frozen=True)
class Verdict:
    """How many legs hear what they should, of those ``judged``."""

    right: int
    judged: int
    hear_themselves: int
    miss_someone: int
    hear_strangers: int
    level_db: tuple[float, float]
    """Lowest and highest level of a talker as heard, relative to as sent."""


def judge(seating: Seating, heard: Heard, absent: Sequence[int] = ()) -> Verdict:
    """Compare what the legs heard with what they should: of each room if G.711 is all there is, else of some rooms.

    ``absent``: legs that did not get in; nobody hears them, and what they hear does not matter.
    """
    room, tone = seating.room_of(), seating.tone_of()
    legs = np.setdiff1d(_judged(seating), absent)
    level = _heard_levels(seating, heard, legs)
    talks = tone >= 0
    talks[list(absent)] = False
    says = [np.flatnonzero((room == one) & talks) for one in range(seating.rooms)]
    wanted = np.zeros(level.shape, np.bool_)
    own = np.zeros(level.shape, np.bool_)
    for at, leg in enumerate(legs.tolist()):
        wanted[at, tone[says[room[leg]]]] = True
        if tone[leg] >= 0:
            wanted[at, tone[leg]] = False
            own[at, tone[leg]] = True
    itself = (own & (level > LEAKED)).any(axis=1)
    missing = (wanted & (level < HEARD)).any(axis=1)
    strange = (~wanted & ~own & (level > LEAKED)).any(axis=1)
    loudness = 20 * np.log10(np.maximum(level[wanted], 1e-6)) if wanted.any() else np.zeros(1)
    return Verdict(
        right=int((~itself & ~missing & ~strange).sum()),
        judged=len(legs),
        hear_themselves=int(itself.sum()),
        miss_someone=int(missing.sum()),
        hear_strangers=int(strange.sum()),
        level_db=(round(float(loudness.min()), 2), round(float(loudness.max()), 2)),
    )


def _judged(seating: Seating) -> NDArray[np.int64]:
    """Legs to listen to: all, or those of rooms spread evenly, or of one large room some."""
    legs = np.arange(seating.legs)
    if seating.codec in ("PCMU", "PCMA") or seating.legs <= JUDGED:
        return legs
    if seating.room >= JUDGED:
        return np.unique(np.concatenate([legs[: seating.talkers], legs[:: -(-seating.legs // JUDGED)]]))
    every = -(-seating.rooms // (JUDGED // seating.room))
    return np.flatnonzero(seating.room_of() % every == 0)


def _heard_levels(seating: Seating, heard: Heard, legs: NDArray[np.int64]) -> NDArray[np.float64]:
    """[len(legs), tones] amplitude of each tone as heard, relative to as said by its talkers."""
    frequencies, codecs, tone = seating.frequencies(), seating.codec_of(), seating.tone_of()
    said = np.full(len(frequencies), float(AMPLITUDE))
    for one in np.flatnonzero([codecs[leg] == "OPUS" for leg in range(seating.legs)]).tolist():
        if tone[one] >= 0 and said[tone[one]] == AMPLITUDE:
            rate = FORMATS["OPUS"].rate
            sound = voice(int(frequencies[tone[one]]), int(frequencies.max()), rate, phase=int(tone[one]))
            said[tone[one]] = levels(sound[None], rate, frequencies[tone[one] : tone[one] + 1])[0, 0]
    level = np.zeros((len(legs), len(frequencies)))
    for at, leg in enumerate(legs.tolist()):
        form = FORMATS[codecs[leg]]
        pcm = decode(form, heard.payloads(leg))[round(SETTLE_SECONDS * form.rate) :]
        level[at] = levels(pcm[None], form.rate, frequencies)[0]
    return np.asarray(level / said, np.float64)


def levels(pcm: NDArray[np.float32], rate: int, frequencies: NDArray[np.int64]) -> NDArray[np.float64]:
    """[rows, tones] amplitude of each tone in ``pcm`` float32[rows, samples], RMS over windows of 200 ms.

    Short windows: a jitter buffer that moves by a few milliseconds shifts the phase, which would cancel in a long one.
    """
    size = rate // 5
    cut = pcm[:, : pcm.shape[1] // size * size].reshape(len(pcm), -1, size)
    spectrum = cut @ _probe(size, rate, tuple(frequencies.tolist()))
    return np.asarray(np.sqrt((np.abs(spectrum) ** 2).mean(axis=1)), np.float64)


@lru_cache
def _probe(size: int, rate: int, frequencies: tuple[int, ...]) -> NDArray[np.complex64]:
    window = np.hanning(size)
    probe = window[:, None] * np.exp(-2j * np.pi * np.arange(size)[:, None] / rate * np.array(frequencies))
    return np.asarray(probe * (2 / window.sum()), np.complex64)
