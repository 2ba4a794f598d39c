"""Conferences through the whole engine, in memory and virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from mixer.protocol import Digit, Inactive, RemoveLeg, RtcpBye, SetLeg, Talking, UpdateLeg
from mixer.rtcp import bye, parse
from mixer.telephone_event import Sender
from tests.mixer.world import Network, World, level, payload_type

TONES = {"anna": 440.0, "boris": 620.0, "vera": 900.0}


def three_talkers(**network: float) -> World:
    world = World(Network(**network))  # type: ignore[arg-type]
    for name, tone in TONES.items():
        world.call(name, tone=tone)
    return world


def test_each_hears_the_others_at_their_level_and_never_itself() -> None:
    world = three_talkers()
    world.run(3)
    for name, phone in world.phones.items():
        heard = phone.recording(2)
        for other, tone in TONES.items():
            if other == name:
                assert level(heard, tone) < 60
            else:
                assert level(heard, tone) == pytest.approx(6000, rel=0.05)


@pytest.mark.parametrize("codec", ["PCMA", "G722", "OPUS"])
def test_b32_any_mix_of_codecs_shares_one_conference(codec: str) -> None:
    world = World()
    world.call("narrow", codec="PCMU", tone=440)
    world.call("other", codec=codec, tone=620)
    world.call("listener", codec=codec)
    world.run(3)
    rate = world.phones["other"].rate
    assert level(world.phones["narrow"].recording(2), 620) == pytest.approx(6000, rel=0.12)
    assert level(world.phones["narrow"].recording(2), 440) < 100
    assert level(world.phones["other"].recording(2), 440, rate) == pytest.approx(6000, rel=0.12)
    assert level(world.phones["other"].recording(2), 620, rate) < 150
    for tone in (440, 620):
        assert level(world.phones["listener"].recording(2), tone, rate) == pytest.approx(6000, rel=0.12)


def test_wideband_legs_hear_each_other_above_4_khz_while_a_narrowband_leg_is_there() -> None:
    world = World()
    world.call("opus", codec="OPUS", tone=6000)
    world.call("g722", codec="G722", tone=5000)
    world.call("pcmu", tone=500)
    world.run(3)
    assert level(world.phones["g722"].recording(2), 6000, 16000) > 3000
    assert level(world.phones["opus"].recording(2), 5000, 48000) > 3000
    assert level(world.phones["pcmu"].recording(2), 2000) < 60  # 6000 Hz folded


def test_conferences_do_not_hear_each_other() -> None:
    world = World()
    world.call("a", "one", tone=440)
    world.call("b", "one")
    world.call("c", "two", tone=620)
    world.call("d", "two")
    world.run(2)
    assert level(world.phones["b"].recording(1), 440) > 5500
    assert level(world.phones["b"].recording(1), 620) < 30
    assert level(world.phones["d"].recording(1), 440) < 30


def test_b10_a_muted_leg_is_not_heard_and_a_deaf_one_hears_nothing() -> None:
    world = three_talkers()
    world.run(1)
    world.engine.apply(SetLeg("anna", mute=True))
    world.engine.apply(SetLeg("boris", deaf=True))
    world.run(2)
    assert level(world.phones["vera"].recording(1), TONES["anna"]) < 30
    assert level(world.phones["vera"].recording(1), TONES["boris"]) > 5500
    assert np.abs(world.phones["boris"].recording(1)).max() < 20
    world.engine.apply(SetLeg("anna", mute=False))
    world.run(1)
    assert level(world.phones["vera"].recording(0.5), TONES["anna"]) > 5500


@pytest.mark.parametrize("codec", ["PCMU", "OPUS"])
def test_b12_talk_and_listen_gain_change_one_leg_only(codec: str) -> None:
    world = World()
    world.call("loud", codec=codec, tone=440, talk_gain_db=-6.0)
    world.call("soft", codec=codec, listen_gain_db=-12.0)
    world.call("plain", codec=codec)
    world.run(3)
    rate = world.phones["plain"].rate
    assert level(world.phones["plain"].recording(1), 440, rate) == pytest.approx(3000, rel=0.1)
    assert level(world.phones["soft"].recording(1), 440, rate) == pytest.approx(750, rel=0.15)


def test_a_leg_on_hold_is_sent_nothing_and_its_packets_are_not_heard() -> None:
    world = three_talkers()
    world.run(1)
    media = world.engine.legs.media[world.engine.legs.row_of["anna"]]
    held = {f: getattr(media, f) for f in media.__slots__} | {"send": False, "receive": False}
    world.engine.apply(UpdateLeg("anna", type(media)(**held)))
    before = len(world.phones["anna"].heard)
    world.run(1)
    assert len(world.phones["anna"].heard) == before
    assert level(world.phones["vera"].recording(0.5), TONES["anna"]) < 30
    world.engine.apply(UpdateLeg("anna", media))
    world.run(1)
    assert level(world.phones["anna"].recording(0.5), TONES["boris"]) > 5500


@pytest.mark.parametrize("ptime", [5, 10, 20, 30, 40, 60])
@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722"])
def test_b32_packets_of_5_to_60_ms_are_played_without_a_gap(codec: str, ptime: int) -> None:
    world = World()
    world.call("sender", codec=codec, tone=440, ptime=ptime)
    listener = world.call("listener")
    world.run(3)
    heard = listener.recording(2).reshape(-1, 80)
    assert np.abs(heard).max(axis=1).min() > 4000
    assert world.stats("sender").frames_concealed <= 3 * ptime // 20 + 1


def test_b34_keypad_tones_become_one_event_and_stay_out_of_the_mix() -> None:
    world = World()
    phone = world.call("dialler", tone=941)
    phone.talks = True
    listener = world.call("listener")
    world.run(1)
    seq = 40000
    for payload, timestamp, marker in Sender("5", 200, timestamp=12345):
        header = bytes([0x80, 101 | (0x80 if marker else 0)]) + seq.to_bytes(2, "big") + timestamp.to_bytes(4, "big")
        seq += 1
        world.inject(header + phone.ssrc.to_bytes(4, "big") + payload, phone.address, lane=1)
        world.tick()
    quiet = np.concatenate(listener.heard[-8:])
    assert level(quiet, 941) < 200
    world.run(1)
    digits = [event for event in world.events if isinstance(event, Digit)]
    assert [(d.leg, d.digit, d.duration_ms) for d in digits] == [("dialler", "5", 200)]
    assert level(listener.recording(0.5), 941) > 5500


def test_b18_talking_is_reported_when_it_begins_and_ends() -> None:
    world = World()
    talker = world.call("talker", tone=440)
    world.run(1)
    talker.pcm = np.zeros(8000)
    world.run(1)
    assert [(e.leg, e.talking) for e in world.events if isinstance(e, Talking)] == [("talker", True), ("talker", False)]


def test_a_phone_that_vanishes_is_reported_inactive_with_growing_time() -> None:
    world = World()
    phone = world.call("gone", tone=440)
    world.run(1)
    phone.talks = False
    world.run(3.2)
    seconds = [event.seconds for event in world.events if isinstance(event, Inactive)]
    assert seconds[0] >= 1
    assert seconds == sorted(seconds)
    assert seconds[-1] == pytest.approx(3, abs=0.5)


def test_rows_stay_in_order_while_legs_come_and_go() -> None:
    world = World(capacity=8)
    for name, tone in TONES.items():
        world.call(name, tone=tone)
    world.run(1)
    world.engine.apply(RemoveLeg("anna"))
    del world.phones["anna"]
    world.run(2)
    assert level(world.phones["boris"].recording(1), TONES["vera"]) > 5500
    assert level(world.phones["boris"].recording(1), TONES["anna"]) < 30
    assert level(world.phones["vera"].recording(1), TONES["vera"]) < 30
    assert world.engine.legs.count == 2


def test_outgoing_streams_count_without_a_gap_and_keep_their_payload_type() -> None:
    world = World()
    world.call("narrow", codec="PCMA", tone=440)
    world.call("wide", codec="OPUS", tone=620)
    world.run(2)
    for codec, step in (("PCMA", 160), ("OPUS", 960)):
        phone = world.phones["narrow" if codec == "PCMA" else "wide"]
        first, kinds, seqs, stamps = (np.array(column, np.int64) for column in zip(*phone.headers, strict=True))
        assert set(first.tolist()) == {0x80}
        assert set(kinds.tolist()) == {payload_type(codec)}
        assert (np.diff(seqs) % 65536 == 1).all()
        assert (np.diff(stamps) % 2**32 == step).all()


def test_b33_reports_go_out_and_what_the_far_side_reports_is_taken_in() -> None:
    world = World()
    phone = world.call("phone", tone=440)
    world.run(16)
    reports = [data for data, destination in world.outbox.single if destination == phone.address]
    assert len(reports) in (2, 3, 4)
    packets = parse(reports[-1])
    assert packets is not None
    sender_report = packets[0]
    assert sender_report.reports[0].ssrc == phone.ssrc  # type: ignore[attr-defined]
    assert sender_report.reports[0].cumulative_lost == 0  # type: ignore[attr-defined]


def test_an_rtcp_bye_is_reported() -> None:
    world = World()
    phone = world.call("phone", tone=440)
    world.run(0.5)
    world.inject(bye(phone.ssrc), phone.address, lane=1)
    world.tick()
    assert RtcpBye("phone") in world.events


def test_a_full_engine_refuses_the_next_leg_and_goes_on() -> None:
    world = World(capacity=3)
    for name, tone in TONES.items():
        world.call(name, tone=tone)
    world.call("late", tone=1500)
    world.run(1)
    assert world.engine.legs.count == 3
    assert level(world.phones["anna"].recording(0.5), 1500) < 30
