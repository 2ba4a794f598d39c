"""How a conference sounds through the whole engine: levels, loudest talkers, music, peaks, figures. Virtual time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from mixer.protocol import Music, RoomSettings, SetLeg, SetRoom, UpdateLeg
from tests.mixer.sound import active_level, at_level
from tests.mixer.voice import tone, vowels
from tests.mixer.world import Float, Network, World, level


def speech(level_dbov: float, seed: int = 0, seconds: float = 8.0) -> Float:
    """Syllables with pauses, at an active level."""
    voice = vowels(8000, seconds, seed)
    voice *= np.repeat(np.arange(int(seconds * 4)) % 4 != 3, 2000)
    return at_level(voice, level_dbov).astype(np.float64)


def heard_level(world: World, name: str, seconds: float = 4) -> float:
    return active_level(world.phones[name].recording(seconds).astype(np.float32))


def test_n9_a_loud_and_a_quiet_voice_are_brought_to_one_level() -> None:
    for wanted in (-38.0, -14.0):
        world = World()
        world.call("talker", pcm=speech(wanted))
        world.call("listener")
        world.run(12)
        assert heard_level(world, "listener") == pytest.approx(-26, abs=2.5)


@pytest.mark.parametrize("off", ["leg", "conference", "changed"])
def test_n9_levelling_is_off_where_it_is_switched_off(off: str) -> None:
    world = World()
    room = RoomSettings(levelling=off != "conference")
    world.call("talker", pcm=speech(-38), levelling=off != "leg", room=room)
    world.call("listener", room=room)
    if off == "changed":
        world.run(6)
        world.engine.apply(SetRoom("room", RoomSettings(levelling=False)))
        world.engine.apply(SetLeg("talker", talk_gain_db=0))
    world.run(12)
    assert heard_level(world, "listener") == pytest.approx(-38, abs=1.5)


def test_tones_keep_their_level_to_the_tenth_of_a_decibel() -> None:
    world = World()
    world.call("talker", tone=440, amplitude=2000)
    listener = world.call("listener")
    world.run(8)
    assert 20 * np.log10(level(listener.recording(4), 440) / 2000) == pytest.approx(0, abs=0.1)


def test_only_the_loudest_are_mixed_when_a_conference_has_fewer_places_than_voices() -> None:
    world = World()
    room = RoomSettings(talkers=2)
    for name, frequency, amplitude in (("loud", 440, 8000), ("middle", 620, 4000), ("soft", 900, 800)):
        world.call(name, tone=frequency, amplitude=amplitude, room=room)
    listener = world.call("listener", room=room)
    world.run(3)
    assert level(listener.recording(2), 440) > 7000
    assert level(listener.recording(2), 620) > 3500
    assert level(listener.recording(2), 900) < 60


def test_n8_music_of_a_leg_is_reported_and_silenced_where_that_is_wanted() -> None:
    for silence in (False, True):
        world = World()
        chord = sum(tone(8000, f, 1.0, 3000) for f in (262, 330, 392))
        room = RoomSettings(silence_music=silence)
        world.call("player", pcm=np.asarray(chord, np.float64), room=room)
        listener = world.call("listener", room=room)
        world.run(14)
        assert Music("player", True, silence) in world.events
        assert (level(listener.recording(2), 330) < 30) == silence


def test_n8_whoever_plays_music_after_putting_us_on_hold_is_silenced_in_any_case() -> None:
    world = World()
    world.call("player", tone=440)
    listener = world.call("listener")
    world.run(0.5)
    legs = world.engine.legs
    legs.sends[legs.row_of["player"]] = False  # a=sendonly from the far side
    world.engine._dirty = True
    world.run(9)
    assert Music("player", True, True) in world.events
    assert level(listener.recording(1), 440) < 30


def test_n8_who_takes_us_off_hold_is_heard_at_once() -> None:
    world = World()
    room = RoomSettings(silence_music=True)
    holder = world.call("holder", tone=440, room=room)
    listener = world.call("listener", room=room)
    media = world.engine.legs.media[0]
    world.engine.apply(UpdateLeg("holder", replace(media, send=False)))
    world.run(9)
    assert Music("holder", True, True) in world.events
    holder.pcm = speech(-20)
    world.engine.apply(UpdateLeg("holder", media))
    world.run(1)
    assert Music("holder", False, False) in world.events
    assert heard_level(world, "listener", 0.8) > -35
    assert len(listener.heard) == 500


@pytest.mark.parametrize("codec", ["PCMA", "OPUS"])
@pytest.mark.parametrize("talkers", [1, 3, 8])
def test_many_voices_add_up_without_overload_and_stay_clean(talkers: int, codec: str) -> None:
    world = World()
    tones = [300 + 137 * i for i in range(talkers)]
    for i, frequency in enumerate(tones):
        world.call(f"t{i}", tone=frequency, amplitude=12000)
    listener = world.call("listener", codec=codec)
    world.run(3)
    heard = listener.recording(2)
    assert np.abs(heard).max() < 32768 * 10 ** (-0.5 / 20)
    levels = np.array([level(heard, frequency, listener.rate) for frequency in tones])
    assert levels.max() / levels.min() < (1.2 if codec == "PCMA" else 1.4)  # a voice codec bends eight pure tones
    power = np.mean(heard**2)
    assert 10 * np.log10((levels**2 / 2).sum() / max(power - (levels**2 / 2).sum(), 1)) > 12


def test_the_own_mix_of_a_talker_is_as_loud_as_what_the_others_hear() -> None:
    world = World()
    for i in range(6):
        world.call(f"t{i}", tone=300 + 137 * i, amplitude=12000)
    listener = world.call("listener")
    world.run(3)
    own = level(world.phones["t0"].recording(2), 437)
    assert own == pytest.approx(level(listener.recording(2), 437), rel=0.12)


def test_steady_line_noise_does_not_come_into_the_mix_and_quiet_words_do() -> None:
    world = World()
    hiss = np.random.default_rng(1).normal(0, 60, 8000)  # -55 dBov
    room = RoomSettings(levelling=False)
    world.call("hissing", pcm=hiss, room=room)
    world.call("whispering", pcm=speech(-50, seconds=4), room=room)
    listener = world.call("listener", room=room)
    world.run(6)
    assert heard_level(world, "listener") == pytest.approx(-50, abs=3)
    world.engine.apply(SetLeg("whispering", mute=True))
    world.run(2)
    assert np.sqrt(np.mean(listener.recording(1) ** 2)) < 35


def test_b33_figures_of_a_lossy_leg_say_how_it_sounds() -> None:
    world = World(Network(loss=0.1, jitter_ms=10, seed=2))
    world.call("lossy", tone=440)
    world.run(20)
    lossy = world.stats("lossy")
    world.network.loss = 0
    world.call("clean", tone=440)
    world.run(20)
    clean = world.stats("clean")
    assert lossy.loss_fraction == pytest.approx(0.1, abs=0.03)
    assert lossy.burst_ratio == pytest.approx(1.0, abs=0.15)
    assert clean.mos > 4.2 > lossy.mos > 2
    assert clean.rating > 85


def test_b33_bursts_are_told_from_random_loss() -> None:
    world = World()
    phone = world.call("bursty", tone=440)
    for _ in range(20):
        world.run(0.9)
        phone.talks = False
        world.run(0.1)
        phone.talks = True
    assert world.stats("bursty").burst_ratio > 3


@pytest.mark.parametrize("ppm", [-2000, 2000])
def test_an_hour_of_clock_drift_makes_no_click(ppm: int) -> None:
    """360 ms of drift, what 100 ppm come to in an hour, put into three minutes: the same eighteen frames to make up
    for."""
    world = World()
    talker = world.call("talker", tone=300, amplitude=6000)
    talker.drift_ppm = ppm
    listener = world.call("listener")
    world.run(5)
    listener.heard.clear()
    for _ in range(6):
        world.run(30)
        heard = listener.recording()
        bend = np.abs(np.diff(heard, 2))
        natural = 6000 * (2 * np.pi * 300 / 8000) ** 2 + 800  # of the tone itself, and of mu-law's steps at its peaks
        assert bend.max() < 3 * natural
        assert np.abs(heard.reshape(-1, 80)).max(axis=1).min() > 2500
        listener.heard.clear()


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
def test_muting_and_unmuting_in_the_middle_of_a_word_does_not_click(codec: str) -> None:
    world = World()
    talker = world.call("talker", codec=codec, tone=310)
    listener = world.call("listener", codec=codec)
    world.run(1)
    for mute in (True, False, True):
        world.engine.apply(SetLeg("talker", mute=mute))
        world.run(0.31)
    bend = np.abs(np.diff(listener.recording(1.2), 2)).max()
    assert bend < 2.5 * 6000 * (2 * np.pi * 310 / talker.rate) ** 2 + 300 * 8000 / talker.rate
    assert np.abs(listener.recording(0.2)).max() < 200
