"""What phones send: packets of 20 ms in a loop, encoded beforehand, so that the generator has time to measure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mixer.codecs import OpusEncoder, make_decoder, make_encoder
from mixer.g711 import DECODE, ENCODE, PCMA, PCMU

PHONE_BITRATE = 32_000
"""Of an Opus phone, bits a second."""


@dataclass(frozen=True)
class Format:
    """How 20 ms of a codec travel as RTP, and at what rate they are heard."""

    name: str
    payload_type: int
    rtpmap: str
    step: int
    """Timestamp units a packet."""
    rate: int
    """Samples a second."""
    widest: int
    """Bytes no payload exceeds."""
    law: int | None = None
    """Row of the G.711 tables."""

    @property
    def frame(self) -> int:
        return self.rate // 50


FORMATS = {
    one.name: one
    for one in (
        Format("PCMU", 0, "PCMU/8000", 160, 8000, 160, PCMU),
        Format("PCMA", 8, "PCMA/8000", 160, 8000, 160, PCMA),
        Format("G722", 9, "G722/8000", 160, 16000, 160),  # its RTP clock is 8000 by a historical mistake (RFC 3551)
        Format("OPUS", 111, "opus/48000/2", 960, 48000, 480),
    )
}


@dataclass(frozen=True)
class Stream:
    """A loop of packets."""

    format: Format
    payloads: tuple[bytes, ...]


def encode(form: Format, pcm: NDArray[np.float32]) -> Stream:
    """``pcm`` float32 in int16 scale at the format's rate; a whole number of frames."""
    frames = pcm.reshape(-1, form.frame)
    if form.law is not None:
        codes = ENCODE[form.law][frames.astype(np.int16).view(np.uint16)]
        return Stream(form, tuple(frame.tobytes() for frame in codes))
    encoder = OpusEncoder(bitrate=PHONE_BITRATE) if form.name == "OPUS" else make_encoder(form.name)
    for frame in frames[-5:]:  # the loop begins where it ends: the encoder should have heard that before
        encoder.encode(frame)
    return Stream(form, tuple(encoder.encode(frame) for frame in frames))


def decode(form: Format, payloads: Sequence[bytes]) -> NDArray[np.float32]:
    """What a listener hears, float32 in int16 scale; an empty payload is a packet that did not come."""
    if form.law is not None:
        frames = [payload if len(payload) == form.frame else b"\xff" * form.frame for payload in payloads]
        return np.asarray(DECODE[form.law][np.frombuffer(b"".join(frames), np.uint8)], np.float32)
    decoder = make_decoder(form.name)
    heard = [decoder.decode(payload) if payload else decoder.conceal() for payload in payloads]
    return np.concatenate([frame[: form.frame] for frame in heard])
