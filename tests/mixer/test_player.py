"""Prompts and music: gapless, smooth, of the right level, each listener its own."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from mixer.player import MAX_QUEUED, RATES, Batch, Player, PlayError, Playlist
from tests.mixer.sound import sharpest_bend

Float = NDArray[np.float32]


def sine(rate: int, samples_8k: int, frequency: float = 400.0, peak: float = 8000.0, phase: float = 0.0) -> Float:
    ratio = rate // 8000
    time = np.arange(samples_8k * ratio) / rate
    return (peak * np.sin(2 * np.pi * frequency * time + phase)).astype(np.float32)


def load(player: Player, name: str, pcm_8k: Float) -> None:
    """The clip at all rates; those above 8 kHz hold each sample several times."""
    for rate in RATES:
        player.load(name, rate, np.repeat(pcm_8k, rate // 8000).astype(np.int16))


def play(player: Player, ticks: int, rate: int = 8000, row: int = 0) -> tuple[Float, Float]:
    """What a leg hears in so many ticks, and the gain of everything else sample by sample."""
    heard, gains = [], []
    for _ in range(ticks):
        batch = player.leg_frames(np.full(8, rate)).get(rate)
        frame, gain = np.zeros(rate // 50, np.float32), np.ones((1, rate // 50), np.float32)
        if batch is not None and row in batch.listeners:
            place = int(np.flatnonzero(batch.listeners == row)[0])
            frame = batch.frames[place]
            batch.duck(np.array([place]), gain)
        heard.append(frame)
        gains.append(gain[0])
    return np.concatenate(heard), np.concatenate(gains)


@pytest.fixture
def player() -> Player:
    """Clips that are pieces of one sine: "a" 33 ms, "b" 51 ms, "long" 2 s of 50 whole periods a second."""
    made = Player(8)
    wave = sine(8000, 264 + 408)
    load(made, "a", wave[:264])
    load(made, "b", wave[264:])
    load(made, "long", sine(8000, 16000))
    return made


def test_b16_clips_of_a_playlist_follow_each_other_without_a_gap_at_any_rate() -> None:
    for rate in RATES:
        player = Player(1)
        for each in RATES:
            whole = sine(each, 2000)
            player.load("first", each, whole[: 777 * each // 8000].astype(np.int16))
            player.load("second", each, whole[777 * each // 8000 :].astype(np.int16))
        player.play_leg(0, Playlist(1, ("first", "second")))
        heard, _ = play(player, 13, rate)
        expected = np.zeros(13 * rate // 50, np.float32)
        expected[: 2000 * rate // 8000] = sine(rate, 2000).astype(np.int16)
        after_fade = rate // 200
        assert np.array_equal(heard[after_fade:], expected[after_fade:])


def test_b16_a_finished_playlist_is_told_once_and_as_complete(player: Player) -> None:
    player.play_leg(0, Playlist(7, ("a", "b")))
    told = [player.finished() for _ in range(8) if play(player, 1)[0] is not None]
    assert [told.index(over) for over in told if over] == [4], "84 ms end in the fifth tick"
    assert told[4] == [(7, True)]
    assert len(player) == 0


def test_b6_music_loops_without_a_seam_until_it_is_stopped(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("long",), loop=True))
    heard, _ = play(player, 500)
    expected = np.tile(sine(8000, 16000).astype(np.int16), 5).astype(np.float32)
    assert np.array_equal(heard[40:], expected[40:])
    player.stop_leg(0)
    tail, _ = play(player, 3)
    assert player.finished() == [(1, False)]
    assert np.abs(tail[:20]).max() > 2000
    assert not tail[160:].any()
    joined = np.concatenate((heard[-800:], tail))
    assert sharpest_bend(joined) < sharpest_bend(heard[-800:]) * 1.1, "it fades, it does not click"


def test_a_clip_that_begins_in_the_middle_of_a_wave_does_not_click() -> None:
    player = Player(1)
    load(player, "cosine", sine(8000, 1600, phase=np.pi / 2))
    player.play_leg(0, Playlist(1, ("cosine",)))
    heard, _ = play(player, 5)
    assert sharpest_bend(np.concatenate((np.zeros(10, np.float32), heard))) < 1.5 * sharpest_bend(heard[200:])


def test_replacing_a_prompt_cross_fades_within_one_tick(player: Player) -> None:
    load(player, "other", sine(8000, 16000, 700, phase=1.0))
    player.play_leg(0, Playlist(1, ("long",)))
    before, _ = play(player, 7)
    player.play_leg(0, Playlist(2, ("other",)))
    after, _ = play(player, 5)
    assert player.finished() == [(1, False)]
    assert np.array_equal(after[160:], sine(8000, 800, 700, phase=1.0)[160:].astype(np.int16).astype(np.float32))
    both = np.concatenate((before[160:], after))
    assert sharpest_bend(both) < 1.1 * sharpest_bend(after[160:])
    energy = (after[:160].reshape(4, 40) ** 2).mean(axis=1)
    assert energy.min() > 0.15 * 8000**2 / 2, "no hole between the two"


def test_queued_prompts_play_in_order_and_each_with_its_own_gain(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("a",)))
    player.play_leg(0, Playlist(2, ("b",), gain_db=-6.0206, queued=True))
    heard, _ = play(player, 6)
    assert player.finished() == [(1, True), (2, True)]
    expected = sine(8000, 672).astype(np.int16).astype(np.float32)
    expected[264:] /= 2
    assert np.allclose(heard[40:672], expected[40:], atol=0.5)


def test_a_queued_prompt_ends_the_music_it_would_otherwise_wait_for_forever(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("long",), loop=True))
    play(player, 3)
    player.play_leg(0, Playlist(2, ("a",), queued=True))
    player.play_leg(0, Playlist(3, ("long",), loop=True, queued=True))
    player.play_leg(0, Playlist(4, ("b",), queued=True))
    play(player, 10)
    assert player.finished() == [(1, False), (3, False), (2, True), (4, True)]


def test_what_a_prompt_covers_is_lowered_and_comes_back_smoothly(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("long",), duck_db=20))
    _, gain = play(player, 105)
    assert gain[0] > 0.98
    assert np.allclose(gain[320:-800], 0.1)
    assert np.allclose(gain[-400:], 1)
    assert np.abs(np.diff(gain)).max() == pytest.approx(0.9 / 320, rel=1e-3)
    assert len(player) == 0


def test_the_lowering_of_queued_prompts_goes_straight_from_one_depth_to_the_other(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("b",), duck_db=20))
    player.play_leg(0, Playlist(2, ("b",), duck_db=6, queued=True))
    _, gain = play(player, 12)
    down = int(np.argmin(gain))
    assert (np.diff(gain[down:]) >= 0).all()
    assert gain[down] == pytest.approx(0.1)


def test_every_leg_and_every_conference_hears_its_own(player: Player) -> None:
    player.play_leg(5, Playlist(1, ("a",)))
    player.play_leg(2, Playlist(2, ("long",)))
    player.play_leg(3, Playlist(3, ("long",)))
    player.play_room(1, Playlist(4, ("b",)))
    rates = np.full(8, 8000)
    rates[3] = 48000
    legs, rooms = player.leg_frames(rates), player.room_frames(rates)
    assert legs[8000].listeners.tolist() == [2, 5]
    assert legs[48000].listeners.tolist() == [3]
    assert legs[48000].frames.shape == (1, 960)
    assert rooms[8000].listeners.tolist() == [1]
    assert not np.array_equal(legs[8000].frames[0], rooms[8000].frames[0])


def test_a_leg_that_changes_its_codec_hears_the_prompt_go_on(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("long",)))
    play(player, 10)
    heard, _ = play(player, 1, 16000)
    assert np.array_equal(heard, np.repeat(sine(8000, 1760)[1600:].astype(np.int16), 2).astype(np.float32))


def test_prompts_follow_their_row_and_end_with_it(player: Player) -> None:
    player.play_leg(4, Playlist(1, ("long",)))
    player.play_leg(1, Playlist(2, ("long",)))
    player.move(4, 1)
    player.reset(4)
    assert player.finished() == [(2, False)]
    assert player.leg_frames(np.full(8, 8000))[8000].listeners.tolist() == [1]
    player.reset(1)
    player.play_room(3, Playlist(3, ("long",)))
    player.forget_room(3)
    assert player.finished() == [(1, False), (3, False)]
    assert player.leg_frames(np.full(8, 8000)) == player.room_frames(np.full(8, 8000)) == {}


def test_an_unloaded_clip_is_played_to_its_end_and_cannot_be_played_again(player: Player) -> None:
    player.play_leg(0, Playlist(1, ("long",)))
    size = player.clip_bytes
    player.unload("long")
    assert player.clip_bytes == size - 16000 * 2 * (1 + 2 + 6)
    heard, _ = play(player, 100)
    assert np.abs(heard[-8000:]).max() > 7900
    with pytest.raises(PlayError, match="clips: 'long' is not loaded"):
        player.play_leg(0, Playlist(2, ("long",)))


def test_a_long_clip_comes_in_parts_and_replaces_the_old_one_only_when_whole(player: Player) -> None:
    new = np.arange(1000, dtype=np.int16)
    for rate in RATES:
        pcm = np.repeat(new, rate // 8000)
        for offset in range(0, len(pcm), 600):
            player.load("a", rate, pcm[offset : offset + 600], offset=offset, total=len(pcm))
            if rate < 48000:
                player.play_leg(0, Playlist(1, ("a",)))
                assert np.array_equal(play(player, 1)[0][80:], sine(8000, 160)[80:].astype(np.int16))
                player.reset(0)
    player.play_leg(0, Playlist(1, ("a",)))
    assert np.array_equal(play(player, 1)[0][80:], new[80:160].astype(np.float32))


@pytest.mark.parametrize(
    ("field", "rate", "size", "offset", "total"),
    [
        ("rate", 44100, 100, 0, None),
        ("total", 8000, 0, 0, None),
        ("total", 8000, 100, 0, 8000 * 601),
        ("pcm", 8000, 100, 50, 149),
        ("offset", 8000, 100, 50, 200),
        ("pcm", 8000, 6000, 0, None),
    ],
)
def test_a_clip_that_cannot_be_taken_is_refused_with_the_reason(
    field: str, rate: int, size: int, offset: int, total: int | None
) -> None:
    player = Player(1, max_bytes=10_000)
    with pytest.raises(PlayError) as caught:
        player.load("x", rate, np.zeros(size, np.int16), offset=offset, total=total)
    assert caught.value.field == field
    assert player.clip_bytes == 0


@pytest.mark.parametrize(
    ("field", "playlist"),
    [
        ("clips", Playlist(1, ())),
        ("clips", Playlist(1, ("a", "nowhere"))),
        ("clips", Playlist(1, ("a",) * 65)),
        ("loop", Playlist(1, ("a", "b"), loop=True)),
    ],
)
def test_a_playlist_that_cannot_be_played_leaves_what_plays_alone(
    player: Player, field: str, playlist: Playlist
) -> None:
    player.play_leg(0, Playlist(9, ("long",)))
    with pytest.raises(PlayError) as caught:
        player.play_leg(0, playlist)
    assert caught.value.field == field
    assert player.finished() == []


def test_the_queue_of_a_listener_is_bounded(player: Player) -> None:
    for token in range(MAX_QUEUED + 1):
        player.play_leg(0, Playlist(token, ("a",), queued=True))
    with pytest.raises(PlayError, match="queued: 16 playlists wait"):
        player.play_leg(0, Playlist(99, ("a",), queued=True))


@settings(max_examples=100, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(["play", "queue", "loop", "stop", "move", "reset"]), st.integers(0, 4)), max_size=20
    )
)
def test_whatever_happens_every_token_is_told_exactly_once(doings: list[tuple[str, int]]) -> None:
    player = Player(8)
    load(player, "a", sine(8000, 900))
    told: list[int] = []
    tokens = 0
    for what, ticks in doings:
        if what in ("play", "queue", "loop"):
            try:
                player.play_leg(0, Playlist(tokens, ("a",), loop=what == "loop", queued=what != "play", duck_db=9))
            except PlayError:
                continue
            tokens += 1
        elif what == "stop":
            player.stop_leg(0)
        elif what == "reset":
            player.reset(0)
        else:
            player.move(0, 1)
            player.move(1, 0)
        if ticks:
            play(player, ticks)
        told += [token for token, _ in player.finished()]
    player.stop_leg(0)
    play(player, 3)
    told += [token for token, _ in player.finished()]
    assert sorted(told) == list(range(tokens))
    assert len(player) == 0


def test_ducking_leaves_listeners_without_it_untouched_to_the_bit() -> None:
    start, end = np.array([1, 1], np.float32), np.array([1, 0.5], np.float32)
    batch = Batch(np.arange(2), np.zeros((2, 160), np.float32), start, end)
    frames = np.full((2, 160), 1234.5, np.float32)
    batch.duck(np.array([0, 1]), frames)
    assert (frames[0] == 1234.5).all()
    assert frames[1, -1] == pytest.approx(617.25)
