"""Speech for tests: one cache for the whole session, and prompts on a data folder of their own."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from control.config import Config, PromptsConfig
from control.prompts.prompts import Prompts
from control.prompts.sound import Pcm
from control.prompts.synthesiser import Synthesiser

MakePrompts = Callable[..., Prompts]


class CountingSynthesiser(Synthesiser):
    """The real one; ``asked`` is what it was made to speak, ``speaking`` that it has been made to."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []
        self.speaking = asyncio.Event()

    async def speak(self, text: str, *, voice: str, rate: int, level_dbov: float) -> Pcm:
        self.asked.append(text)
        self.speaking.set()
        return await super().speak(text, voice=voice, rate=rate, level_dbov=level_dbov)


def scripted(program: str) -> Synthesiser:
    """A speaking process that does what a few lines of Python say."""
    return Synthesiser((sys.executable, "-c", program))


@pytest.fixture
async def make_prompts(tmp_path: Path) -> AsyncIterator[MakePrompts]:
    """Makes Prompts on tmp_path that speak when they are asked; closes them."""
    made: list[Prompts] = []

    def make(synthesiser: Synthesiser | None = None, **settings: object) -> Prompts:
        config = Config(prompts=PromptsConfig.model_validate({"prepare": "use", **settings}))
        made.append(Prompts(config, tmp_path, synthesiser=synthesiser or Synthesiser()))
        return made[-1]

    yield make
    for prompts in made:
        await prompts.close()
