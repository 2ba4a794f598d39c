"""G.722 and Opus: speech through, any packet in, nothing raised."""

from __future__ import annotations

import av
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixer.codecs import MAX_PAYLOAD, Decoder, OpusEncoder, make_decoder, make_encoder
from tests.mixer.voice import tone, vowels

CODECS = ["G722", "OPUS"]
DELAY = {"G722": 22, "OPUS": 312}


def payloads(codec: str, signal: NDArray[np.float32]) -> list[bytes]:
    encoder = make_encoder(codec)
    return [encoder.encode(frame) for frame in signal.reshape(-1, encoder.frame)]


def opus_packet(signal: NDArray[np.int16], frame_ms: str, layout: str) -> list[bytes]:
    """Packets of FFmpeg's libopus with other frame lengths or channels than we send."""
    context = av.CodecContext.create("libopus", "w")
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout, context.format = 48000, layout, "s16"
    context.options = {"frame_duration": frame_ms}
    samples = np.repeat(signal, 2) if layout == "stereo" else signal
    frame = av.AudioFrame.from_ndarray(samples[None], format="s16", layout=layout)
    frame.sample_rate = 48000
    return [bytes(packet) for packet in context.encode(frame)]


def level(decoder: Decoder, packets: list[bytes]) -> float:
    out = np.concatenate([decoder.decode(packet) for packet in packets])
    return float(np.sqrt(np.mean(out[len(out) // 2 :] ** 2)))


@pytest.mark.parametrize("codec", CODECS)
def test_b32_each_packet_gives_its_twenty_milliseconds_in_the_same_call(codec: str) -> None:
    decoder = make_decoder(codec)
    packets = payloads(codec, vowels(decoder.rate, 0.2))
    assert [len(decoder.decode(packet)) for packet in packets] == [decoder.frame] * 10
    assert decoder.frame == decoder.rate // 50


@pytest.mark.parametrize("codec", CODECS)
def test_b32_a_tone_comes_through_at_its_level_and_pitch(codec: str) -> None:
    decoder = make_decoder(codec)
    out = np.concatenate([decoder.decode(packet) for packet in payloads(codec, tone(decoder.rate, 440, 1))])
    bins = np.abs(np.fft.rfft(out[-decoder.rate // 2 :]))  # of 2 Hz
    assert bins.argmax() == 220
    assert bins[220] / (decoder.rate / 4) == pytest.approx(10000, rel=0.1)


@pytest.mark.parametrize("codec", CODECS)
def test_encoder_and_decoder_delay_no_more_than_the_codec_itself(codec: str) -> None:
    decoder = make_decoder(codec)
    voice = vowels(decoder.rate, 1)
    out = np.concatenate([decoder.decode(packet) for packet in payloads(codec, voice)])
    likeness = [float(voice[:-500] @ out[lag : len(out) - 500 + lag]) for lag in range(500)]
    assert int(np.argmax(likeness)) == pytest.approx(DELAY[codec], abs=10)


@pytest.mark.parametrize("codec", CODECS)
def test_payloads_stay_within_their_bound_even_for_full_scale_noise(codec: str) -> None:
    rng = np.random.default_rng(1)
    noise = rng.choice(np.array([-40000, 40000], np.float32), make_encoder(codec).frame * 50)
    sizes = {len(payload) for payload in payloads(codec, noise)}
    assert max(sizes) <= MAX_PAYLOAD
    assert codec == "OPUS" or sizes == {160}


def test_opus_keeps_to_48_kbit_a_second() -> None:
    sizes = [len(payload) for payload in payloads("OPUS", vowels(48000, 2))]
    assert 100 <= np.mean(sizes) <= 126


@pytest.mark.parametrize("layout", ["mono", "stereo"])
@pytest.mark.parametrize("frame_ms", ["10", "20", "40", "60"])
def test_b32_opus_frames_of_any_length_and_stereo_are_decoded_to_mono(frame_ms: str, layout: str) -> None:
    decoder = make_decoder("OPUS")
    packets = opus_packet(tone(48000, 440, 0.48).astype(np.int16), frame_ms, layout)
    assert len(decoder.decode(packets[0])) == 48 * int(frame_ms)
    assert level(decoder, packets[1:]) == pytest.approx(10000 / np.sqrt(2), rel=0.15)
    assert len(decoder.conceal()) == 960
    assert decoder.errors == 0


def test_opus_of_several_frames_a_packet_is_decoded() -> None:
    one, two = payloads("OPUS", tone(48000, 440, 0.4))[-2:]
    # RFC 6716 section 3.2.4: two frames of different lengths, the first's length in one octet below 252.
    packet = bytes([one[0] | 2, len(one) - 1]) + one[1:] + two[1:]
    assert one[0] == two[0]
    assert len(make_decoder("OPUS").decode(packet)) == 1920


def test_g722_of_thirty_milliseconds_is_decoded_whole() -> None:
    packets = b"".join(payloads("G722", tone(16000, 440, 0.12)))
    decoder = make_decoder("G722")
    assert level(decoder, [packets[at : at + 240] for at in range(0, len(packets), 240)]) > 5000


@pytest.mark.parametrize("codec", CODECS)
def test_b32_a_lost_packet_is_concealed_by_more_of_the_voice_and_then_by_silence(codec: str) -> None:
    decoder = make_decoder(codec)
    before = level(decoder, payloads(codec, tone(decoder.rate, 220, 0.4)))
    lost = [decoder.conceal() for _ in range(20)]
    loudness = [float(np.sqrt(np.mean(frame**2))) for frame in lost]
    assert all(len(frame) == decoder.frame for frame in lost)
    assert loudness[0] > before / 2
    assert loudness[-1] < before / 20


@pytest.mark.parametrize("codec", CODECS)
def test_b32_lost_packets_leave_no_holes_in_speech(codec: str) -> None:
    decoder, whole = make_decoder(codec), make_decoder(codec)
    packets = payloads(codec, vowels(decoder.rate, 4))
    lost = np.random.default_rng(2).random(len(packets)) < 0.1
    intact = np.stack([whole.decode(packet) for packet in packets])
    heard = np.stack([decoder.conceal() if gone else decoder.decode(p) for p, gone in zip(packets, lost, strict=True)])
    ratio = 10 * np.log10((heard**2).mean(axis=1)[lost] / (intact**2).mean(axis=1)[lost])
    assert lost.sum() > 10
    assert np.abs(ratio).mean() < 4


@pytest.mark.parametrize("codec", CODECS)
def test_b32_the_voice_comes_back_after_a_loss_without_a_click(codec: str) -> None:
    packets = payloads(codec, tone(make_decoder(codec).rate, 230, 1))
    for gone in range(20, 40):
        decoder = make_decoder(codec)
        frames = [decoder.conceal() if i == gone else decoder.decode(packet) for i, packet in enumerate(packets)]
        bend = np.abs(np.diff(np.concatenate(frames)[10 * decoder.frame :], 2))
        seam = slice((gone - 10) * decoder.frame, (gone - 8) * decoder.frame)
        assert bend[seam].max() < 3 * bend[: seam.start].max()


@pytest.mark.parametrize("codec", CODECS)
def test_a_decoder_that_has_heard_nothing_conceals_by_silence(codec: str) -> None:
    assert not make_decoder(codec).conceal().any()


@pytest.mark.parametrize("broken", [b"", b"\xff" * 5, b"\x03\x00", b"\x08" + bytes(1300)])
def test_a_broken_opus_payload_is_counted_concealed_and_forgotten(broken: bytes) -> None:
    decoder = make_decoder("OPUS")
    packets = payloads("OPUS", tone(48000, 220, 0.4))
    before = level(decoder, packets)
    frame = decoder.decode(broken)
    assert decoder.errors == 1
    assert float(np.sqrt(np.mean(frame**2))) > before / 2
    assert level(decoder, packets) == pytest.approx(before, rel=0.1)


@settings(max_examples=50)
@given(st.lists(st.binary(max_size=60) | st.binary(max_size=2).map(lambda head: head * 400), max_size=6))
def test_foreign_bytes_never_raise(junk: list[bytes]) -> None:
    for codec in CODECS:
        decoder = make_decoder(codec)
        for payload in junk:
            assert decoder.decode(payload).dtype == np.float32
            assert decoder.conceal().shape == (decoder.frame,)


def test_what_is_beyond_int16_is_clipped() -> None:
    loud, full = (payloads("G722", tone(16000, 440, 0.1, peak).clip(-limit, limit)) for peak, limit in
                  ((90000, 1e9), (90000, 32767.4)))  # fmt: skip
    assert loud == full


def test_a_quicker_and_a_surer_opus_encoder_can_be_had() -> None:
    encoder = OpusEncoder(bitrate=16000, complexity=0, packet_loss=30)
    out = [encoder.encode(frame) for frame in tone(48000, 440, 0.4).reshape(-1, 960)]
    assert level(make_decoder("OPUS"), out) == pytest.approx(10000 / np.sqrt(2), rel=0.2)


@pytest.mark.parametrize("make", [make_decoder, make_encoder])
def test_an_unknown_codec_is_refused_by_name(make: object) -> None:
    assert callable(make)
    with pytest.raises(ValueError, match=r"codec: no .* for 'G729'"):
        make("G729")
