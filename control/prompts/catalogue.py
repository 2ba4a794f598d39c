"""The texts of a language, from ``config/prompts/<language>.toml`` and the operator's ``texts.toml`` over it.

``check()`` compares catalogues: a key, a value, a plural form or a word that one language has and another lacks is
listed, not discovered by a caller.
"""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from babel import UnknownLocaleError
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from control.prompts.grammar import REQUIRED_NOUNS, REQUIRED_NUMBERS, REQUIRED_SYMBOLS, Clock, Grammar, Noun
from control.prompts.template import Piece, Slot, TemplateError, parse

CATEGORIES: Final = ("zero", "one", "two", "few", "many", "other")
KEY: Final = re.compile(r"[a-z]+(-[a-z]+)*")


class CatalogueError(Exception):
    """A file of texts cannot be used; ``str()`` names the file, the key and the reason."""


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class _ClockTable(_Table):
    cycle: int = Field(default=24, ge=12, le=24, multiple_of=12)
    hour: str = ""
    early: str = ""
    past: str = ""
    am: str = ""
    pm: str = ""
    midnight: str = ""
    noon: str = ""


class _DateTable(_Table):
    order: str = "{day} {month}"
    days: list[str] = Field(default=[], max_length=31)
    months: list[str] = Field(default=[], max_length=12)


class _File(_Table):
    name: str
    voice: str
    rate: int = Field(default=150, ge=80, le=450)
    stressed: str = ""
    sandhi: dict[str, str] = {}
    hundred_joiner: str = ""
    respell: dict[str, str] = {}
    numbers: dict[str, str] = {}
    forms: dict[str, dict[str, str]] = {}
    symbols: dict[str, str] = {}
    nouns: dict[str, dict[str, str]] = {}
    clock: _ClockTable = _ClockTable()
    date: _DateTable = _DateTable()
    prompts: dict[str, str | dict[str, str]] = {}


@dataclass(frozen=True, slots=True)
class Prompt:
    """A text in all its plural forms; ``variants[""]`` when it has none."""

    variants: Mapping[str, tuple[Piece, ...]]

    def slots(self) -> list[Slot]:
        pieces = itertools.chain.from_iterable(self.variants.values())
        return list(dict.fromkeys(piece for piece in pieces if isinstance(piece, Slot)))

    @property
    def fixed(self) -> bool:
        """It has no values in it."""
        return not self.slots()

    @property
    def count(self) -> str:
        """The value the plural form depends on."""
        return next(slot.value for slot in self.slots() if slot.counts)


@dataclass(frozen=True)
class Catalogue:
    """All that is said in a language. ``name`` is the language's own name, ``voice`` and ``rate`` (words a minute) the
    synthesiser's; ``sandhi`` are replacements in whole sentences, ``respell`` whole words for the synthesiser only,
    ``stressed`` letters that bear the stress wherever they stand.
    """

    language: str
    name: str
    voice: str
    rate: int
    stressed: str
    sandhi: tuple[tuple[re.Pattern[str], str], ...]
    respell: Mapping[str, str]
    grammar: Grammar
    prompts: Mapping[str, Prompt]


def languages_in(folder: Path) -> list[str]:
    """Those with a file in the folder."""
    return sorted(path.stem for path in folder.glob("*.toml"))


def load(language: str, files: Iterable[Path]) -> Catalogue:
    """Files that exist, later ones over earlier ones. Raises CatalogueError."""
    tables: dict[str, Any] = {}
    read: list[Path] = []
    for path in files:
        try:
            _merge(tables, tomllib.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            continue
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise CatalogueError(f"{path}: {error}") from error
        read.append(path)
    where = ", ".join(map(str, read))
    if not read:
        raise CatalogueError(f"there are no texts in the language {language!r}")
    try:
        return _catalogue(language, _File.model_validate(tables))
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise CatalogueError(f"{where}: {'.'.join(map(str, first['loc']))}: {first['msg']}") from error
    except UnknownLocaleError as error:
        raise CatalogueError(f"{where}: {language!r} is not a language CLDR knows") from error
    except ValueError as error:
        raise CatalogueError(f"{where}: {error}") from error


def _merge(into: dict[str, Any], over: Mapping[str, Any], depth: int = 0) -> None:
    """Tables are merged, texts replaced whole, with all their plural forms."""
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(into.get(key), dict) and depth < 1:
            _merge(into[key], value, depth + 1)
        else:
            into[key] = value


def _catalogue(language: str, file: _File) -> Catalogue:
    grammar = Grammar(
        language=language,
        numbers=_numbers("numbers", file.numbers),
        forms={form: _numbers(f"forms.{form}", words) for form, words in file.forms.items()},
        symbols=file.symbols,
        nouns={name: _noun(name, forms) for name, forms in file.nouns.items()},
        clock=Clock(**file.clock.model_dump()),
        months=tuple(file.date.months),
        days=tuple(file.date.days),
        date_order=file.date.order,
        hundred_joiner=file.hundred_joiner,
    )
    try:
        sandhi = tuple((re.compile(pattern), replacement) for pattern, replacement in file.sandhi.items())
    except re.error as error:
        raise ValueError(f"sandhi: {error}") from error
    return Catalogue(
        language=language,
        name=file.name,
        voice=file.voice,
        rate=file.rate,
        stressed=file.stressed,
        sandhi=sandhi,
        respell={word.lower(): respelt for word, respelt in file.respell.items()},
        grammar=grammar,
        prompts={key: _prompt(key, text) for key, text in file.prompts.items()},
    )


def _numbers(table: str, words: Mapping[str, str]) -> dict[int, str]:
    for number in words:
        if not number.isdecimal():
            raise ValueError(f"{table}.{number}: not a number")
    return {int(number): word for number, word in words.items()}


def _noun(name: str, table: Mapping[str, str]) -> Noun:
    forms = {category: text for category, text in table.items() if category != "form"}
    for category in forms:
        if category not in CATEGORIES:
            raise ValueError(f"nouns.{name}.{category}: not one of {', '.join(CATEGORIES)}, form")
    return Noun(forms, table.get("form", ""))


def _prompt(key: str, text: str | Mapping[str, str]) -> Prompt:
    if not KEY.fullmatch(key):
        raise ValueError(f"prompts.{key}: a key is made of words in small letters with hyphens between")
    variants = {"": text} if isinstance(text, str) else text
    parsed = {}
    for category, variant in variants.items():
        if category and category not in CATEGORIES:
            raise ValueError(f"prompts.{key}.{category}: not one of {', '.join(CATEGORIES)}")
        try:
            parsed[category] = parse(variant)
        except TemplateError as error:
            raise ValueError(f"prompts.{key}{'.' if category else ''}{category}: {error}") from error
    prompt = Prompt(parsed)
    if not parsed or ("" not in parsed and not any(slot.counts for slot in prompt.slots())):
        raise ValueError(f"prompts.{key}: has plural forms and no number they depend on")
    return prompt


# --- what is missing -------------------------------------------------------------------------------------------------


def check(catalogues: Sequence[Catalogue]) -> list[str]:
    """What a language lacks that it needs or that another one has, one line each; empty when all is well."""
    return [f"{catalogue.language}: {line}" for catalogue in catalogues for line in _holes(catalogue, catalogues)]


def _holes(catalogue: Catalogue, all_of_them: Sequence[Catalogue]) -> Iterable[str]:
    yield from _grammar_holes(catalogue.grammar)
    yield from _noun_holes(catalogue)
    for key in dict.fromkeys(itertools.chain.from_iterable(other.prompts for other in all_of_them)):
        prompt = catalogue.prompts.get(key)
        if prompt is None:
            yield f"the prompt {key} is missing"
            continue
        yield from _variant_holes(key, prompt, catalogue.grammar)
        pattern = next(other.prompts[key] for other in all_of_them if key in other.prompts)
        wanted, has = _values(pattern), _values(prompt)
        yield from (f"{key} does not say {{{value}}}" for value in sorted(wanted - has))
        yield from (f"{key} says {{{value}}}, which others do not" for value in sorted(has - wanted))


def _values(prompt: Prompt) -> set[str]:
    return {slot.value if slot.counts else f"{slot.value}:{slot.kind}" for slot in prompt.slots()}


def _variant_holes(key: str, prompt: Prompt, grammar: Grammar) -> Iterable[str]:
    if "" in prompt.variants:
        return
    lacking = sorted(grammar.categories() - set(prompt.variants))
    yield from (f"{key} has no plural form {category}" for category in lacking)
    values = {slot.value for slot in prompt.slots()}
    for category, pieces in prompt.variants.items():
        here = {piece.value for piece in pieces if isinstance(piece, Slot)}
        yield from (f"{key}.{category} does not say {{{value}}}" for value in sorted(values - here))


def _noun_holes(catalogue: Catalogue) -> Iterable[str]:
    grammar = catalogue.grammar
    for key, prompt in catalogue.prompts.items():
        for slot in prompt.slots():
            if slot.noun and slot.noun not in grammar.nouns:
                yield f"{key} counts the noun {slot.noun}, which is missing"
            if slot.counts and slot.form and slot.form not in grammar.forms:
                yield f"{key} asks for the form {slot.form} of a number, which is missing"


def _grammar_holes(grammar: Grammar) -> Iterable[str]:
    yield from (f"the number {number} is missing" for number in REQUIRED_NUMBERS if not grammar.numbers.get(number))
    yield from (f"the symbol {sign} is missing" for sign in REQUIRED_SYMBOLS if not grammar.symbols.get(sign))
    yield from (f"the noun {noun} is missing" for noun in REQUIRED_NOUNS if noun not in grammar.nouns)
    for name, noun in grammar.nouns.items():
        lacking = sorted(grammar.categories() - {category for category, text in noun.forms.items() if text})
        yield from (f"the noun {name} has no plural form {category}" for category in lacking)
        if noun.form and noun.form not in grammar.forms:
            yield f"the noun {name} asks for the form {noun.form} of numbers, which is missing"
    clock = grammar.clock
    yield from (f"clock.{part} is missing" for part in ("hour", "early", "past") if not getattr(clock, part))
    if clock.cycle == 12 and not (clock.am and clock.pm):
        yield "clock.am or clock.pm is missing"
    for part in re.findall(r"\{([^{}]*)\}", clock.hour + clock.early + clock.past):
        name, _, noun = part.partition("|")
        if name not in {"hour", "minute", "half"}:
            yield f"the clock does not know {{{part}}}"
        elif noun and noun not in grammar.nouns:
            yield f"the clock counts the noun {noun}, which is missing"
    yield from (f"the date has only {len(grammar.days)} days" for _ in range(1) if len(grammar.days) < 31)
    yield from (f"the date has only {len(grammar.months)} months" for _ in range(1) if len(grammar.months) < 12)
