"""A prompt's text: words with places for values in it, ``"It ends at {time:clock}."``

``{count}`` a number · ``{count:f}`` in a form the catalogue has (feminine) · ``{count|minute}`` a number with a noun
that agrees with it · ``{pin:digits}`` one digit after the other · ``{key:keys}``, ``{key:keys-acc}`` telephone
keys · ``{time:clock}`` a time of day · ``{date:date}`` · ``{left:duration}``, ``{left:duration-acc}`` so long ·
``{topic:text}`` any text · ``{name:name}`` a name, written or recorded.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

KINDS: Final = frozenset({"number", "digits", "keys", "clock", "date", "duration", "text", "name"})

IN_CASE: Final = frozenset({"duration", "keys"})
"""Kinds that may stand in a case of their own: ``{left:duration-acc}``."""

_SLOT: Final = re.compile(r"\{([^{}]*)\}")
_INSIDE: Final = re.compile(r"([a-z_]+)(?::([a-z]+)(?:-([a-z]+))?|\|([a-z]+(?:-[a-z]+)*))?")


class TemplateError(ValueError):
    """A text is not well-formed."""


@dataclass(frozen=True, slots=True)
class Slot:
    """A place for a value.

    ``form`` is a number's form ("f"), or the case of a duration's nouns and of keys ("acc"); ``noun`` counts something.
    """

    value: str
    kind: str
    form: str = ""
    noun: str = ""

    @property
    def counts(self) -> bool:
        """The value is a number that the words around may have to agree with."""
        return self.kind == "number"


Piece = str | Slot


def parse(text: str) -> tuple[Piece, ...]:
    """The words and places of a text, in order. Raises TemplateError."""
    pieces: list[Piece] = []
    end = 0
    for match in _SLOT.finditer(text):
        pieces.append(text[end : match.start()])
        pieces.append(_slot(match[1]))
        end = match.end()
    pieces.append(text[end:])
    if any(isinstance(piece, str) and set(piece) & set("{}") for piece in pieces):
        raise TemplateError("a brace is not closed")
    if not text.strip():
        raise TemplateError("is empty")
    return tuple(piece for piece in pieces if piece)


def _slot(inside: str) -> Slot:
    match = _INSIDE.fullmatch(inside)
    if match is None:
        raise TemplateError(f"{{{inside}}} is not a place for a value")
    value, kind, case, noun = match.groups()
    if noun:
        return Slot(value, "number", noun=noun)
    if kind in KINDS and (not case or kind in IN_CASE):
        return Slot(value, kind, form=case or "")
    if kind and case:
        raise TemplateError(f"{{{inside}}}: there is no kind {kind}-{case}")
    return Slot(value, "number", form=kind or "")
