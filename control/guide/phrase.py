"""What is said: prompt keys with the values for their placeholders."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

Value = int | float | str | datetime
"""What the prompt's text wants: counts and seconds are numbers, digits and keys are str, times are aware datetimes."""


@dataclass(frozen=True, slots=True)
class Phrase:
    """One prompt of the catalogue. ``language`` None: the caller's own."""

    key: str
    values: tuple[tuple[str, Value], ...] = ()
    language: str | None = None


def phrase(key: str, language: str | None = None, /, **values: Value) -> Phrase:
    """A Phrase, its values given by name."""
    return Phrase(key, tuple(sorted(values.items())), language)
