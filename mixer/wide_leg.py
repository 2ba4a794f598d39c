"""One wideband leg: the state of its G.722 or Opus decoder, and the streams that it and others like it are sent."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from .codecs import Decoder, make_decoder, make_encoder
from .legs import CODECS, G722, OPUS, RATES
from .playout import UNITS

MAX_PACKETS = 128
"""Opus packets kept for one leg before the stale ones are thrown away."""
PEEK_TICKS = 20
"""A silent Opus leg is decoded so often all the same (400 ms): its packets' word for silence is not all there is."""
PRIMING = {G722: 8, OPUS: 1}
"""Frames with which an encoder is set right when those who hear it heard another before. Measured on tones: without it
the first frame is off by more than the signal with G.722 and clicks with Opus; with one frame Opus goes on without a
click, with 3 G.722 still overshoots by half, with 8 by a tenth (0.4 ms for each who begins to speak)."""
_CELT_ONLY = 16
_20_MS = frozenset((1, 5, 9, 13, 15, 19, 23, 27, 31))
_NAMES = {number: name for name, number in CODECS.items()}

Float = NDArray[np.float32]


def samples_per_tick(rate: int) -> int:
    return rate // 50


def opus_voice(packet: bytes) -> bool:
    """Whether an Opus packet says that it holds voice, or does not say.

    The first bit of a SILK or hybrid frame is its voice activity flag, coded as likely as not and so in the clear
    (RFC 6716 sections 4.1.1 and 4.2.3). CELT has no such flag.
    """
    return len(packet) < 2 or packet[0] >> 3 >= _CELT_ONLY or bool(packet[1] & 0x80)


def opus_single_20ms(packet: bytes) -> bool:
    """One frame of 20 ms, mono or stereo (RFC 6716 section 3.1)."""
    return bool(packet) and packet[0] & 3 == 0 and packet[0] >> 3 in _20_MS


class Stream:
    """What one leg, or several alike, are sent. They hear several streams in turn, and a decoder goes on from the state
    the last one left it in: an encoder that was not heard in the tick before goes through what was, first."""

    def __init__(self, codec: int) -> None:
        self._encoder = make_encoder(_NAMES[codec])
        self._priming = PRIMING[codec]
        self._next = 0

    def encode(self, pcm: Float, tick: int, before: Callable[[int], Float]) -> bytes:
        """``before``: what was heard so many ticks ago."""
        if tick != self._next:
            for back in range(self._priming, 0, -1):
                self._encoder.encode(before(back))
        self._next = tick + 1
        return self._encoder.encode(pcm)


class WideLeg:
    """Codec state of one wideband leg."""

    def __init__(self, codec: int) -> None:
        self.codec = codec
        self.frame = samples_per_tick(int(RATES[codec]))
        self.pcm: Float = np.zeros(self.frame, np.float32)
        self._decoder: Decoder = make_decoder(_NAMES[codec])
        self._sounding = False
        self._stream: Stream | None = None
        self._packets: dict[int, bytes] = {}
        self._rest: Float = np.zeros(0, np.float32)
        self._skipped = b""
        """The newest packet that was not decoded, when the one before the next was not."""
        self._unheard = 0
        self._silent_size = 0.0
        """Bytes of a packet while the leg is silent, as seen of late."""

    def keep(self, unit: int, payload: bytes) -> None:
        """An Opus packet that begins at 5 ms unit ``unit`` of the leg's time line."""
        if len(self._packets) >= MAX_PACKETS:
            newest = max(self._packets)
            self._packets = {u: p for u, p in self._packets.items() if u > newest - MAX_PACKETS}
        self._packets[unit] = payload

    def decode_frame(self, payload: bytes | None) -> None:
        """G.722: the frame's bytes, or None for one that was lost."""
        self._fit(self._decoder.conceal() if payload is None else self._decoder.decode(payload))

    def decode_packets(self, frame: int, there: bool, audible: bool) -> bool:
        """Opus: whatever packets begin in ``frame``; one packet may last for several.

        False when nothing was decoded because the leg, not ``audible`` before, goes on being silent by its packets.
        """
        first = frame * UNITS
        packets = [p for unit in range(first, first + UNITS) if (p := self._packets.pop(unit, None)) is not None]
        if not audible and there and not len(self._rest) and self._stays_silent(packets):
            return False
        if self._skipped:  # the decoder has missed the packets before: one of them sets it right again
            self._decoder.decode(self._skipped)
            self._skipped = b""
        for packet in packets:
            self._rest = np.concatenate((self._rest, self._decoder.decode(packet)))
        if not audible and packets:
            self._silent_size += (max(map(len, packets)) - self._silent_size) * 0.3
        if there and len(self._rest) >= self.frame:
            self.pcm, self._rest = self._rest[: self.frame], self._rest[self.frame :][: 6 * self.frame]
            self._sounding = True
        else:
            self._rest = self._rest[:0]
            self._fit(self._decoder.conceal())
        return True

    def _stays_silent(self, packets: list[bytes]) -> bool:
        """Whether packets need not be decoded: one of 20 ms without voice, no larger than silence has been."""
        if len(packets) != 1 or self._unheard >= PEEK_TICKS:
            self._unheard = 0
            return False
        packet = packets[0]
        if not opus_single_20ms(packet) or opus_voice(packet) or len(packet) > self._silent_size * 1.2 + 3:
            return False
        self._unheard += 1
        self._skipped = packet
        self.silence()
        return True

    def silence(self) -> None:
        """There is nothing to be heard in this tick."""
        if self._sounding:
            self.pcm = np.zeros(self.frame, np.float32)
            self._rest = self._rest[:0]
            self._sounding = False

    @property
    def stream(self) -> Stream:
        """What it alone is sent; made when first needed."""
        if self._stream is None:
            self._stream = Stream(self.codec)
        return self._stream

    def _fit(self, pcm: Float) -> None:
        self._sounding = True
        if len(pcm) == self.frame:
            self.pcm = pcm
        else:
            self.pcm = np.zeros(self.frame, np.float32)
            self.pcm[: len(pcm)] = pcm[: self.frame]
