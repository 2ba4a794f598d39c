"""Prompts as clips of sound: recorded by the operator, or spoken by the synthesiser and cached.

A prompt without values is one clip. One with values is one sentence, spoken as a whole, because that sounds better than
words put together; unless the operator has recorded a part of it: then it is put together from his recordings. Digits
are always put together, one by one: a PIN must not become a file, and every number would.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog

from control.config import ROOT, Config
from control.prompts import tones
from control.prompts.cache import Cache, cache_key
from control.prompts.catalogue import Catalogue, check, load
from control.prompts.grammar import Word
from control.prompts.phrase import Gap, Part, Phrase, PromptError, Value, fixed_parts, phrase
from control.prompts.recordings import TEXTS, Recordings
from control.prompts.sound import Clip, Pcm, pause
from control.prompts.spoken import for_eye, for_synthesiser, speakable
from control.prompts.synthesiser import SpeechError, Synthesiser

SHIPPED: Final = ROOT / "config" / "prompts"
MEMORY_BYTES: Final = 64 * 2**20
"""All fixed prompts of three languages take about 40 MB."""
RESCAN_SECONDS: Final = 10.0
"""A recording put into the folder is heard after no longer than this."""
_PROGRESS: Final = 100

log = structlog.get_logger(__name__)


class Prompts:
    """See the module's description. ``languages`` in the order of the configuration; the first stands in for others.

    Duties: ``await start()`` once, ``await close()`` at the end.
    """

    def __init__(
        self,
        config: Config,
        data_dir: Path,
        *,
        synthesiser: Synthesiser | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """Raises CatalogueError. ``clock`` gives seconds."""
        settings = config.prompts
        self.languages: tuple[str, ...] = settings.languages
        self.folder = data_dir / "prompts"
        self._settings = settings
        self._clock = clock
        self._catalogues = {
            language: load(language, (SHIPPED / f"{language}.toml", self.folder / language / TEXTS))
            for language in settings.languages
        }
        self._recordings = Recordings(self.folder, settings.languages, settings.level_dbov)
        self._scanned = -RESCAN_SECONDS
        self._cache = Cache(settings.cache_folder or data_dir / "prompt-cache")
        self._synthesiser = synthesiser or Synthesiser()
        self._speechless = ""
        """Why there is no synthesiser; empty: there is one."""
        self._memory: OrderedDict[str, Clip] = OrderedDict()
        self._memory_bytes = 0
        self._speaking = asyncio.Lock()
        self._preparing: asyncio.Task[None] | None = None
        self._told: set[str] = set()

    # --- life --------------------------------------------------------------------------------------------------------

    async def start(self) -> None:
        """Check the texts, look for recordings and the synthesiser, tell in the log what is missing. Once.

        With ``prompts.prepare = "start"`` the fixed prompts are then spoken in the background; see ``prepared``.
        """
        await self._look_for_recordings()
        try:
            await self._synthesiser.start()
        except SpeechError as error:
            self._speechless = str(error)
        for line in check(list(self._catalogues.values())):
            log.warning("prompt missing", what=line)
        for language, names in self._unspeakable().items():
            log.warning(
                "no speech synthesiser: tones are played instead of prompts that are not recorded",
                language=language,
                reason=self._speechless,
                prompts=names,
            )
        for language in self.languages:
            known = {word.name for word in self.script(language)}
            if strange := {name for name in self._recordings.names(language) - known if "=" not in name}:
                log.warning("recordings no prompt has a use for", language=language, names=sorted(strange))
        if self._settings.prepare == "start":
            self._begin_preparing()

    async def prepared(self) -> None:
        """Wait until the fixed prompts are ready; begin with it where ``start`` did not. Without a voice: at once."""
        self._begin_preparing()
        if self._preparing is not None:
            await asyncio.shield(self._preparing)

    def _begin_preparing(self) -> None:
        if self._preparing is None and not self._speechless:
            self._preparing = asyncio.create_task(self._prepare())

    async def close(self) -> None:
        if self._preparing is not None:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await self._synthesiser.close()

    async def _prepare(self) -> None:
        """One after the other, so that one core at most is busy, and that with low priority."""
        began = self._clock()
        wanted = [(self._catalogues[language], word) for language in self.languages for word in self._fixed(language)]
        for done, (catalogue, word) in enumerate(wanted):
            try:
                if self._recordings.get(catalogue.language, word.name) is None:
                    await self._spoken(catalogue, word.name, word.text)
            except SpeechError as error:
                log.warning("prompts not prepared", language=catalogue.language, key=word.name, reason=str(error))
                return
            if done % _PROGRESS == _PROGRESS - 1:
                log.info("preparing prompts", done=done + 1, of=len(wanted))
        pruned = await asyncio.to_thread(self._cache.prune)
        seconds = round(self._clock() - began, 1)
        log.info("prompts prepared", count=len(wanted), seconds=seconds, forgotten=pruned)

    def _fixed(self, language: str) -> list[Word]:
        """What is likely to be played: fixed prompts, the words around digits, the digits."""
        catalogue = self._catalogues[language]
        words = [
            word
            for key, prompt in catalogue.prompts.items()
            if prompt.fixed or any(slot.kind == "digits" for slot in prompt.slots())
            for word in fixed_parts(key, prompt)
        ]
        return words + catalogue.grammar.digits("0123456789*#+")

    # --- what there is -----------------------------------------------------------------------------------------------

    def language_name(self, language: str) -> str:
        """In that language itself: "Беларуская"."""
        return self._catalogues[language].name

    def missing(self) -> list[str]:
        """What cannot be said as it should, one line each: holes in the texts, prompts without any voice."""
        silent = self._unspeakable()
        lines = check(list(self._catalogues.values()))
        return lines + [f"{language}: {key} cannot be spoken" for language, keys in silent.items() for key in keys]

    def _unspeakable(self) -> dict[str, list[str]]:
        """By language, the keys of which some part is not recorded, when there is no synthesiser."""
        if not self._speechless:
            return {}
        return {
            language: [
                key
                for key, prompt in self._catalogues[language].prompts.items()
                if any(self._recordings.get(language, part.name) is None for part in fixed_parts(key, prompt))
            ]
            for language in self.languages
        }

    def script(self, language: str) -> list[Word]:
        """Everything there is to record in a language: name of the file, and words to say."""
        catalogue = self._catalogues[language]
        texts = [word for key, prompt in catalogue.prompts.items() for word in fixed_parts(key, prompt)]
        words = dict.fromkeys([*texts, *catalogue.grammar.vocabulary()])
        return [Word(word.name, for_eye(word.text)) for word in words]

    def text(self, language: str, key: str, /, **values: Value) -> str:
        """What a prompt says, to be read. Raises PromptError. A recorded name is left out."""
        return for_eye(self._phrase(language, key, values)[1].sentence)

    # --- sound -------------------------------------------------------------------------------------------------------

    async def clips(self, language: str, key: str, /, **values: Value) -> list[Clip]:
        """The prompt, to be played one clip after the other. Raises PromptError for a wrong key or wrong values.

        Where it cannot be spoken, that is told in the log and a tone is returned in its place.
        """
        catalogue, said = self._phrase(language, key, values)
        await self._look_for_recordings()
        try:
            if said.special and (clip := await self._recorded(catalogue.language, said.special)):
                return [clip]
            if said.composed or self._is_recorded(catalogue.language, key, said):
                return [await self._part(catalogue, part) for part in said.parts]
            name = key if len(said.parts) == 1 and not values else f"{key}#{_short_hash(said.sentence)}"
            return [await self._spoken(catalogue, name, said.sentence, keep=not said.private)]
        except SpeechError as error:
            self._tell_once("prompt not spoken", language=catalogue.language, key=key, reason=str(error))
            return [tones.instead_of(key)]

    async def speak(self, language: str, text: str) -> Clip:
        """Any text, for announcements. Raises SpeechError, and PromptError when there is nothing to say in it."""
        catalogue = self._catalogue(language)
        words = speakable(text, catalogue)
        if not words:
            raise PromptError("there is nothing to say in the text")
        return await self._spoken(catalogue, f"text#{_short_hash(words)}", words, keep=False)

    def _catalogue(self, language: str) -> Catalogue:
        return self._catalogues.get(language) or self._catalogues[self.languages[0]]

    def _phrase(self, language: str, key: str, values: dict[str, Value]) -> tuple[Catalogue, Phrase]:
        """In the language asked for, or the first that has the prompt."""
        for catalogue in (self._catalogue(language), *self._catalogues.values()):
            if key in catalogue.prompts:
                try:
                    return catalogue, phrase(catalogue, key, values)
                except KeyError as error:
                    self._tell_once("word missing", language=catalogue.language, key=key, word=str(error))
        raise PromptError(f"there is no prompt {key}")

    def _is_recorded(self, language: str, key: str, said: Phrase) -> bool:
        """A part of its own text is; that numbers are says nothing."""
        names = [part.name for part in said.parts if isinstance(part, Word)]
        own = [name for name in names if name == key or name.startswith(f"{key}.")]
        return any(self._recordings.get(language, name) is not None for name in own)

    async def _part(self, catalogue: Catalogue, part: Part) -> Clip:
        if isinstance(part, Clip):
            return part
        if isinstance(part, Gap):
            return pause(part.seconds)
        clip = await self._recorded(catalogue.language, part.name) if part.name else None
        return clip or await self._spoken(catalogue, part.name, part.text, keep=bool(part.name))

    async def _look_for_recordings(self) -> None:
        now = self._clock()
        if now - self._scanned >= RESCAN_SECONDS:
            self._scanned = now
            await asyncio.to_thread(self._recordings.scan)

    async def _recorded(self, language: str, name: str) -> Clip | None:
        recording = self._recordings.get(language, name)
        if recording is None:
            return None
        key = repr(recording)
        clip = self._recall(key) or await asyncio.to_thread(self._recordings.load, language, name, recording)
        return clip and self._remember(key, clip)

    async def _spoken(self, catalogue: Catalogue, name: str, text: str, *, keep: bool = True) -> Clip:
        """From memory, a file or the synthesiser; ``keep`` it in a file. Raises SpeechError."""
        if self._speechless:
            raise SpeechError(self._speechless)
        if not self._synthesiser.engine:
            await self._synthesiser.start()
        settings, words = self._settings, for_synthesiser(speakable(text, catalogue), catalogue)
        key = cache_key(self._synthesiser.engine, catalogue.voice, catalogue.rate, settings.level_dbov, words)
        name = f"{catalogue.language}/{name or 'text'}"
        if clip := self._recall(f"{name} {key}"):
            return clip
        pcm: Pcm | None = await asyncio.to_thread(self._cache.read, key) if keep else None
        if pcm is None:
            async with self._speaking:
                if clip := self._recall(f"{name} {key}"):
                    return clip
                pcm = await self._synthesiser.speak(
                    words, voice=catalogue.voice, rate=catalogue.rate, level_dbov=settings.level_dbov
                )
                if keep:
                    await asyncio.to_thread(self._cache.write, key, pcm)
        return self._remember(f"{name} {key}", Clip(name, pcm))

    def _recall(self, key: str) -> Clip | None:
        clip = self._memory.get(key)
        if clip is not None:
            self._memory.move_to_end(key)
        return clip

    def _remember(self, key: str, clip: Clip) -> Clip:
        if key not in self._memory:
            self._memory[key] = clip
            self._memory_bytes += clip.pcm16k.nbytes
        while self._memory_bytes > MEMORY_BYTES and len(self._memory) > 1:
            self._memory_bytes -= self._memory.popitem(last=False)[1].pcm16k.nbytes
        return self._memory.get(key, clip)

    def _tell_once(self, event: str, **what: str) -> None:
        key = f"{event} {what.get('language')} {what.get('key')}"
        if key not in self._told:
            self._told.add(key)
            log.warning(event, **what)


def _short_hash(text: str) -> str:
    return hashlib.blake2b(text.encode(), digest_size=4).hexdigest()
