"""Hold music detection: music, tones and noise are found within seconds, speech never."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.hold_music import HoldMusicDetector
from tests.mixer.sound import ESPEAK, VOICES, at_level, energies, noise, spoken
from tests.mixer.voice import vowels

Float = NDArray[np.float32]
RATE = 8000
SCALE = (262, 330, 392, 523, 392, 330, 294, 349, 440, 587, 440, 349)
CHORDS = ((262, 330, 392), (220, 262, 330), (349, 440, 523), (392, 494, 587))


def judged(*waves: Float, expected: bool = False) -> list[list[tuple[str, float]]]:
    """What is told of each signal: (what, second). A row per signal, as long as the shortest."""
    detector = HoldMusicDetector(len(waves))
    detector.expected[:] = expected
    told: list[list[tuple[str, float]]] = [[] for _ in waves]
    ticks = min(len(wave) for wave in waves) // 160
    energy = np.stack([energies(wave)[:ticks] for wave in waves])
    for tick in range(ticks):
        for what, rows in zip(("plays", "over"), detector.update(len(waves), energy[:, tick]), strict=True):
            for row in rows.tolist():
                told[row].append((what, tick / 50))
    return told


def harmonics(frequency: float, time: NDArray[np.float64]) -> NDArray[np.float64]:
    wave: NDArray[np.float64] = np.sum([np.sin(2 * np.pi * frequency * k * time) / k for k in (1, 2, 3)], axis=0)
    return wave


def chords(seconds: float) -> Float:
    """A chord every 2 s."""
    time = np.arange(2 * RATE) / RATE
    edge = np.minimum(1, np.minimum(time / 0.02, (2 - time) / 0.05))
    played = [sum(harmonics(tone, time) for tone in CHORDS[i % 4]) * edge for i in range(int(seconds / 2))]
    return at_level(np.concatenate(played).astype(np.float32), -24)


def arpeggio(seconds: float, drums: bool = False) -> Float:
    """Four plucked notes a second, each ringing on; with drums a beat twice a second."""
    rng, time = np.random.default_rng(3), np.arange(RATE) / RATE
    out = np.zeros(int((seconds + 1) * RATE))
    for i in range(int(seconds * 4)):
        out[i * 2000 : i * 2000 + RATE] += harmonics(SCALE[i % 12], time) * np.exp(-3 * time)
    for beat in range(int(seconds * 2) if drums else 0):
        out[beat * 4000 : beat * 4000 + 1200] += 2 * rng.normal(size=1200) * np.exp(-np.arange(1200) / 250)
    return at_level(out[: int(seconds * RATE)].astype(np.float32), -24)


def cadence(seconds: float, on: float, off: float) -> Float:
    """425 Hz, as exchanges here signal with (ITU-T E.180)."""
    time = np.arange(int(seconds * RATE)) / RATE
    return (8000 * np.sin(2 * np.pi * 425 * time) * (time % (on + off) < on)).astype(np.float32)


@pytest.mark.parametrize("make", [chords, arpeggio, lambda seconds: arpeggio(seconds, drums=True)])
def test_n8_music_on_hold_is_recognised_within_ten_seconds(make: Callable[[float], Float]) -> None:
    ((found,),) = judged(make(30))
    assert found[0] == "plays"
    assert 2 < found[1] < 10


@pytest.mark.parametrize(("on", "off", "within"), [(30, 0, 6), (0.35, 0.35, 10), (1, 4, 15)])
def test_n8_dial_busy_and_ringing_tones_are_recognised(on: float, off: float, within: float) -> None:
    ((found,),) = judged(cadence(30, on, off))
    assert found[0] == "plays"
    assert 2 < found[1] < within


def test_n8_loud_steady_noise_is_recognised_and_quiet_noise_is_let_be() -> None:
    loud, quiet = judged(noise(30, -30), noise(30, -55))
    assert [what for what, _ in loud] == ["plays"]
    assert quiet == []


@pytest.mark.parametrize("expected", [False, True])
def test_n8_speech_is_never_taken_for_music_even_with_noise_behind_it(expected: bool) -> None:
    clean = [at_level(vowels(RATE, 60, seed), -24) for seed in range(6)]
    waves = [*clean, *(wave + noise(60, -39) for wave in clean)]
    assert judged(*waves, expected=expected) == [[]] * len(waves)


@pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not installed")
@pytest.mark.parametrize("expected", [False, True])
@pytest.mark.parametrize("words_per_minute", [140, 220])
def test_n8_spoken_sentences_are_never_taken_for_music(words_per_minute: int, expected: bool) -> None:
    clean = [np.resize(spoken(voice, words_per_minute), 60 * RATE) for voice in VOICES]
    waves = [*clean, *(wave + noise(60, -41) for wave in clean)]
    assert judged(*waves, expected=expected) == [[]] * len(waves)


def test_n8_when_the_far_side_is_known_to_hold_it_takes_half_the_time() -> None:
    ((unexpected,),), ((expected,),) = judged(chords(30)), judged(chords(30), expected=True)
    assert expected[1] < unexpected[1] / 1.5
    assert expected[1] > 1


def test_n8_who_comes_back_from_hold_is_heard_again_within_three_seconds() -> None:
    wave = np.concatenate((chords(20), at_level(vowels(RATE, 20), -24)))
    ((plays, over),) = judged(wave)
    assert plays[1] < 20
    assert over[0] == "over"
    assert 20 < over[1] < 23


def test_n8_a_leg_that_fell_silent_does_not_play_any_more() -> None:
    ((plays, over),) = judged(np.concatenate((chords(20), np.zeros(12 * RATE, np.float32))))
    assert (plays[0], over[0]) == ("plays", "over")
    assert 25 < over[1] < 28


def test_n8_the_verdict_stays_with_its_row_and_a_forgotten_row_is_judged_anew() -> None:
    detector, hiss = HoldMusicDetector(3), energies(noise(20, -30))
    for energy in hiss:
        detector.update(2, np.array([0, energy], np.float32))
    detector.expected[1] = True
    detector.move(1, 0)
    detector.reset(1)
    assert detector.playing.tolist() == [True, False, False]
    detector.forget(0)
    assert not detector.playing[0]
    assert detector.expected[0]
    assert [len(rows) for rows in detector.update(1, hiss[:1])] == [0, 0]
