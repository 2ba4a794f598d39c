"""Commands to the engine that are odd, come at an odd moment, or cannot be carried out. Virtual time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixer.protocol import (
    AddLeg,
    Digit,
    LegMedia,
    LegStats,
    LoadClip,
    Message,
    MoveLeg,
    Play,
    Played,
    QueryDone,
    QueryLegs,
    RemoveLeg,
    RoomSettings,
    SetLeg,
    UpdateLeg,
)
from mixer.telephone_event import Sender
from tests.mixer.world import World, level

TONE = 440.0
GOOD = LegMedia("PCMU", 0, (0,), 101, ("192.0.2.77", 4000), None)
IMPOSSIBLE = [
    replace(GOOD, codec="SILK"),
    replace(GOOD, receive_pts=(200,)),
    replace(GOOD, event_pt=128),
    replace(GOOD, send_pt=300),
    replace(GOOD, remote=("phone.example", 4000)),
    replace(GOOD, remote=("192.0.2.77", 0)),
    replace(GOOD, remote_rtcp=("192.0.2.77", 70000)),
    replace(GOOD, latch_hosts=("phone.example",)),
]


@pytest.mark.parametrize("media", IMPOSSIBLE)
def test_a_leg_whose_media_is_impossible_is_not_added_and_nobody_else_suffers(media: LegMedia) -> None:
    world = World()
    world.call("talker", tone=TONE)
    listener = world.call("listener")
    world.engine.apply(AddLeg("odd", "room", 0, 1, media))
    world.run(1)
    assert "odd" not in world.engine.legs.row_of
    assert world.engine.rooms.legs.sum() == world.engine.legs.count == 2
    assert level(listener.recording(0.6), TONE) > 5500


@pytest.mark.parametrize("media", IMPOSSIBLE)
def test_an_impossible_change_of_media_leaves_the_leg_as_it_was(media: LegMedia) -> None:
    world = World()
    world.call("talker", tone=TONE)
    listener = world.call("listener")
    world.run(0.5)
    for name in ("talker", "listener"):
        world.engine.apply(UpdateLeg(name, media))
    world.run(1)
    assert level(listener.recording(0.8), TONE) > 5500


@pytest.mark.parametrize("lane", [-1, 2])
def test_a_leg_on_a_lane_that_is_not_there_is_not_added(lane: int) -> None:
    world = World()
    world.engine.apply(AddLeg("odd", "room", lane, 1, GOOD))
    world.run(0.1)
    assert not world.engine.legs.count


@pytest.mark.parametrize("gain", [1e9, -1e9, float("inf"), float("nan")])
def test_a_gain_beyond_all_measure_harms_nobody(gain: float) -> None:
    world = World()
    world.call("loud", tone=TONE)
    other = world.call("other", tone=700)
    listener = world.call("listener")
    world.run(0.5)
    world.engine.apply(SetLeg("loud", talk_gain_db=gain, listen_gain_db=gain))
    load(world, "clip")
    world.engine.apply(Play(1, ("clip",), leg="other", gain_db=gain, duck_db=gain))
    world.run(1)
    world.engine.apply(RemoveLeg("loud"))
    world.run(1)
    assert level(listener.recording(0.3), 700) == pytest.approx(6000, rel=0.1)
    assert len(other.heard) == len(listener.heard)


def load(world: World, name: str) -> None:
    for rate in (8000, 16000, 48000):
        world.engine.apply(LoadClip(name, rate, np.zeros(rate, "<i2").tobytes(), 0, rate))


def test_every_leg_may_have_a_conference_of_its_own_up_to_the_last_and_move() -> None:
    world = World(capacity=4)
    for number in range(6):
        world.call(f"leg{number}", f"room{number}")
    world.run(0.1)
    assert world.engine.legs.count == 4
    world.engine.apply(MoveLeg("leg0", "another", RoomSettings()))
    world.run(0.1)
    assert set(world.engine.rooms.index_of) == {"another", "room1", "room2", "room3"}


def test_a_move_to_where_the_leg_is_already_changes_nothing() -> None:
    world = World()
    load(world, "clip")
    world.call("alone", "room")
    world.engine.apply(Play(1, ("clip",), conference="room", loop=True))
    world.run(0.1)
    world.engine.apply(MoveLeg("alone", "room", RoomSettings()))
    world.run(0.1)
    assert not [event for event in world.events if isinstance(event, Played)]
    assert world.engine.rooms.legs.sum() == 1


def test_what_the_last_leg_was_played_is_over_when_it_leaves() -> None:
    world = World()
    load(world, "clip")
    world.call("alone")
    world.engine.apply(Play(5, ("clip",), leg="alone"))
    world.run(0.1)
    world.engine.apply(RemoveLeg("alone"))
    world.run(0.1)
    assert Played(5, False) in world.events


def test_a_change_of_codec_while_a_key_is_down_does_not_silence_the_leg() -> None:
    world = World()
    phone = world.call("dialler", tone=TONE)
    listener = world.call("listener")
    world.run(0.5)
    payload, timestamp, _ = next(iter(Sender("5", 200, timestamp=100)))
    header = bytes([0x80, 0x80 | 101]) + (9).to_bytes(2, "big") + timestamp.to_bytes(4, "big")
    world.inject(header + phone.ssrc.to_bytes(4, "big") + payload, phone.address, lane=1)
    world.tick()
    media = LegMedia("OPUS", 111, (111,), 101, phone.address, None, rtcp_mux=True)
    world.engine.apply(UpdateLeg("dialler", media))
    world.run(0.2)
    world.engine.apply(UpdateLeg("dialler", replace(media, codec="PCMU", send_pt=0, receive_pts=(0,))))
    world.run(1)
    assert level(listener.recording(0.4), TONE) > 5500
    assert not [event for event in world.events if isinstance(event, Digit)]


def test_many_legs_are_asked_about_a_bounded_number_a_tick() -> None:
    world = World(capacity=200)
    for number in range(200):
        world.call(f"leg{number}")
    world.engine.apply(QueryLegs(3))
    world.engine.apply(QueryLegs(4, ("leg0", "nobody", "leg1")))
    answers: list[list[Message]] = []
    for _ in range(10):
        answers.append([e for e in world.engine.take_events() if isinstance(e, LegStats | QueryDone)])
        world.engine.tick(world.now)
    assert max(map(len, answers)) <= 42
    flat = [event for batch in answers for event in batch]
    assert [e.leg for e in flat[:200] if isinstance(e, LegStats)] == [f"leg{n}" for n in range(200)]
    assert flat[200] == QueryDone(3)
    assert [getattr(e, "leg", e) for e in flat[201:]] == ["leg0", "leg1", QueryDone(4)]
