"""Prompts and music through the whole engine: heard by whom they are for, over what else is heard. Virtual time."""

from __future__ import annotations

import numpy as np
import pytest

from mixer.protocol import LoadClip, MoveLeg, Play, Played, RemoveLeg, RoomSettings, StopPlaying
from tests.mixer.world import World, level

PROMPT = 1000.0


def load(world: World, name: str, seconds: float = 1.0, tone: float = PROMPT, amplitude: float = 4000) -> None:
    for rate in (8000, 16000, 48000):
        pcm = (amplitude * np.sin(2 * np.pi * tone * np.arange(int(rate * seconds)) / rate)).astype("<i2")
        world.engine.apply(LoadClip(name, rate, pcm.tobytes(), 0, len(pcm)))


@pytest.mark.parametrize("codec", ["PCMU", "PCMA", "G722", "OPUS"])
def test_b16_what_is_played_to_one_is_heard_by_him_alone(codec: str) -> None:
    world = World()
    load(world, "hello", 3)
    caller = world.call("caller", codec=codec)
    other = world.call("other")
    world.run(0.5)
    world.engine.apply(Play(7, ("hello",), leg="caller"))
    world.run(2)
    assert level(caller.recording(1), PROMPT, caller.rate) == pytest.approx(4000, rel=0.12)
    assert level(other.recording(1), PROMPT) < 30
    world.run(2)
    assert Played(7, True) in world.events


@pytest.mark.parametrize("codec", ["PCMU", "OPUS"])
def test_b26_an_announcement_is_heard_by_all_and_speech_is_lowered_under_it(codec: str) -> None:
    world = World()
    load(world, "notice", 2)
    world.call("talker", codec=codec, tone=440)
    listener = world.call("listener", codec=codec)
    world.run(1)
    world.engine.apply(Play(1, ("notice",), conference="room", duck_db=12.0))
    world.run(1.2)
    heard = listener.recording(0.8)
    assert level(heard, PROMPT, listener.rate) == pytest.approx(4000, rel=0.12)
    assert level(heard, 440, listener.rate) == pytest.approx(6000 / 4, rel=0.15)
    assert level(world.phones["talker"].recording(0.8), PROMPT, listener.rate) == pytest.approx(4000, rel=0.12)
    assert level(world.phones["talker"].recording(0.8), 440, listener.rate) < 100
    world.run(2)
    assert level(listener.recording(0.8), 440, listener.rate) == pytest.approx(6000, rel=0.12)


def test_a_silent_conference_of_several_rates_hears_its_announcement() -> None:
    world = World()
    load(world, "notice", 2)
    phones = [world.call(codec, codec=codec) for codec in ("PCMU", "G722", "OPUS")]
    world.run(0.5)
    world.engine.apply(Play(1, ("notice",), conference="room"))
    world.run(1.5)
    for phone in phones:
        assert level(phone.recording(1), PROMPT, phone.rate) == pytest.approx(4000, rel=0.12), phone.codec


@pytest.mark.parametrize("codec", ["PCMU", "G722"])
def test_who_talks_hears_his_prompt_over_the_others_and_not_himself(codec: str) -> None:
    world = World()
    load(world, "reply", 3)
    talker = world.call("talker", codec=codec, tone=440)
    world.call("other", codec=codec, tone=620)
    world.run(0.5)
    world.engine.apply(Play(1, ("reply",), leg="talker", duck_db=6))
    world.run(2)
    heard = talker.recording(1)
    assert level(heard, PROMPT, talker.rate) == pytest.approx(4000, rel=0.12)
    assert level(heard, 620, talker.rate) == pytest.approx(3000, rel=0.15)
    assert level(heard, 440, talker.rate) < 100


def test_b6_music_loops_until_it_is_stopped() -> None:
    world = World()
    load(world, "music", 0.5)
    alone = world.call("alone")
    world.run(0.2)
    world.engine.apply(Play(3, ("music",), leg="alone", loop=True))
    world.run(5)
    assert np.abs(alone.recording(4).reshape(-1, 160)).max(axis=1).min() > 3000
    world.engine.apply(StopPlaying(leg="alone"))
    world.run(0.5)
    assert Played(3, False) in world.events
    assert np.abs(alone.recording(0.3)).max() < 200


def test_what_cannot_be_played_is_over_at_once() -> None:
    world = World()
    world.call("caller")
    for token, command in enumerate(
        (Play(0, ("missing",), leg="caller"), Play(1, ("missing",), leg="nobody"), Play(2, (), conference="room"))
    ):
        world.engine.apply(command)
        world.tick()
        assert Played(token, False) in world.events


def test_the_prompt_of_a_leg_that_leaves_is_over_too() -> None:
    world = World()
    load(world, "hello", 3)
    world.call("caller")
    world.call("other")
    world.engine.apply(Play(9, ("hello",), leg="caller"))
    world.run(0.5)
    world.engine.apply(RemoveLeg("caller"))
    world.run(0.1)
    assert Played(9, False) in world.events


def test_a_leg_moves_from_its_guide_to_its_conference_without_a_gap_in_its_stream() -> None:
    world = World()
    world.call("inside", tone=440)
    caller = world.call("caller", "guide-1", tone=620)
    world.run(1)
    assert level(caller.recording(0.5), 440) < 30
    world.engine.apply(MoveLeg("caller", "room", RoomSettings()))
    world.run(1)
    assert level(caller.recording(0.5), 440) > 5500
    assert level(world.phones["inside"].recording(0.5), 620) > 5500
    seqs = np.array([seq for _, _, seq, _ in caller.headers])
    assert (np.diff(seqs) % 65536 == 1).all()
