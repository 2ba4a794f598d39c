"""Numbers, times and dates in words, after the tables of a language's catalogue.

Everything becomes a list of ``Word``s, each with a name, so that it can be spoken as a sentence or put together from
recordings of single words. Plural forms follow CLDR (Unicode Technical Standard 35, part 3, through Babel).
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from babel import Locale

LARGEST: Final = 999_999

REQUIRED_NUMBERS: Final = (*range(21), *range(30, 100, 10), *range(100, 1000, 100))
_SYMBOL_NAMES: Final = {"*": "star", "#": "hash", "+": "plus", "-": "minus"}
REQUIRED_SYMBOLS: Final = tuple(_SYMBOL_NAMES)
REQUIRED_NOUNS: Final = ("thousand", "day", "hour", "minute")


@dataclass(frozen=True, slots=True)
class Word:
    """A word or a few that belong together; ``name`` is what a recording of it is called."""

    name: str
    text: str


@dataclass(frozen=True, slots=True)
class Noun:
    """``forms`` by CLDR category; numbers before it take ``form`` ("f": одна минута)."""

    forms: Mapping[str, str]
    form: str = ""


@dataclass(frozen=True, slots=True)
class Clock:
    """How the time of day is told; see docs/prompts.md. ``cycle`` is 12 or 24."""

    cycle: int
    hour: str
    early: str
    past: str
    am: str = ""
    pm: str = ""
    midnight: str = ""
    noon: str = ""


@dataclass(frozen=True)
class Grammar:
    """What a language needs to say values. Raises KeyError on tables with holes, which ``catalogue`` checks for.

    ``numbers`` hold words for single numbers; ``forms`` for those which differ by gender or case.
    """

    language: str
    numbers: Mapping[int, str]
    forms: Mapping[str, Mapping[int, str]]
    symbols: Mapping[str, str]
    nouns: Mapping[str, Noun]
    clock: Clock
    months: tuple[str, ...]
    days: tuple[str, ...]
    date_order: str
    hundred_joiner: str = ""
    _locale: Locale = field(init=False, repr=False)

    def __post_init__(self) -> None:
        """Raises babel.UnknownLocaleError for a language CLDR does not know."""
        object.__setattr__(self, "_locale", Locale.parse(self.language))

    def plural(self, number: int) -> str:
        """The CLDR cardinal category: "one", "few", "many", "other"."""
        return str(self._locale.plural_form(abs(number)))

    def categories(self) -> frozenset[str]:
        """Those which whole numbers have."""
        return frozenset(self.plural(number) for number in range(1001))

    def cardinal(self, number: int, form: str = "") -> list[Word]:
        """A number in words; beyond a million its digits."""
        if number < 0:
            return [self._symbol("-"), *self.cardinal(-number, form)]
        if number > LARGEST:
            return self.digits(str(number))
        thousands, rest = divmod(number, 1000)
        words: list[Word] = []
        if thousands:
            noun = "thousand-acc" if form.endswith("a") and "thousand-acc" in self.nouns else "thousand"
            words += self.counted(thousands, noun)
        if rest or not thousands:
            words += self._below_thousand(rest, form, joined=bool(thousands))
        return words

    def _below_thousand(self, number: int, form: str, *, joined: bool) -> list[Word]:
        words: list[Word] = []
        hundreds, rest = number - number % 100, number % 100
        if hundreds:
            words.append(self._number(hundreds, form))
        if rest and (hundreds or joined) and self.hundred_joiner:
            words.append(Word("number-and", self.hundred_joiner))
        if rest in self.numbers:
            if rest or not hundreds:
                words.append(self._number(rest, form))
        else:
            words += [self._number(rest - rest % 10, form), self._number(rest % 10, form)]
        return words

    def _number(self, number: int, form: str) -> Word:
        special = self.forms.get(form, {}).get(number)
        if special is not None:
            return Word(f"number-{number}-{form}", special)
        return Word(f"number-{number}", self.numbers[number])

    def counted(self, number: int, noun: str) -> list[Word]:
        """A number and its noun in agreement."""
        entry = self.nouns[noun]
        category = self.plural(number)
        return [*self.cardinal(number, entry.form), Word(f"noun-{noun}-{category}", entry.forms[category])]

    def digits(self, text: str, case: str = "") -> list[Word]:
        """Digits, ``*``, ``#`` and ``+`` one by one; everything else in it is passed over."""
        return [
            self._number(int(sign), "") if sign.isdecimal() else self._symbol(sign, case)
            for sign in text
            if sign.isdecimal() or sign in {"*", "#", "+"}
        ]

    def _symbol(self, sign: str, case: str = "") -> Word:
        if f"{sign}-{case}" in self.symbols:
            return Word(f"symbol-{_SYMBOL_NAMES[sign]}-{case}", self.symbols[f"{sign}-{case}"])
        return Word(f"symbol-{_SYMBOL_NAMES[sign]}", self.symbols[sign])

    def vocabulary(self) -> list[Word]:
        """All the words values are made of."""
        clock = self.clock
        said = {"midnight": clock.midnight, "noon": clock.noon, "am": clock.am, "pm": clock.pm}
        said |= {word: word for word in f"{clock.hour} {clock.early} {clock.past}".split() if word[0] != "{"}
        return [
            *(self._number(number, "") for number in self.numbers),
            *(self._number(number, form) for form, words in self.forms.items() for number in words),
            *([Word("number-and", self.hundred_joiner)] if self.hundred_joiner else []),
            *(
                self._symbol(*(sign.split("-", 1) if len(sign) > 1 else [sign]))
                for sign in self.symbols
                if sign[0] in _SYMBOL_NAMES
            ),
            *(
                Word(f"noun-{name}-{category}", text)
                for name, noun in self.nouns.items()
                for category, text in noun.forms.items()
            ),
            *(Word(f"clock-{name}", text) for name, text in said.items() if text),
            *(Word(f"day-{index}", text) for index, text in enumerate(self.days, 1)),
            *(Word(f"month-{index}", text) for index, text in enumerate(self.months, 1)),
            *(Word(f"date-{word}", word) for word in self.date_order.split() if word[0] != "{"),
        ]

    def duration(self, minutes: int, case: str = "") -> list[Word]:
        """Days and hours, hours and minutes, or minutes; what is less than an hour beside days is left out."""
        days, rest = divmod(max(minutes, 0), 24 * 60)
        hours, left = divmod(rest, 60)
        units = [(days, "day"), (hours, "hour"), (0 if days else left, "minute")]
        words: list[Word] = []
        for count, noun in units:
            if count:
                words += self.counted(count, self._in_case(noun, case))
        return words or self.counted(0, self._in_case("minute", case))

    def _in_case(self, noun: str, case: str) -> str:
        return f"{noun}-{case}" if f"{noun}-{case}" in self.nouns else noun

    def time(self, time: datetime.time) -> list[Word]:
        """The time of day, to the minute."""
        clock = self.clock
        if time.minute == 0 and time.hour == 0 and clock.midnight:
            return [Word("clock-midnight", clock.midnight)]
        if time.minute == 0 and time.hour == 12 and clock.noon:
            return [Word("clock-noon", clock.noon)]
        hour = (time.hour - 1) % 12 + 1 if clock.cycle == 12 else time.hour
        half = Word("clock-am", clock.am) if time.hour < 12 else Word("clock-pm", clock.pm)
        pattern = clock.hour if time.minute == 0 else clock.early if time.minute < 10 else clock.past
        words: list[Word] = []
        for part in pattern.split():
            name, _, noun = part.strip("{}").partition("|")
            if part == "{half}":
                words.append(half)
            elif part.startswith("{"):
                number = {"hour": hour, "minute": time.minute}[name]
                words += self.counted(number, noun) if noun else self.cardinal(number)
            else:
                words.append(Word(f"clock-{part}", part))
        return words

    def date(self, date: datetime.date) -> list[Word]:
        """Day and month; the year is known to who asks."""
        words = {
            "{day}": Word(f"day-{date.day}", self.days[date.day - 1]),
            "{month}": Word(f"month-{date.month}", self.months[date.month - 1]),
        }
        return [words.get(part) or Word(f"date-{part}", part) for part in self.date_order.split()]


def digit_groups(digits: str) -> list[str]:
    """Digits as people read them out: threes, and the last four in twos."""
    groups: list[str] = []
    while len(digits) > 4:
        groups.append(digits[:3])
        digits = digits[3:]
    return groups + ([digits[:2], digits[2:]] if len(digits) == 4 else [digits] if digits else [])


def whole_minutes(seconds: float) -> int:
    """Minutes to be spoken of: a minute begun counts, nothing is less than one."""
    return max(1, math.ceil(seconds / 60 - 1e-6))
