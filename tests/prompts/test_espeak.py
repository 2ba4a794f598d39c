"""The speaking process's inside: libraries, voices, and stress where the text marks it."""

from __future__ import annotations

import ctypes

import pytest

from control.prompts.espeak import Espeak, EspeakError
from control.prompts.sound import RATE, active_level
from control.prompts.synthesiser import SpeechError, Synthesiser
from tests.prompts.conftest import scripted


@pytest.fixture(scope="module")
def espeak() -> Espeak:
    return Espeak()


@pytest.mark.parametrize(
    ("voice", "word", "phonemes"),
    [
        ("be", "вяду́чы", "[[v;ad'uts.i\"]]"),
        ("be", "рашо́тка", "[[ras.'Otka]]"),
        ("be", "няма́", "[[n;am'a]]"),
        ("be", "нуль", "нуль"),
        ("en", "ХХ\N{COMBINING ACUTE ACCENT}", "ХХ"),
    ],
)
def test_marked_stress_becomes_phonemes_and_other_words_stay(
    espeak: Espeak, voice: str, word: str, phonemes: str
) -> None:
    espeak._choose(voice)
    assert espeak.stressed(word) == phonemes


def test_stress_is_heard(espeak: Espeak) -> None:
    unmarked, marked = (espeak.speak(word, "be", 150) for word in ("вядучы", "вяду́чы"))
    assert len(unmarked) != len(marked)


async def test_an_unknown_voice_or_a_soundless_text_is_an_error_and_the_next_is_spoken() -> None:
    synthesiser = Synthesiser()
    with pytest.raises(SpeechError, match="no voice xx-nowhere"):
        await synthesiser.speak("word", voice="xx-nowhere", rate=150, level_dbov=-24)
    with pytest.raises(SpeechError, match="nothing was heard"):
        await synthesiser.speak("...", voice="en", rate=150, level_dbov=-24)
    assert len(await synthesiser.speak("word", voice="en", rate=150, level_dbov=-24)) > RATE / 5
    await synthesiser.close()


async def test_without_the_package_the_systems_library_speaks() -> None:
    try:
        ctypes.CDLL("libespeak-ng.so.1")
    except OSError:
        pytest.skip("Debian's libespeak-ng1 is not installed")
    program = (
        "import importlib.util; importlib.util.find_spec = lambda name: None; from control.prompts import espeak;"
        "espeak.main()"
    )
    # In a process of its own: one process cannot hold two libraries of one name.
    synthesiser = scripted(program)
    for voice, text in (("ru", "Введите номер"), ("be", "Увядзі́це ну́мар"), ("en", "Enter the number")):
        pcm = await synthesiser.speak(text, voice=voice, rate=150, level_dbov=-24)
        assert 0.5 < len(pcm) / RATE < 4
        assert active_level(pcm) == pytest.approx(-24, abs=0.5)
    await synthesiser.close()


def test_without_any_library_the_reasons_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str, *_: object) -> ctypes.CDLL:
        raise OSError(f"{name}: cannot open")

    monkeypatch.setattr(ctypes, "CDLL", missing)
    with pytest.raises(EspeakError, match=r"espeakng-loader: .*; libespeak-ng\.so\.1: cannot open"):
        Espeak()
