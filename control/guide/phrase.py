"""What is said: prompt keys with the values for their placeholders."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

Value = int | float | str


class Kind(StrEnum):
    """How a placeholder's value is spoken."""

    COUNT = "count"
    """An int as a cardinal number; the text agrees with it (plural forms)."""
    DIGITS = "digits"
    """A str of digits and keypad signs, said one by one ("star six")."""
    TIME = "time"
    """Unix seconds as time of day, with the date when it is not today."""
    NAME = "name"
    """A str that is a person's name: his recording, else read out."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One prompt of the catalogue. ``language`` None: the caller's own."""

    key: str
    values: tuple[tuple[str, Value], ...] = ()
    language: str | None = None


def phrase(key: str, language: str | None = None, /, **values: Value) -> Phrase:
    """A Phrase, its values given by name."""
    return Phrase(key, tuple(sorted(values.items())), language)
