"""In-band keypad tones by ITU-T Q.24: found where they must be, and never in anything else."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import numpy as np
import pytest
from numpy.typing import NDArray

from mixer.g711 import DECODE, ENCODE, PCMA, PCMU
from mixer.inband import FULL_SCALE_DBM0, HIGH, KEYS, LOW, InbandDetector
from tests.mixer.sound import ESPEAK, VOICES, at_level, spoken
from tests.mixer.test_hold_music import arpeggio, cadence, chords
from tests.mixer.voice import vowels

Wave = NDArray[np.float64]
Float = NDArray[np.float32]
EACH = 4
"""Tones of each digit, beginning anywhere in a frame."""
RNG = np.random.default_rng(24)


def amplitude(dbm0: float) -> float:
    return float(32768 * 10 ** ((dbm0 - FULL_SCALE_DBM0) / 20))


def tone(digit: str, ms: float, low_dbm0: float = -10, high_dbm0: float = -10, off: float = 0.0) -> Wave:
    """A digit of ``ms``, its two tones ``off`` (a fraction, either way) their frequencies, in any phase."""
    place = KEYS.index(digit)
    time = np.arange(round(ms * 8)) / 8000
    wave = np.zeros(len(time))
    for frequency, level in ((LOW[place // 4], low_dbm0), (HIGH[place % 4], high_dbm0)):
        shifted = frequency * (1 + off * RNG.choice([-1, 1]))
        wave += amplitude(level) * np.sin(2 * np.pi * shifted * time + RNG.uniform(0, 2 * np.pi))
    return wave


def silence(ms: float) -> Wave:
    return np.zeros(round(ms * 8), np.float64)


def noise(ms: float, dbm0: float) -> Wave:
    hiss: Wave = RNG.normal(size=round(ms * 8)) * amplitude(dbm0) / np.sqrt(2)
    return hiss


def heard(waves: list[Wave], law: int = PCMU) -> list[list[tuple[str, int]]]:
    """Digit and milliseconds of the presses found in each, as G.711 brings them."""
    ticks = -(-max(len(wave) for wave in waves) // 160) + 4
    signal = np.zeros((len(waves), ticks * 160))
    for row, wave in enumerate(waves):
        signal[row, : len(wave)] = wave
    pcm = DECODE[law][ENCODE[law][np.clip(np.rint(signal), -32768, 32767).astype(np.int16).view(np.uint16)]]
    detector, rows = InbandDetector(len(waves)), np.arange(len(waves))
    found: list[list[tuple[str, int]]] = [[] for _ in waves]
    for tick in range(ticks):
        for row, digit, ms in detector.update(rows, pcm[:, tick * 160 : tick * 160 + 160].astype(np.float32)):
            found[row].append((digit, ms))
    return found


def share_found(make: Callable[[str], Wave], expected: str = "x", *, noise_dbm0: float | None = None) -> float:
    """In which share of all digits exactly ``expected`` was found (x: the digit)."""
    digits = KEYS * EACH
    waves = [np.concatenate((silence(RNG.uniform(50, 120)), make(digit), silence(80))) for digit in digits]
    if noise_dbm0 is not None:
        waves = [wave + noise(len(wave) / 8, noise_dbm0) for wave in waves]
    told = ["".join(digit for digit, _ in presses) for presses in heard(waves)]
    return float(np.mean([text == expected.replace("x", digit) for text, digit in zip(told, digits, strict=True)]))


@pytest.mark.parametrize("law", [PCMU, PCMA])
def test_b34_a_number_keyed_by_tones_is_read_digit_by_digit(law: int) -> None:
    number = "375*29#0A1B6C8D4"
    wave = np.concatenate([np.concatenate((tone(digit, 60), silence(60))) for digit in number])
    (presses,) = heard([wave], law)
    assert "".join(digit for digit, _ in presses) == number
    assert all(abs(ms - 60) <= 10 for _, ms in presses)


@pytest.mark.parametrize("dbm0", [-30, -20, -10, -3])
@pytest.mark.parametrize("twist", [0, 8, -4])
def test_b34_tones_of_40_ms_are_found_at_every_level_with_any_permitted_twist(dbm0: float, twist: float) -> None:
    """``twist``: by how much the low tone is stronger; the weaker one is at ``dbm0`` unless both would not fit."""
    low, high = dbm0 + max(twist, 0), dbm0 - min(twist, 0)
    above = max(low, high) + 3
    assert share_found(lambda digit: tone(digit, 40, low - max(above, 0), high - max(above, 0))) == 1


@pytest.mark.parametrize("ms", [45, 70, 120, 1000])
def test_b34_a_tone_however_long_is_one_press_of_that_length(ms: int) -> None:
    ((press,),) = heard([np.concatenate((silence(50), tone("5", ms), silence(80)))])
    assert press[0] == "5"
    assert abs(press[1] - ms) <= 7


def test_b34_tones_shorter_than_23_ms_are_no_digits() -> None:
    assert share_found(lambda digit: tone(digit, 22.9), "") == 1
    assert share_found(lambda digit: tone(digit, 22.9, off=0.015), "") == 1


def test_b34_frequencies_up_to_one_and_a_half_percent_off_are_found() -> None:
    assert share_found(lambda digit: tone(digit, 40, off=0.015)) == 1
    assert share_found(lambda digit: tone(digit, 60, -20, -26, off=0.015), noise_dbm0=-46) == 1


@pytest.mark.parametrize("off", [0.035, 0.04, 0.05])
def test_b34_frequencies_three_and_a_half_percent_off_are_not(off: float) -> None:
    assert share_found(lambda digit: tone(digit, 200, off=off), "") == 1


def test_b34_tones_of_very_different_strength_are_no_digit() -> None:
    assert share_found(lambda digit: tone(digit, 100, -10, -21), "") == 1
    assert share_found(lambda digit: tone(digit, 100, -17, -10), "") == 1


def test_b34_a_pause_of_40_ms_divides_two_presses_of_the_same_key() -> None:
    assert share_found(lambda digit: np.concatenate((tone(digit, 40), silence(40), tone(digit, 40))), "xx") == 1


@pytest.mark.parametrize("dbm0", [-30, -10, -3])
@pytest.mark.parametrize("filling", [silence, lambda ms: noise(ms, -10)])
def test_b34_ten_milliseconds_of_silence_or_noise_in_a_tone_do_not_divide_it(
    dbm0: float, filling: Callable[[float], Wave]
) -> None:
    def broken(digit: str) -> Wave:
        wave = tone(digit, 60, dbm0, dbm0)
        wave[200:280] = filling(10)
        return wave

    assert share_found(broken) == 1


def test_b34_a_lost_packet_in_a_tone_does_not_divide_it() -> None:
    def gapped(digit: str) -> Wave:
        wave = tone(digit, 100)
        wave[320:480] = 0
        return wave

    assert share_found(gapped) == 1


@pytest.mark.parametrize("ratio_db", [20, 15, 12])
def test_b34_tones_are_found_in_noise(ratio_db: float) -> None:
    assert share_found(lambda digit: tone(digit, 40, -20, -20), noise_dbm0=-17 - ratio_db) == 1


def test_b34_another_key_pressed_without_a_pause_is_another_digit() -> None:
    assert share_found(lambda digit: np.concatenate((tone(digit, 60), tone("#", 60))), "x#") >= 15 / 16


def test_b34_keypad_tones_are_kept_out_of_the_mix_but_for_a_tick_at_their_beginning() -> None:
    waves = [np.concatenate((silence(40 + 1.25 * i), tone("7", 300), silence(140))) for i in range(16)]
    pcm = np.stack([wave[: 160 * 22].astype(np.float32) for wave in (np.pad(w, (0, 4000)) for w in waves)])
    detector, rows, present = InbandDetector(16), np.arange(16), []
    for tick in range(22):
        detector.update(rows, pcm[:, tick * 160 : tick * 160 + 160])
        present.append(detector.present.copy())
    leaking = np.where(np.repeat(np.array(present).T, 160, axis=1), 0, pcm)
    leaked_ms = (leaking != 0).sum(axis=1) / 8
    assert leaked_ms.max() < 16
    assert not np.array(present)[:2].any(), "nothing is kept out before"
    assert not np.array(present)[20:].any(), "nor afterwards"


def replayed(wave: Float, speed: float, start: int) -> Float:
    """30 s of it, over and over, so much faster and higher."""
    at = start + np.arange(240_000) * speed
    place = at.astype(np.int64)
    before, after = wave[place % len(wave)], wave[(place + 1) % len(wave)]
    return (before + (after - before) * (at - place)).astype(np.float32)


def found_in(waves: Iterable[Float]) -> tuple[list[tuple[int, str, int]], float, float]:
    """Digits found, share of frames kept out of the mix, hours."""
    signal = np.stack([wave[:240_000] for wave in waves])
    detector, rows, digits, kept_out = InbandDetector(len(signal)), np.arange(len(signal)), [], 0
    for tick in range(signal.shape[1] // 160):
        digits += detector.update(rows, signal[:, tick * 160 : tick * 160 + 160])
        kept_out += int(detector.present.sum())
    return digits, kept_out / (signal.size / 160), signal.size / 8000 / 3600


def test_talk_off_an_hour_of_speech_like_sound_yields_no_digit() -> None:
    """Voices of all pitches from a whisper to overdriven, in noise or not."""
    waves = []
    for seed in range(20):
        voice = vowels(8000, 40, seed)
        for speed in (0.8, 0.95, 1.1, 1.25, 1.33, 0.7):
            wave = at_level(replayed(voice, speed, 0), float(RNG.uniform(-35, -8)))
            wave += RNG.normal(0, RNG.uniform(0, 60), wave.shape)
            waves.append(np.clip(wave, -32768, 32767))
    digits, kept_out, hours = found_in(waves)
    assert hours >= 1
    assert digits == []
    assert kept_out < 1e-4


@pytest.mark.skipif(ESPEAK is None, reason="espeak-ng is not installed")
def test_talk_off_an_hour_of_spoken_sentences_yields_no_digit() -> None:
    everything = np.concatenate([spoken(voice, speed) for voice in VOICES for speed in (120, 160, 220)])
    waves = []
    for speed in np.linspace(0.75, 1.3, 120):
        wave = replayed(everything, float(speed), int(RNG.integers(len(everything))))
        waves.append(wave * np.float32(10 ** (RNG.uniform(-10, 10) / 20)))
    digits, kept_out, hours = found_in(waves)
    assert hours >= 1
    assert digits == []
    assert kept_out < 1e-4


def test_talk_off_music_and_the_exchanges_own_tones_yield_no_digit() -> None:
    waves = [chords(30), arpeggio(30), arpeggio(30, drums=True), cadence(30, 30, 0), cadence(30, 0.35, 0.35)]
    digits, kept_out, _ = found_in(waves)
    assert digits == []
    assert kept_out == 0


def test_tones_follow_their_row_and_a_new_leg_begins_without_any() -> None:
    wave = np.pad(tone("9", 100), (0, 1120)).astype(np.float32).reshape(-1, 160)
    detector = InbandDetector(4)
    detector.enabled[3] = True
    for tick in range(3):
        detector.update(np.array([3]), wave[tick : tick + 1])
    detector.move(3, 1)
    detector.reset(3)
    assert detector.enabled.tolist() == [False, True, False, False]
    found = []
    for tick in range(3, len(wave)):
        found += detector.update(np.array([1, 3]), np.stack((wave[tick], np.zeros(160, np.float32))))
    assert [(row, digit) for row, digit, _ in found] == [(1, "9")]
