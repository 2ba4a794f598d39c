"""A prompt with its values put in: as one sentence, and as the parts it can be put together from."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from control.prompts.catalogue import Catalogue, Prompt
from control.prompts.grammar import Grammar, Word, digit_groups, whole_minutes
from control.prompts.sound import Clip
from control.prompts.spoken import for_ear, join, speakable
from control.prompts.template import Piece, Slot

Value = int | float | str | datetime.date | datetime.time | datetime.timedelta | Clip

BETWEEN_SENTENCES: Final = 0.3
BETWEEN_CLAUSES: Final = 0.15
BETWEEN_DIGIT_GROUPS: Final = 0.2
"""Seconds of silence."""
_TWO_STOPS: Final = re.compile(r"(?<!\.)\.\.(?!\.)")
"""An abbreviation's and the sentence's."""
_PUNCTUATION: Final = " ,.:;!?–—-"


class PromptError(ValueError):
    """A prompt is asked for that there is not, or not with these values."""


@dataclass(frozen=True, slots=True)
class Gap:
    """Silence between parts."""

    seconds: float


Part = Word | Gap | Clip


@dataclass(frozen=True, slots=True)
class Phrase:
    """``sentence`` is the whole as text; ``parts`` the same word by word.

    ``composed``: it is always put together from its parts, because digits are read out of it, which would be a file
    each and may be a PIN, or because a recorded name is in it. ``private``: it contains text that somebody wrote, which
    is not to be kept in files. ``special`` names a recording of the whole with this very number in it.
    """

    sentence: str
    parts: tuple[Part, ...]
    composed: bool
    private: bool
    special: str


def phrase(catalogue: Catalogue, key: str, values: Mapping[str, Value]) -> Phrase:
    """The prompt ``key`` of the catalogue. Raises PromptError, and KeyError when the catalogue has no such prompt."""
    prompt = catalogue.prompts[key]
    category = _variant(catalogue.grammar, key, prompt, values)
    pieces = prompt.variants[category]
    slots = [piece for piece in pieces if isinstance(piece, Slot)]
    said = {slot: _say(catalogue, key, slot, values) for slot in slots}
    sentence = "".join(
        piece if isinstance(piece, str) else join(part for part in said[piece] if isinstance(part, Word))
        for piece in pieces
    )
    recorded_name = any(isinstance(values[slot.value], Clip) for slot in slots)
    numbers = [values[slot.value] for slot in slots if slot.counts]
    return Phrase(
        sentence=for_ear(_TWO_STOPS.sub(".", sentence), catalogue),
        parts=tuple(_parts(key, category, pieces, said)),
        composed=recorded_name or any(slot.kind == "digits" for slot in slots),
        private=any(slot.kind in {"text", "name"} for slot in slots),
        special=f"{key}={numbers[0]}" if len(slots) == len(numbers) == 1 else "",
    )


def fixed_parts(key: str, prompt: Prompt) -> Iterator[Word]:
    """The words around the values, in all plural forms, under the names recordings have."""
    for category, pieces in prompt.variants.items():
        yield from (part for part in _parts(key, category, pieces, {}) if isinstance(part, Word))


def _variant(grammar: Grammar, key: str, prompt: Prompt, values: Mapping[str, Value]) -> str:
    wanted = {slot.value for slot in prompt.slots()}
    for problem, names in (("is not given", wanted - set(values)), ("is not in it", set(values) - wanted)):
        if names:
            raise PromptError(f"prompt {key}: the value {', '.join(sorted(names))} {problem}")
    if "" in prompt.variants:
        return ""
    category = grammar.plural(_whole(key, prompt.count, values[prompt.count]))
    return category if category in prompt.variants else list(prompt.variants)[-1]


def _parts(
    key: str, category: str, pieces: tuple[Piece, ...], said: Mapping[Slot, tuple[Part, ...]]
) -> Iterator[Part]:
    """Pieces of text are numbered from 1; a text that is all one piece has the key's own name."""
    stem = f"{key}.{category}" if category else key
    number = 0
    for index, piece in enumerate(pieces):
        if isinstance(piece, Slot):
            yield from said.get(piece, ())
            continue
        words = piece.lstrip(_PUNCTUATION).rstrip()
        before = piece[: len(piece) - len(piece.lstrip(_PUNCTUATION))].strip()
        if before and words:
            yield _gap(before)
        if words:
            number += 1
            yield Word(stem if len(pieces) == 1 else f"{stem}.{number}", words)
        if index < len(pieces) - 1 and piece.rstrip()[-1:] in _PUNCTUATION:
            yield _gap(piece)


def _gap(text: str) -> Gap:
    return Gap(BETWEEN_SENTENCES if text.rstrip()[-1:] in {".", "!", "?"} else BETWEEN_CLAUSES)


# --- values ----------------------------------------------------------------------------------------------------------


def _say(catalogue: Catalogue, key: str, slot: Slot, values: Mapping[str, Value]) -> tuple[Part, ...]:
    grammar, value = catalogue.grammar, values[slot.value]
    wrong = PromptError(f"prompt {key}: {slot.value} cannot be said as {slot.kind}: a {type(value).__name__}")
    match slot.kind, value:
        case "number", _:
            number = _whole(key, slot.value, value)
            return tuple(grammar.counted(number, slot.noun) if slot.noun else grammar.cardinal(number, slot.form))
        case "digits", str() | int():
            return tuple(_digits(grammar, str(value))) or _nothing(key, slot)
        case "keys", str() | int():
            return tuple(grammar.digits(str(value), slot.form)) or _nothing(key, slot)
        case "clock", datetime.datetime():
            return tuple(grammar.time(value.time()))
        case "clock", datetime.time():
            return tuple(grammar.time(value))
        case "date", datetime.date():
            return tuple(grammar.date(value))
        case "duration", datetime.timedelta():
            return tuple(grammar.duration(whole_minutes(value.total_seconds()), slot.form))
        case "duration", int() | float():
            return tuple(grammar.duration(whole_minutes(value), slot.form))
        case "name", Clip():
            return (value,)
        case "name" | "text", str():
            text = speakable(value, catalogue)
            return (Word("", text),) if text else _nothing(key, slot)
    raise wrong


def _whole(key: str, name: str, value: Value) -> int:
    if isinstance(value, bool) or not isinstance(value, int):
        raise PromptError(f"prompt {key}: {name} must be a whole number, not a {type(value).__name__}")
    return value


def _nothing(key: str, slot: Slot) -> tuple[Part, ...]:
    raise PromptError(f"prompt {key}: there is nothing to say in {slot.value}")


def _digits(grammar: Grammar, text: str) -> Iterator[Part]:
    """Runs of digits in groups; signs between them stand by themselves."""
    signs = "".join(sign for sign in text if sign.isdecimal() or sign in "*#+")
    lead = signs[: len(signs) - len(signs.lstrip("+*#"))]
    groups = ([lead] if lead else []) + digit_groups(signs[len(lead) :])
    for index, group in enumerate(groups):
        if index:
            yield Gap(BETWEEN_DIGIT_GROUPS)
        yield from grammar.digits(group)
