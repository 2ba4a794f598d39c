"""Tones and music on hold: level, soft edges, nothing that a keypad detector hears, no seam in the loop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from control.prompts import music, tones
from control.prompts.sound import RATE, Clip, Pcm, active_level, at_level, faded, level, trim
from tests.prompts.test_prompts import pitch, write_sound

DTMF = (697, 770, 852, 941, 1209, 1336, 1477, 1633)


def sharpest_bend(pcm: Pcm) -> float:
    """Largest second difference against the mean one: a click is a spike among them."""
    bends = np.abs(np.diff(pcm.astype(float), 2))
    return float(bends.max() / max(np.sqrt(np.mean(bends**2)), 1e-9))


def share(pcm: Pcm, hertz: float) -> float:
    """Part of a frame's energy at one frequency."""
    turn = np.exp(-2j * np.pi * hertz * np.arange(len(pcm)) / RATE)
    return float(2 * abs(np.dot(pcm, turn)) ** 2 / len(pcm) / max(np.dot(pcm.astype(float), pcm), 1.0))


@pytest.mark.parametrize("name", tones.NAMES)
def test_b7_tones_are_short_quiet_and_without_clicks(name: str) -> None:
    clip = tones.tone(name)
    assert 0.1 <= clip.seconds <= 1.0
    assert -26.5 <= active_level(clip.pcm16k) <= -20
    assert sharpest_bend(clip.pcm16k) < 8
    assert np.abs(clip.pcm16k[[0, -1]]).max() < 20


@pytest.mark.parametrize("clip", [*map(tones.tone, tones.NAMES), music.built_in()], ids=lambda clip: clip.name)
def test_no_tone_and_no_music_holds_a_keypad_signal(clip: Clip) -> None:
    for start in range(0, len(clip.pcm16k) - 400, 400):
        frame = clip.pcm16k[start : start + 400]
        low = max(share(frame, hertz) for hertz in DTMF[:4])
        high = max(share(frame, hertz) for hertz in DTMF[4:])
        assert low + high < 0.7 or min(low, high) < 0.1, (clip.name, start)


def test_entry_and_exit_are_told_apart() -> None:
    entry, leave = (tones.tone(name).pcm16k for name in ("entry", "exit"))
    assert pitch(entry[: len(entry) // 3]) < pitch(entry[len(entry) // 2 :])
    assert pitch(leave[: len(leave) // 3]) > pitch(leave[len(leave) // 2 :])


def test_b6_the_built_in_music_is_quiet_long_and_in_the_telephone_band() -> None:
    clip = music.built_in()
    assert 25 < clip.seconds < 40
    assert abs(active_level(clip.pcm16k) + 34) < 0.5
    spectrum = np.abs(np.fft.rfft(clip.pcm16k)) ** 2
    hertz = np.fft.rfftfreq(len(clip.pcm16k), 1 / RATE)
    assert spectrum[(hertz > 180) & (hertz < 3400)].sum() / spectrum.sum() > 0.98
    assert min(level(clip.pcm16k[at : at + RATE]) for at in range(0, len(clip.pcm16k), RATE)) > -45


def test_the_built_in_music_joins_its_beginning_without_a_seam() -> None:
    pcm = music.built_in().pcm16k
    seam = np.concatenate([pcm[-RATE // 10 :], pcm[: RATE // 10]])
    assert sharpest_bend(seam) < 6
    assert sharpest_bend(np.concatenate([pcm[-RATE // 10 :], pcm[RATE : RATE + RATE // 10]])) > sharpest_bend(seam)


async def test_music_comes_from_the_operators_files_in_order(tmp_path: Path) -> None:
    write_sound(tmp_path / "2.wav", 500, rate=8000, codec="pcm_s16le")
    write_sound(tmp_path / "1.ogg", 800, rate=24000, codec="libopus")
    (tmp_path / "3.mp3").write_text("not music")
    with capture_logs() as logs:
        clips = await music.load(tmp_path)
    assert [(clip.name, round(pitch(clip.pcm16k) / 100)) for clip in clips] == [("music/1.ogg", 8), ("music/2.wav", 5)]
    assert all(abs(active_level(clip.pcm16k) + 34) < 1 for clip in clips)
    assert "3.mp3" in logs[0]["reason"]


async def test_without_files_there_is_the_built_in_music(tmp_path: Path) -> None:
    assert [clip.name for clip in await music.load(tmp_path / "none")] == ["music/built-in"]


# --- measures and shapes of sound ------------------------------------------------------------------------------------


def test_the_active_level_passes_over_pauses_and_silence_has_none() -> None:
    tone = (10000 * np.sin(np.arange(RATE) / 3)).astype(np.int16)
    silence = np.zeros(3 * RATE, np.int16)
    assert abs(active_level(np.concatenate([tone, silence, tone])) - level(tone)) < 1
    assert active_level(silence) == -127
    assert len(trim(silence)) == 0
    assert not at_level(silence, -24).any()
    assert len(faded(tone[:3], 1)) == 3


def test_a_sharp_peak_keeps_sound_from_being_raised_until_it_clips() -> None:
    peaky = np.zeros(RATE, np.int16)
    peaky[::800] = 12000
    assert 28000 < np.abs(at_level(peaky, -12).astype(int)).max() <= 29000


def test_a_clip_cannot_be_changed_and_knows_its_sound() -> None:
    pcm = np.arange(100, dtype=np.int16)
    clip, same, other = Clip("a", pcm), Clip("b", pcm), Clip("a", pcm[1:])
    pcm[0] = 99
    assert clip.pcm16k[0] == 0
    assert (clip.digest == same.digest, clip.digest == other.digest) == (True, False)
    with pytest.raises(ValueError, match="read-only"):
        clip.pcm16k[0] = 1
