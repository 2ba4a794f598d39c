"""Whether what guide and keypad say can be said: the shipped texts in every language, with the values given."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache

from control.config import ROOT
from control.guide.phrase import Phrase
from control.prompts.catalogue import Catalogue, languages_in, load
from control.prompts.phrase import phrase as put_in

TEXTS = ROOT / "config" / "prompts"


@cache
def catalogues() -> dict[str, Catalogue]:
    return {language: load(language, [TEXTS / f"{language}.toml"]) for language in languages_in(TEXTS)}


@cache
def _say(language: str, said: Phrase) -> str:
    return put_in(catalogues()[language], said.key, dict(said.values)).sentence


def say(phrases: Iterable[Phrase], language: str | None = None) -> list[str]:
    """The sentences, in one language or the last of all; raises when a text is missing or wants other values."""
    sentences: list[str] = []
    for one in [language] if language else list(catalogues()):
        sentences = [_say(said.language or one, said) for said in phrases]
    return sentences
