"""G.722 and Opus for single legs and shared frames, through PyAV. (G.711 is done in batches: see g711.)

One packet in gives its samples out in the same call, in both directions. Encoder and decoder together delay by 22
samples of 16 kHz (1.4 ms) with G.722, by 312 of 48 kHz (6.5 ms) with Opus. Samples are float32 in int16 scale.

Measured on 2 shared cores, microseconds a 20 ms frame: G.722 decode 24, encode 54; Opus decode 44, encode 75 at
complexity 0, 170 at 5, 235 at 10. PyAV itself takes about 6 of these to decode and 11 to encode.
"""

from __future__ import annotations

from collections import deque
from fractions import Fraction
from typing import Final, Protocol

import av
import numpy as np
from numpy.typing import NDArray

from mixer.conceal import HISTORY_FRAMES, Concealer

OPUS_BITRATE: Final = 48_000
OPUS_COMPLEXITY: Final = 1
"""Of 0 to 10. At 48 kbit/s libopus codes the full band even at 1, in less than half the time it takes at 5: the bits
buy more sound than the search does. At 32 kbit/s it would keep to wide band."""
OPUS_PACKET_LOSS: Final = 10
"""Percent of loss that the in-band forward error correction prepares for (RFC 6716 section 2.1.7)."""
MAX_PAYLOAD: Final = 400
"""Octets no encoded frame reaches."""


class Decoder(Protocol):
    """One leg's voice, packet by packet. Nothing here raises for foreign bytes."""

    rate: int
    frame: int
    """Samples in 20 ms."""
    errors: int
    """Payloads that could not be decoded."""

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        """float32[k], all that the payload holds; concealment of 20 ms when it cannot be decoded."""

    def conceal(self) -> NDArray[np.float32]:
        """float32[frame] in place of a packet that was lost."""


class Encoder(Protocol):
    """One stream of 20 ms frames."""

    rate: int
    frame: int

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        """The payload of ``samples`` float32[frame]; what is beyond int16 is clipped."""


def make_decoder(codec: str) -> Decoder:
    """A decoder for G722 or OPUS. Raises ValueError for other names."""
    if codec == "G722":
        return G722Decoder()
    if codec == "OPUS":
        return OpusDecoder()
    raise ValueError(f"codec: no decoder for {codec!r}")


def make_encoder(codec: str) -> Encoder:
    """An encoder for G722 or OPUS. Raises ValueError for other names."""
    if codec == "G722":
        return G722Encoder()
    if codec == "OPUS":
        return OpusEncoder()
    raise ValueError(f"codec: no encoder for {codec!r}")


class G722Decoder:
    """ITU-T G.722 at 64 kbit/s; losses are concealed by pitch repetition."""

    rate = 16000
    frame = 320

    def __init__(self) -> None:
        self.errors = 0
        self._context = _open_decoder("g722", self.rate)
        self._recent: deque[NDArray[np.float32]] = deque(maxlen=2 * HISTORY_FRAMES)
        self._concealer: Concealer | None = None

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        samples = _decode(self._context, payload)
        if samples is None:
            self.errors += 1
            return self.conceal()
        if self._concealer is not None:
            samples = self._concealer.resume(_ONLY_ROW, samples[None])[0]
            self._concealer = None
        self._recent.append(samples)
        return samples

    def conceal(self) -> NDArray[np.float32]:
        if self._concealer is None:
            self._concealer = Concealer(1, self.rate)
        length = HISTORY_FRAMES * self.frame
        history = np.concatenate((np.zeros(length, np.float32), *self._recent))[-length:]
        samples: NDArray[np.float32] = self._concealer.conceal(_ONLY_ROW, history[None])[0]
        self._recent.append(samples)
        return samples


class OpusDecoder:
    """Opus to 48 kHz mono, whatever the sender's mode, bandwidth, frame length and channels (RFC 6716).

    A loss is concealed by libopus itself: a packet of nothing but a TOC octet tells it that the frame is missing
    (section 3.2.1 allows frames without data, and the reference decoder takes them for lost ones).
    """

    rate = 48000
    frame = 960

    def __init__(self) -> None:
        self.errors = 0
        self._context = _open_decoder("libopus", self.rate)
        self._toc: int | None = None

    def decode(self, payload: bytes) -> NDArray[np.float32]:
        samples = _decode(self._context, payload)
        if samples is None:
            self.errors += 1
            return self.conceal()
        self._toc = payload[0]
        return samples

    def conceal(self) -> NDArray[np.float32]:
        if self._toc is None:
            return np.zeros(self.frame, np.float32)
        samples = _decode(self._context, bytes([_toc_20ms(self._toc)]))
        return np.zeros(self.frame, np.float32) if samples is None else samples


class G722Encoder:
    """ITU-T G.722 at 64 kbit/s: 160 octets a frame."""

    rate = 16000
    frame = 320

    def __init__(self) -> None:
        self._stream = _EncoderStream("g722", self.rate, self.frame, {})

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        return self._stream.encode(samples)


class OpusEncoder:
    """Opus from 48 kHz mono, tuned for speech, with in-band forward error correction."""

    rate = 48000
    frame = 960

    def __init__(
        self,
        bitrate: int = OPUS_BITRATE,
        complexity: int = OPUS_COMPLEXITY,
        packet_loss: int = OPUS_PACKET_LOSS,
    ) -> None:
        """``packet_loss``: percent expected at the far side; FFmpeg lets it be set at the beginning only."""
        options = {
            "application": "voip",
            "frame_duration": "20",
            "vbr": "constrained",
            "compression_level": str(complexity),
            "fec": "1",
            "packet_loss": str(packet_loss),
        }
        self._stream = _EncoderStream("libopus", self.rate, self.frame, options, bitrate)

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        return self._stream.encode(samples)


class _EncoderStream:
    """A PyAV encoder whose one input frame is filled anew each time."""

    def __init__(self, name: str, rate: int, frame: int, options: dict[str, str], bitrate: int | None = None) -> None:
        context = av.CodecContext.create(name, "w")
        assert isinstance(context, av.AudioCodecContext)
        context.sample_rate = rate
        context.layout = "mono"
        context.format = "s16"
        if bitrate is not None:
            context.bit_rate = bitrate
        context.options = options
        context.open()
        self._context = context
        self._input = av.AudioFrame(format="s16", layout="mono", samples=frame)
        self._input.sample_rate = rate
        self._input.time_base = Fraction(1, rate)
        self._input.pts = -frame
        self._samples = np.frombuffer(memoryview(self._input.planes[0]), np.int16)

    def encode(self, samples: NDArray[np.float32]) -> bytes:
        rounded = np.rint(samples)
        np.clip(rounded, -32768, 32767, out=rounded)
        self._samples[:] = rounded
        assert self._input.pts is not None
        self._input.pts += len(samples)
        (packet,) = self._context.encode(self._input)
        return bytes(packet)


_ONLY_ROW: Final = np.zeros(1, np.intp)


def _open_decoder(name: str, rate: int) -> av.AudioCodecContext:
    context = av.CodecContext.create(name, "r")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate = rate
    context.layout = "mono"
    context.open()
    return context


def _decode(context: av.AudioCodecContext, payload: bytes) -> NDArray[np.float32] | None:
    """The payload's samples; None when it is empty (which would end the decoder's stream) or not of this codec."""
    if not payload:
        return None
    try:
        frames = context.decode(av.Packet(payload))
    except av.FFmpegError:
        return None
    if not frames:
        return None
    return np.concatenate([np.frombuffer(memoryview(f.planes[0]), np.int16, f.samples) for f in frames]).astype(
        np.float32
    )


def _toc_20ms(toc: int) -> int:
    """A TOC octet of the same mode, bandwidth and channels for one frame of 20 ms (RFC 6716 section 3.1)."""
    config = toc >> 3
    if config < 12:
        config = config // 4 * 4 + 1
    elif config < 16:
        config |= 1
    else:
        config |= 3
    return config << 3 | toc & 4
