"""Wideband legs: Opus packets of all durations, shared and own frames, silence."""

from __future__ import annotations

import struct
from fractions import Fraction

import av
import numpy as np
import pytest

from mixer.protocol import RemoveLeg, SetLeg
from tests.mixer.world import World, level

RATE = 48000
TONE = 700.0


def opus_packets(duration_ms: int, seconds: float) -> list[bytes]:
    """A tone as Opus packets of a duration that our own encoder does not make."""
    codec = av.CodecContext.create("libopus", "w")
    codec.sample_rate, codec.layout, codec.format = RATE, "mono", "s16"
    codec.options = {"application": "audio", "frame_duration": str(duration_ms), "b": "64000"}
    codec.open()
    frame_size = RATE * duration_ms // 1000
    time = np.arange(int(seconds * RATE)) / RATE
    pcm = (6000 * np.sin(2 * np.pi * TONE * time)).astype(np.int16)
    packets: list[bytes] = []
    for at in range(0, len(pcm) - frame_size, frame_size):
        frame = av.AudioFrame.from_ndarray(pcm[None, at : at + frame_size], format="s16", layout="mono")
        frame.sample_rate, frame.pts, frame.time_base = RATE, at, Fraction(1, RATE)
        packets += [bytes(packet) for packet in codec.encode(frame)]
    return packets


@pytest.mark.parametrize("duration", [10, 20, 40, 60])
def test_b32_opus_packets_of_10_to_60_ms_are_played_without_a_gap(duration: int) -> None:
    world = World()
    phone = world.call("sender", codec="OPUS")
    phone.talks = False
    listener = world.call("listener")
    packets = opus_packets(duration, 3)
    for tick in range(140):
        while packets and phone.sent_packets * duration <= tick * 20:
            header = struct.pack("!BBHII", 0x80, 111, phone.sent_packets, phone.sent_packets * duration * 48, 9)
            world.inject(header + packets.pop(0), phone.address, lane=1)
            phone.sent_packets += 1
        world.tick()
    heard = listener.recording(2)
    assert level(heard, TONE) == pytest.approx(6000, rel=0.12)
    assert np.abs(heard.reshape(-1, 80)).max(axis=1).min() > 4000


@pytest.mark.parametrize("codec", ["G722", "OPUS"])
def test_listeners_of_a_wideband_conference_share_one_encoded_frame(codec: str) -> None:
    world = World()
    world.call("talker", codec=codec, tone=TONE)
    world.call("one", codec=codec)
    world.call("two", codec=codec)
    world.run(1)
    rows = [world.engine.legs.row_of[name] for name in ("one", "two", "talker")]
    payloads = [bytes(world.engine.outbox.buffer[row, 12 : int(world.engine.outbox.size[row])]) for row in rows]
    assert payloads[0] == payloads[1]
    assert payloads[2] != payloads[0]


@pytest.mark.parametrize("codec", ["G722", "OPUS"])
def test_nobody_talking_is_comfort_noise_and_the_first_word_comes_through(codec: str) -> None:
    world = World()
    talker = world.call("talker", codec=codec, tone=TONE)
    listener = world.call("listener", codec=codec)
    world.engine.apply(SetLeg("talker", mute=True))
    world.run(2)
    noise = np.sqrt(np.mean(listener.recording(1) ** 2))
    assert 4 < noise < 40
    world.engine.apply(SetLeg("talker", mute=False))
    world.run(1)
    assert level(listener.recording(0.6), TONE, talker.rate) == pytest.approx(6000, rel=0.12)


def test_a_deaf_wideband_leg_hears_silence_while_others_talk() -> None:
    world = World()
    world.call("talker", codec="OPUS", tone=TONE)
    deaf = world.call("deaf", codec="OPUS", deaf=True)
    world.run(1)
    assert np.abs(deaf.recording(0.5)).max() < 60


def test_a_conference_falls_back_to_8_khz_when_its_last_wideband_leg_goes() -> None:
    world = World()
    world.call("a", tone=TONE)
    listener = world.call("b")
    world.call("wide", codec="OPUS")
    world.run(1)
    assert world.engine.rooms.rate.max() == RATE
    world.engine.apply(RemoveLeg("wide"))
    del world.phones["wide"]
    world.run(1)
    assert world.engine.rooms.rate.max() == 8000
    assert level(listener.recording(0.5), TONE) == pytest.approx(6000, rel=0.06)


def test_silent_opus_legs_are_mostly_not_decoded_and_the_first_word_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    world = World()
    time = np.arange(3 * RATE) / RATE
    voice = sum(np.sin(2 * np.pi * 120 * k * time) / k for k in range(1, 20)) * 3000 * (time > 2)
    world.call("talker", codec="OPUS", pcm=voice + np.random.default_rng(1).normal(0, 8, len(time)))
    listener = world.call("listener")
    leg = world.engine.wide._legs[world.engine.legs.row_of["talker"]]
    decoded: list[int] = []
    decode = leg._decoder.decode
    monkeypatch.setattr(leg._decoder, "decode", lambda packet: decoded.append(1) or decode(packet))  # type: ignore[func-returns-value]
    world.run(1)
    decoded.clear()
    world.run(0.9)
    assert len(decoded) < 45 / 4
    world.run(0.6)
    heard = np.abs(listener.recording().reshape(-1, 160)).max(axis=1)
    loud = np.flatnonzero(heard > 2000)
    assert len(loud) >= 0.35 * 50  # the half second of voice, less the way to the listener
    assert (np.diff(loud) == 1).all()


@pytest.mark.parametrize("level_dbov", [-55, -60])
def test_the_room_noise_of_a_silent_opus_leg_stays_out_of_the_mix(level_dbov: int) -> None:
    world = World()
    noise = np.random.default_rng(1).normal(0, 32768 * 10 ** (level_dbov / 20), 3 * RATE)
    world.call("silent", codec="OPUS", pcm=noise)
    listener = world.call("listener")
    world.run(4)
    listener.heard.clear()
    row = world.engine.legs.row_of["silent"]
    mixed = 0
    for _ in range(250):
        world.tick()
        mixed += int(world.engine.sound.hold[row] > 0)
    assert mixed <= 40


@pytest.mark.parametrize("codec", ["G722", "OPUS"])
def test_who_begins_to_speak_hears_the_others_go_on_without_a_click(codec: str) -> None:
    world = World()
    world.call("talker", codec=codec, tone=TONE)
    speaker = world.call("speaker", codec=codec)
    world.call("listener", codec=codec)
    rate = speaker.rate
    world.engine.apply(SetLeg("speaker", mute=True))
    speaker.pcm = 5000 * np.sin(2 * np.pi * 300 * np.arange(rate) / rate)
    world.run(1)
    for mute in (False, True, False):
        world.engine.apply(SetLeg("speaker", mute=mute))
        world.run(1)
    heard = speaker.recording(3.2)
    natural = 6000 * (2 * np.pi * TONE / rate) ** 2
    assert np.abs(np.diff(heard, 2)).max() < natural * 1.5 + 60
    peaks = np.abs(heard.reshape(-1, rate // 50)).max(axis=1)
    assert peaks.max() / peaks.min() < 1.3
