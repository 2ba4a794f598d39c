"""Prompts as sound: spoken by espeak-ng, cached, recorded by the operator, or tones when nothing else is there."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

import av
import numpy as np
import pytest
from structlog.testing import capture_logs

from control.config import Config, GuideConfig, PromptsConfig
from control.prompts.cache import UNUSED_SECONDS, Cache
from control.prompts.phrase import PromptError
from control.prompts.prompts import Prompts
from control.prompts.sound import RATE, Clip, Pcm, active_level, pause
from control.prompts.synthesiser import SpeechError
from tests.prompts.conftest import CountingSynthesiser, MakePrompts, scripted
from tests.prompts.test_catalogue import CATALOGUES, sample

LANGUAGES = ("ru", "be", "en")
NO_ENGINE = 'print(\'{"error": "no espeak-ng here"}\')'
DIES_SPEAKING = 'import sys; print(\'{"engine": "broken 1"}\', flush=True); sys.stdin.readline()'


def sound(clips: list[Clip]) -> Pcm:
    return np.concatenate([clip.pcm16k for clip in clips])


def write_sound(path: Path, hertz: float, *, rate: int, codec: str, seconds: float = 0.6) -> None:
    """A tone between two silences, in any format PyAV writes."""
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = 0.1 * np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)
    wave = np.concatenate([np.zeros(rate // 2), tone, np.zeros(rate // 2)])
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=rate)
        assert isinstance(stream, av.AudioStream)
        stream.layout = "mono"
        resampler = av.AudioResampler(format=stream.format.name, layout="mono", rate=rate)
        frame = av.AudioFrame.from_ndarray((wave * 32767).astype(np.int16).reshape(1, -1), format="s16", layout="mono")
        frame.sample_rate = rate
        fifo = av.AudioFifo()
        for converted in [*resampler.resample(frame), *resampler.resample(None)]:
            converted.pts = None
            fifo.write(converted)
        size = stream.codec_context.frame_size or 1024
        while (part := fifo.read(size)) or (part := fifo.read()):
            container.mux(stream.encode(part))
        container.mux(stream.encode(None))


def pitch(pcm: Pcm) -> float:
    """The strongest frequency."""
    spectrum = np.abs(np.fft.rfft(pcm * np.hanning(len(pcm))))
    return float(np.argmax(spectrum) * RATE / len(pcm))


# --- speech ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("language", LANGUAGES)
async def test_every_prompt_is_spoken_clearly_in_every_language(make_prompts: MakePrompts, language: str) -> None:
    prompts = make_prompts()
    await prompts.start()
    catalogue = next(c for c in CATALOGUES if c.language == language)
    for key in catalogue.prompts:
        values = sample(catalogue, key)
        pcm = sound(await prompts.clips(language, key, **values))
        letters = sum(sign.isalpha() for sign in prompts.text(language, key, **values))
        assert 0.03 < len(pcm) / RATE / letters < 0.25, key
        assert abs(active_level(pcm) + 24) < 1.5, key
        assert np.abs(pcm.astype(int)).max() < 30000, key
        assert np.abs(pcm[[0, -1]]).max() < 30, key
    assert prompts.missing() == []


async def test_a_spoken_prompt_is_kept_and_not_spoken_again(make_prompts: MakePrompts) -> None:
    first, second = CountingSynthesiser(), CountingSynthesiser()
    before, after = make_prompts(first), make_prompts(second)
    said = await before.clips("ru", "greeting")
    again = await asyncio.gather(*(before.clips("ru", "greeting") for _ in range(5)))
    assert all(clips[0] is said[0] for clips in again)
    assert len(first.asked) == 1
    await after.start()
    assert (await after.clips("ru", "greeting"))[0].digest == said[0].digest
    assert second.asked == []


async def test_many_who_want_the_same_at_once_have_it_spoken_once(make_prompts: MakePrompts) -> None:
    synthesiser = CountingSynthesiser()
    prompts = make_prompts(synthesiser)
    await prompts.start()
    clips = await asyncio.gather(*(prompts.clips("en", "count", count=7) for _ in range(20)))
    assert len(synthesiser.asked) == 1
    assert {clip.digest for (clip,) in clips} == {clips[0][0].digest}


async def test_a_damaged_file_of_the_cache_is_spoken_anew(make_prompts: MakePrompts, tmp_path: Path) -> None:
    prompts = make_prompts()
    await prompts.start()
    said = await prompts.clips("en", "goodbye")
    (file,) = (tmp_path / "prompt-cache").glob("??/*.wav")
    file.write_bytes(file.read_bytes()[:1000])
    fresh = make_prompts()
    await fresh.start()
    assert (await fresh.clips("en", "goodbye"))[0].digest == said[0].digest
    assert file.stat().st_size > 1000


async def test_speech_goes_on_when_it_cannot_be_kept(make_prompts: MakePrompts, tmp_path: Path) -> None:
    (tmp_path / "prompt-cache").write_text("a file in the folder's place")
    prompts = make_prompts()
    await prompts.start()
    with capture_logs() as logs:
        assert (await prompts.clips("en", "goodbye"))[0].seconds > 0.3
        await prompts.clips("en", "alone")
    assert [entry["event"] for entry in logs] == ["spoken prompts cannot be kept"]


async def test_pins_and_names_are_never_written_to_files(make_prompts: MakePrompts, tmp_path: Path) -> None:
    synthesiser = CountingSynthesiser()
    prompts = make_prompts(synthesiser)
    await prompts.start()
    await prompts.clips("en", "entered", name="Anna Petrova")
    await prompts.speak("en", "The meeting is moved")
    assert list((tmp_path / "prompt-cache").glob("??/*")) == []
    await prompts.clips("en", "chair-pin-is", pin="407123")
    words = {"The chair's PIN is", "four", "zero", "seven", "one", "two", "three"}
    assert words < set(synthesiser.asked)
    assert len(list((tmp_path / "prompt-cache").glob("??/*.wav"))) == len(words)


async def test_b5_a_recorded_name_is_put_into_the_sentence(make_prompts: MakePrompts) -> None:
    prompts = make_prompts()
    await prompts.start()
    name = Clip("name", np.arange(1000, dtype=np.int16))
    clips = await prompts.clips("ru", "entered", name=name)
    assert [clip.name for clip in clips] == ["ru/entered.1", "name"]
    assert clips[1] is name
    assert prompts.text("ru", "entered", name=name) == "Входит ."


async def test_fixed_prompts_are_made_ready_once_and_then_only_looked_at(tmp_path: Path) -> None:
    config = Config(guide=GuideConfig(language="en"), prompts=PromptsConfig(languages=("en",), prepare="start"))
    counts = []
    for _ in range(2):
        synthesiser = CountingSynthesiser()
        prompts = Prompts(config, tmp_path, synthesiser=synthesiser)
        await prompts.start()
        await prompts.prepared()
        counts.append(len(synthesiser.asked))
        assert (await prompts.clips("en", "rollcall"))[0].name == "en/rollcall"
        assert len(synthesiser.asked) == counts[-1], "a fixed prompt was not made ready"
        await prompts.close()
    assert counts[0] > 100
    assert counts[1] == 0


async def test_who_hangs_up_while_his_prompt_is_spoken_disturbs_nobody(make_prompts: MakePrompts) -> None:
    synthesiser = CountingSynthesiser()
    prompts = make_prompts(synthesiser)
    await prompts.start()
    gone = asyncio.create_task(prompts.clips("en", "enter-pin-or-skip"))
    other = asyncio.create_task(prompts.clips("en", "goodbye"))
    await synthesiser.speaking.wait()
    gone.cancel()
    said = await other
    fresh = make_prompts()
    await fresh.start()
    assert said[0].digest == (await fresh.clips("en", "goodbye"))[0].digest
    assert 3 < (await prompts.clips("en", "enter-pin-or-skip"))[0].seconds < 12


async def test_the_speaking_process_ends_when_idle_and_comes_back_when_needed(make_prompts: MakePrompts) -> None:
    synthesiser = CountingSynthesiser()
    prompts = make_prompts(synthesiser)
    await prompts.start()
    first = synthesiser._process
    assert first is not None
    synthesiser._end_if_idle()
    assert await first.wait() == 0
    assert (await prompts.clips("en", "goodbye"))[0].seconds > 0.3


# --- without a voice -------------------------------------------------------------------------------------------------


async def test_without_a_synthesiser_tones_are_heard_and_the_log_lists_what_is_silent(
    make_prompts: MakePrompts, tmp_path: Path
) -> None:
    write_sound(tmp_path / "prompts/ru/greeting.wav", 500, rate=8000, codec="pcm_s16le")
    prompts = make_prompts(scripted(NO_ENGINE))
    with capture_logs() as logs:
        await prompts.start()
    warned = {entry["language"]: entry["prompts"] for entry in logs if "no speech synthesiser" in entry["event"]}
    assert set(warned) == set(LANGUAGES)
    assert "goodbye" in warned["ru"]
    assert ("greeting" in warned["ru"], "greeting" in warned["be"]) == (False, True)
    assert "be: goodbye cannot be spoken" in prompts.missing()
    keys = ("greeting", "enter-pin", "pin-wrong", "muted")
    names = [(await prompts.clips("ru", key))[0].name for key in keys]
    assert names == ["ru/greeting", "tone/ask", "tone/refused", "tone/done"]
    with pytest.raises(SpeechError, match="no espeak-ng here"):
        await prompts.speak("ru", "Внимание")


async def test_a_speaking_process_that_dies_costs_one_prompt(make_prompts: MakePrompts) -> None:
    prompts = make_prompts(scripted(DIES_SPEAKING))
    await prompts.start()
    with capture_logs() as logs:
        clips = await prompts.clips("en", "goodbye")
    assert clips[0].name == "tone/done"
    assert logs[0]["reason"] == "the speaking process has ended unexpectedly"


async def test_a_wrong_key_or_value_is_an_error_of_the_program(make_prompts: MakePrompts) -> None:
    prompts = make_prompts()
    with pytest.raises(PromptError, match="there is no prompt good-bye"):
        await prompts.clips("en", "good-bye")
    with pytest.raises(PromptError, match="prompt count: the value count is not given"):
        prompts.text("en", "count")


async def test_a_language_that_is_not_there_is_replaced_by_the_first(make_prompts: MakePrompts) -> None:
    prompts = make_prompts()
    assert prompts.text("de", "goodbye") == prompts.text("ru", "goodbye")


# --- the operator's recordings ---------------------------------------------------------------------------------------

FORMATS = [
    ("greeting.wav", "pcm_s16le", 8000),
    ("greeting.wav", "pcm_alaw", 8000),
    ("greeting.ogg", "libopus", 24000),
    ("greeting.opus", "libopus", 48000),
    ("greeting.mp3", "libmp3lame", 44100),
    ("greeting.flac", "flac", 22050),
]


@pytest.mark.parametrize(("name", "codec", "rate"), FORMATS)
async def test_a_recording_in_any_format_replaces_the_prompt(
    make_prompts: MakePrompts, tmp_path: Path, name: str, codec: str, rate: int
) -> None:
    write_sound(tmp_path / "prompts/en" / name, 600, rate=rate, codec=codec)
    (clip,) = await make_prompts(scripted(NO_ENGINE)).clips("en", "greeting")
    assert clip.name == "en/greeting"
    assert abs(pitch(clip.pcm16k) - 600) < 5
    assert abs(active_level(clip.pcm16k) + 24) < 0.5
    assert 0.6 <= clip.seconds < 0.8


async def test_recorded_parts_and_words_make_up_a_prompt_with_values(make_prompts: MakePrompts, tmp_path: Path) -> None:
    folder = tmp_path / "prompts/en"
    for index, name in enumerate(("ending-soon.other.1", "number-5", "noun-minute-other", "ending-soon.other.2")):
        write_sound(folder / f"{name}.wav", 400 + 100 * index, rate=16000, codec="pcm_s16le")
    clips = await make_prompts(scripted(NO_ENGINE)).clips("en", "ending-soon", minutes=5)
    assert [round(pitch(clip.pcm16k) / 100) for clip in clips] == [4, 5, 6, 7]


async def test_a_recording_of_the_whole_with_one_number_goes_before_its_parts(
    make_prompts: MakePrompts, tmp_path: Path
) -> None:
    write_sound(tmp_path / "prompts/en/ending-soon=5.wav", 700, rate=16000, codec="pcm_s16le")
    prompts = make_prompts()
    await prompts.start()
    assert [clip.name for clip in await prompts.clips("en", "ending-soon", minutes=5)] == ["en/ending-soon=5"]
    (spoken,) = await prompts.clips("en", "ending-soon", minutes=1)
    assert spoken.name.startswith("en/ending-soon#")


async def test_a_recording_is_heard_soon_after_it_is_put_there_changed_or_removed(tmp_path: Path) -> None:
    now = 100.0
    config = Config(prompts=PromptsConfig(prepare="use"))
    prompts = Prompts(config, tmp_path, synthesiser=scripted(NO_ENGINE), clock=lambda: now)
    await prompts.start()
    file = tmp_path / "prompts/be/muted.wav"
    heard = []
    for hertz in (500, 900, None):
        if hertz:
            write_sound(file, hertz, rate=8000, codec="pcm_s16le", seconds=0.5 + hertz / 10000)
        else:
            file.unlink()
        now += 10
        (clip,) = await prompts.clips("be", "muted")
        heard.append((clip.name, round(pitch(clip.pcm16k) / 100)))
    await prompts.close()
    assert heard == [("be/muted", 5), ("be/muted", 9), ("tone/done", 9)]


async def test_a_file_that_is_no_sound_is_told_once_and_the_prompt_spoken(
    make_prompts: MakePrompts, tmp_path: Path
) -> None:
    folder = tmp_path / "prompts/en"
    folder.mkdir(parents=True)
    (folder / "goodbye.mp3").write_text("not a sound")
    (folder / "hello.wav").write_text("no such prompt")
    prompts = make_prompts()
    with capture_logs() as logs:
        await prompts.start()
        clips = [await prompts.clips("en", "goodbye") for _ in range(3)]
    assert all(clip[0].seconds > 0.3 for clip in clips)
    assert [entry["event"] for entry in logs] == ["recordings no prompt has a use for", "recording not used"]
    assert logs[0]["names"] == ["hello"]


async def test_the_script_for_a_recording_studio_names_every_part(make_prompts: MakePrompts) -> None:
    script = {word.name: word.text for word in make_prompts().script("be")}
    assert script["goodbye"] == "Да пабачэння."
    assert script["ending-soon.few.1"] == "Да канца канферэнцыі засталося"
    assert (script["number-2-f"], script["noun-participant-few"], script["symbol-star-acc"]) == (
        "дзве", "удзельнікі", "зорачку",
    )  # fmt: skip


# --- the cache -------------------------------------------------------------------------------------------------------


def test_what_nobody_heard_for_long_is_thrown_away(tmp_path: Path) -> None:
    cache = Cache(tmp_path)
    for key in ("aa01", "bb02"):
        cache.write(key, pause(0.1).pcm16k)
    old = cache.path("aa01").stat().st_mtime - UNUSED_SECONDS - 10
    os.utime(cache.path("aa01"), (old, old))
    assert cache.read("bb02") is not None
    assert cache.prune() == 1
    assert (cache.read("aa01"), list(tmp_path.glob("??/*"))) == (None, [cache.path("bb02")])


async def test_two_servers_may_fill_one_cache_at_the_same_time(make_prompts: MakePrompts, tmp_path: Path) -> None:
    servers = [make_prompts(cache_dir=str(tmp_path / "shared")) for _ in range(2)]
    await asyncio.gather(*(server.start() for server in servers))
    keys = ("goodbye", "muted", "unmuted", "locked", "full")
    await asyncio.gather(*(server.clips("en", key) for key in keys for server in servers))
    files = list((tmp_path / "shared").glob("??/*"))
    assert sorted(file.suffix for file in files) == [".wav"] * len(keys)
    listening = CountingSynthesiser()
    third = make_prompts(listening, cache_dir=str(tmp_path / "shared"))
    assert all([(await third.clips("en", key))[0].seconds > 0.3 for key in keys])
    assert listening.asked == []
