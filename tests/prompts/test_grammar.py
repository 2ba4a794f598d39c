"""Numbers, times and dates in words, in three languages."""

from __future__ import annotations

import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.prompts.catalogue import load
from control.prompts.grammar import Word, digit_groups, whole_minutes
from control.prompts.prompts import SHIPPED
from control.prompts.spoken import for_ear, for_eye

CATALOGUES = {language: load(language, [SHIPPED / f"{language}.toml"]) for language in ("ru", "be", "en")}


def said(language: str, words: list[Word]) -> str:
    return for_eye(for_ear(" ".join(word.text for word in words), CATALOGUES[language]))


MINUTES = {
    "ru": {
        0: "ноль минут", 1: "одна минута", 2: "две минуты", 4: "четыре минуты", 5: "пять минут",
        11: "одиннадцать минут", 12: "двенадцать минут", 14: "четырнадцать минут", 20: "двадцать минут",
        21: "двадцать одна минута", 22: "двадцать две минуты", 25: "двадцать пять минут",
        40: "сорок минут", 90: "девяносто минут", 100: "сто минут", 101: "сто одна минута",
        111: "сто одиннадцать минут", 112: "сто двенадцать минут", 121: "сто двадцать одна минута",
        202: "двести две минуты", 1000: "одна тысяча минут", 1001: "одна тысяча одна минута",
        2000: "две тысячи минут", 5011: "пять тысяч одиннадцать минут", 21900: "двадцать одна тысяча девятьсот минут",
    },
    "be": {
        0: "нуль хвілін", 1: "адна хвіліна", 2: "дзве хвіліны", 4: "чатыры хвіліны", 5: "пяць хвілін",
        11: "адзінаццаць хвілін", 12: "дванаццаць хвілін", 14: "чатырнаццаць хвілін", 20: "дваццаць хвілін",
        21: "дваццаць адна хвіліна", 22: "дваццаць дзве хвіліны", 25: "дваццаць пяць хвілін",
        40: "сорак хвілін", 90: "дзевяноста хвілін", 100: "сто хвілін", 101: "сто адна хвіліна",
        111: "сто адзінаццаць хвілін", 112: "сто дванаццаць хвілін", 121: "сто дваццаць адна хвіліна",
        202: "дзвесце дзве хвіліны", 1000: "адна тысяча хвілін", 1001: "адна тысяча адна хвіліна",
        2000: "дзве тысячы хвілін", 5011: "пяць тысяч адзінаццаць хвілін",
        21900: "дваццаць адна тысяча дзевяцьсот хвілін",
    },
    "en": {
        0: "zero minutes", 1: "one minute", 2: "two minutes", 11: "eleven minutes", 20: "twenty minutes",
        21: "twenty one minutes", 40: "forty minutes", 100: "one hundred minutes", 101: "one hundred and one minutes",
        111: "one hundred and eleven minutes", 121: "one hundred and twenty one minutes",
        1000: "one thousand minutes", 1001: "one thousand and one minutes",
        2100: "two thousand one hundred minutes", 21012: "twenty one thousand and twelve minutes",
    },
}  # fmt: skip
PEOPLE = {
    "ru": {1: "один участник", 2: "два участника", 5: "пять участников", 11: "одиннадцать участников",
           21: "двадцать один участник", 101: "сто один участник", 111: "сто одиннадцать участников"},
    "be": {1: "адзін удзельнік", 2: "два ўдзельнікі", 3: "тры ўдзельнікі", 4: "чатыры ўдзельнікі",
           5: "пяць удзельнікаў", 11: "адзінаццаць удзельнікаў", 21: "дваццаць адзін удзельнік",
           22: "дваццаць два ўдзельнікі", 100: "сто ўдзельнікаў", 101: "сто адзін удзельнік"},
    "en": {1: "one participant", 2: "two participants", 21: "twenty one participants",
           101: "one hundred and one participants"},
}  # fmt: skip


@pytest.mark.parametrize("language", MINUTES)
def test_numbers_agree_with_feminine_nouns(language: str) -> None:
    grammar = CATALOGUES[language].grammar
    heard = {number: said(language, grammar.counted(number, "minute")) for number in MINUTES[language]}
    assert heard == MINUTES[language]


@pytest.mark.parametrize("language", PEOPLE)
def test_b8_numbers_agree_with_people(language: str) -> None:
    grammar = CATALOGUES[language].grammar
    heard = {number: said(language, grammar.counted(number, "participant")) for number in PEOPLE[language]}
    assert heard == PEOPLE[language]


@given(st.integers(0, 999_999), st.sampled_from(sorted(CATALOGUES)), st.sampled_from(["", "f", "fa"]))
def test_every_number_means_itself(number: int, language: str, form: str) -> None:
    total = below = 0
    for word in CATALOGUES[language].grammar.cardinal(number, form):
        kind, _, rest = word.name.partition("-")
        if word.name.startswith("noun-thousand"):
            total, below = below * 1000, 0
        elif rest != "and":
            assert kind == "number"
            below += int(rest.split("-")[0])
    assert total + below == number


@given(st.integers(0, 10_000))
def test_russian_and_belarusian_nouns_follow_the_last_digits(number: int) -> None:
    teens = 11 <= number % 100 <= 14
    expected = "many" if teens else {1: "one", 2: "few", 3: "few", 4: "few"}.get(number % 10, "many")
    assert {CATALOGUES[language].grammar.plural(number) for language in ("ru", "be")} == {expected}


@pytest.mark.parametrize(
    ("language", "duration", "clock", "date"),
    [
        ("ru", "один час одну минуту", "двадцать один час одну минуту", "третьего ноября"),
        ("be", "адну гадзіну адну хвіліну", "дваццаць адну гадзіну адну хвіліну", "трэцяга лістапада"),
        ("en", "one hour one minute", "nine oh one p.m.", "November the third"),
    ],
)
def test_durations_clock_times_and_dates_stand_in_their_case(
    language: str, duration: str, clock: str, date: str
) -> None:
    grammar = CATALOGUES[language].grammar
    assert said(language, grammar.duration(61, "acc")) == duration
    assert said(language, grammar.time(datetime.time(21, 1))) == clock
    assert said(language, grammar.date(datetime.date(2026, 11, 3))) == date


def test_the_twelve_hour_clock_knows_midnight_noon_and_halves_of_the_day() -> None:
    times = [(0, 0), (0, 5), (12, 0), (12, 30), (9, 0), (23, 59)]
    heard = [said("en", CATALOGUES["en"].grammar.time(datetime.time(*time))) for time in times]
    assert heard == [
        "midnight", "twelve oh five a.m.", "noon", "twelve thirty p.m.", "nine a.m.", "eleven fifty nine p.m.",
    ]  # fmt: skip


@pytest.mark.parametrize("language", CATALOGUES)
def test_every_minute_of_the_day_and_every_day_of_the_year_can_be_said(language: str) -> None:
    grammar = CATALOGUES[language].grammar
    minutes = {said(language, grammar.time(datetime.time(m // 60, m % 60))) for m in range(1440)}
    days = {said(language, grammar.date(datetime.date(2028, 1, 1) + datetime.timedelta(d))) for d in range(366)}
    assert (len(minutes), len(days)) == (1440, 366)


def test_a_duration_of_days_leaves_minutes_out() -> None:
    grammar = CATALOGUES["en"].grammar
    assert said("en", grammar.duration(2 * 1440 + 3 * 60 + 7)) == "two days three hours"
    assert said("en", grammar.duration(120)) == "two hours"
    assert [whole_minutes(seconds) for seconds in (0, 1, 60, 60.5, 119, 300)] == [1, 1, 1, 2, 2, 5]


def test_numbers_are_read_out_in_groups() -> None:
    groups = [digit_groups("1234567890"[:length]) for length in (1, 3, 4, 5, 6, 7, 10)]
    assert groups == [
        ["1"], ["123"], ["12", "34"], ["123", "45"], ["123", "456"], ["123", "45", "67"], ["123", "456", "78", "90"],
    ]  # fmt: skip


@given(st.text("0123456789", max_size=32))
def test_grouping_loses_no_digit(digits: str) -> None:
    assert "".join(digit_groups(digits)) == digits


@pytest.mark.parametrize(("language", "minus"), [("ru", "минус пять"), ("be", "мінус пяць"), ("en", "minus five")])
def test_numbers_below_nought_and_beyond_a_million_are_said(language: str, minus: str) -> None:
    grammar = CATALOGUES[language].grammar
    assert said(language, grammar.cardinal(-5)) == minus
    assert [word.name for word in grammar.cardinal(1_000_000)] == ["number-1"] + ["number-0"] * 6


