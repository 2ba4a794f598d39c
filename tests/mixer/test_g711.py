"""G.711 tables against the Recommendation's own values and against FFmpeg's codec."""

from __future__ import annotations

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.g711 import DECODE, ENCODE, PCMA, PCMU, SILENCE, TRANSCODE

SAMPLES = np.arange(-32768, 32768, dtype=np.int16)


def encode(law: int, samples: NDArray[np.int16]) -> NDArray[np.uint8]:
    codes: NDArray[np.uint8] = ENCODE[law][samples.view(np.uint16)]
    return codes


def g191_mulaw(sample: int) -> int:
    """ITU-T G.191's way of computing a code, one sample at a time."""
    magnitude = min((~sample if sample < 0 else sample) // 4 + 33, 0x1FFF)
    segment = magnitude.bit_length() - 5
    step = (magnitude >> segment) & 15
    return (0x80 if sample >= 0 else 0) | (8 - segment) << 4 | (15 - step)


def g191_alaw(sample: int) -> int:
    magnitude = (~sample if sample < 0 else sample) >> 4
    exponent = max(magnitude.bit_length() - 5, 0)
    code = (exponent + 1) << 4 | (magnitude >> exponent) & 15 if magnitude > 15 else magnitude
    return (code | (0x80 if sample >= 0 else 0)) ^ 0x55


@pytest.mark.parametrize(("law", "codec"), [(PCMU, "pcm_mulaw"), (PCMA, "pcm_alaw")])
def test_every_code_decodes_as_ffmpeg_does(law: int, codec: str) -> None:
    decoder = av.CodecContext.create(codec, "r")
    assert isinstance(decoder, av.AudioCodecContext)
    decoder.sample_rate = 8000
    decoder.layout = "mono"
    (frame,) = decoder.decode(av.Packet(bytes(range(256))))
    assert np.array_equal(frame.to_ndarray()[0], DECODE[law])


@pytest.mark.parametrize(("law", "reference"), [(PCMU, g191_mulaw), (PCMA, g191_alaw)])
def test_every_sample_encodes_as_the_itu_reference_does(law: int, reference: object) -> None:
    assert callable(reference)
    assert encode(law, SAMPLES).tolist() == [reference(s) for s in SAMPLES.tolist()]


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_a_code_survives_decoding_and_encoding(law: int) -> None:
    again = encode(law, DECODE[law].astype(np.int16))
    expected = np.arange(256, dtype=np.uint8)
    if law == PCMU:
        expected[0x7F] = 0xFF  # negative zero
    assert np.array_equal(again, expected)


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_encoding_errs_by_at_most_half_a_step(law: int) -> None:
    inside = np.abs(SAMPLES.astype(np.int32)) < (32124 if law == PCMU else 32256)
    error = np.abs(DECODE[law][encode(law, SAMPLES)] - SAMPLES)[inside]
    # A step is 1/16 of the beginning of its segment, which mu-law puts 132 lower; negative values lie one lower too.
    assert np.all(error <= np.maximum((np.abs(SAMPLES[inside].astype(np.float32)) + 132) / 32 + 1, 9))


def test_the_digital_milliwatt_decodes_to_its_known_samples() -> None:
    # ITU-T G.711 tables 5 and 6: a 1 kHz tone of 0 dBm0.
    milliwatt = {PCMU: "1e0b0b1e9e8b8b9e", PCMA: "342121 34b4a1a1b4"}
    for law, codes in milliwatt.items():
        wave = DECODE[law][np.frombuffer(bytes.fromhex(codes), np.uint8)]
        level = 10 * np.log10(np.mean(wave**2) / 32768**2)
        assert wave[:4].tolist() == (-wave[4:]).tolist()
        assert level == pytest.approx(-6.2, abs=0.05)  # 3.14 (3.17) dBm0 is the loudest sine, 3.01 dB below the square


def test_transcoding_is_decoding_and_encoding() -> None:
    for law in (PCMU, PCMA):
        assert np.array_equal(TRANSCODE[law], encode(1 - law, DECODE[law].astype(np.int16)))
    assert TRANSCODE[PCMU, SILENCE[PCMU]] == SILENCE[PCMA]


def test_silence_is_the_code_of_zero() -> None:
    zero = np.zeros(1, np.int16)
    assert [encode(law, zero)[0] for law in (PCMU, PCMA)] == SILENCE.tolist() == [0xFF, 0xD5]
