"""The measuring itself: tones of known level are found at that level, gaps where they are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.peers.audio import (
    Recording,
    assert_hears,
    assert_silent,
    assert_steady,
    gaps,
    level_dbov,
    read_wav,
    write_tone,
)


def test_a_tone_is_measured_at_the_level_it_was_written_with(tmp_path: Path) -> None:
    recording = read_wav(write_tone(tmp_path / "tone.wav", 440.3, dbov=-20, channels=2, rate=48_000))
    assert level_dbov(recording, 440.3) == pytest.approx(-20, abs=0.1)
    assert level_dbov(recording, 880) < -80


def test_a_gap_is_found_where_it_is(tmp_path: Path) -> None:
    recording = read_wav(write_tone(tmp_path / "tone.wav", 1000))
    assert gaps(recording, 1000) == []
    holed = recording.samples.copy()
    holed[8000:11200] = 0
    ((start, length),) = gaps(Recording(recording.rate, holed), 1000)
    assert start == pytest.approx(0.5, abs=0.06)
    assert length == pytest.approx(0.2, abs=0.06)
    assert_steady(recording, 1000)
    with pytest.raises(AssertionError, match="gaps"):
        assert_steady(Recording(recording.rate, holed).part(0.4, 0.9), 1000)


def test_wrong_levels_ones_own_voice_and_sound_in_silence_are_noticed(tmp_path: Path) -> None:
    first, second = (read_wav(write_tone(tmp_path / f"{f}.wav", f, dbov=-20)) for f in (500, 800))
    both = Recording(16_000, first.samples + second.samples)
    assert_hears(both, {500: -20, 800: -20}, own=1100)
    assert_silent(both, 1100)
    with pytest.raises(AssertionError, match="tones heard"):
        assert_hears(both, {500: -17, 800: -20}, own=None)
    with pytest.raises(AssertionError, match="hears itself"):
        assert_hears(both, {500: -20}, own=800)
    with pytest.raises(AssertionError, match="expected silence"):
        assert_silent(both, 800)
    assert level_dbov(Recording(8000, np.zeros(0)), 500) == -100
