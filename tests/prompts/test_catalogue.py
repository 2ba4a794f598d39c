"""The texts: complete in every language, and every hole or mistake in them is found and named."""

from __future__ import annotations

import datetime
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from control.prompts.catalogue import Catalogue, CatalogueError, check, languages_in, load
from control.prompts.phrase import PromptError, Value, fixed_parts, phrase
from control.prompts.prompts import SHIPPED
from control.prompts.sound import pause
from control.prompts.spoken import STRESS, for_eye, for_synthesiser, speakable
from control.prompts.template import TemplateError, parse

CATALOGUES = [load(language, [SHIPPED / f"{language}.toml"]) for language in languages_in(SHIPPED)]
RU, BE, EN = (next(c for c in CATALOGUES if c.language == language) for language in ("ru", "be", "en"))


def say(catalogue: Catalogue, key: str, /, **values: Value) -> str:
    return for_eye(phrase(catalogue, key, values).sentence)


def own(tmp_path: Path, text: str, language: str = "en") -> Catalogue:
    """The shipped texts with an operator's over them."""
    file = tmp_path / "texts.toml"
    file.write_text(text)
    return load(language, [SHIPPED / f"{language}.toml", file])


def test_nothing_is_missing_in_any_language() -> None:
    assert [c.language for c in CATALOGUES] == ["be", "en", "ru"]
    assert check(CATALOGUES) == []


@pytest.mark.parametrize("catalogue", CATALOGUES, ids=lambda c: c.language)
def test_every_prompt_can_be_said_with_every_kind_of_number(catalogue: Catalogue) -> None:
    for key, prompt in catalogue.prompts.items():
        for number in (0, 1, 2, 5, 11, 21, 22, 25, 101, 111):
            text = say(catalogue, key, **sample(catalogue, key, number))
            assert text[0].isupper() or prompt.slots() or key == "rollcall-self", (key, text)
            assert not re.search(r"[{}\d]|  | [.,:]", text), (key, text)


def sample(catalogue: Catalogue, key: str, number: int = 3) -> dict[str, Value]:
    moment = datetime.datetime(2026, 11, 22, 14, 30)
    values: dict[str, Value] = {
        "number": number, "digits": "4071", "keys": "*98", "clock": moment, "date": moment, "duration": 3700,
        "text": "Budget", "name": "Anna",
    }  # fmt: skip
    return {slot.value: values[slot.kind] for slot in catalogue.prompts[key].slots()}


def test_b22_warnings_agree_with_the_minutes_left() -> None:
    assert [say(RU, "ending-soon", minutes=n) for n in (1, 2, 5)] == [
        "До конца конференции осталась одна минута.",
        "До конца конференции осталось две минуты.",
        "До конца конференции осталось пять минут.",
    ]
    assert say(BE, "ending-soon", minutes=1) == "Да канца канферэнцыі засталася адна хвіліна."
    assert say(EN, "ending-soon", minutes=1) == "There is one minute left until the end of the conference."
    assert say(RU, "extended", minutes=21) == "Конференция продлена на двадцать одну минуту."
    assert say(RU, "extend-hint", key="*98") == "Чтобы продлить её, нажмите звёздочку девять восемь."


def test_b8_the_count_of_participants_agrees() -> None:
    assert say(RU, "count", count=3) == "В конференции три участника."
    assert say(BE, "count", count=3) == "У канферэнцыі тры ўдзельнікі."
    assert [say(EN, "count", count=n)[:9] for n in (1, 2)] == ["There is ", "There are"]


def test_b4_when_a_conference_starts_is_told_as_people_tell_time() -> None:
    start = datetime.datetime(2026, 11, 23, 9, 1)
    assert say(RU, "starts-on", date=start, time=start) == (
        "Она начнётся двадцать третьего ноября в девять часов одну минуту."
    )
    assert say(BE, "starts-in", left=datetime.timedelta(hours=1)) == "Яна пачнецца праз адну гадзіну."
    assert say(EN, "starts-today", time=start) == "It starts today at nine oh one a.m."


def test_a_pin_is_told_digit_by_digit_in_groups() -> None:
    parts = phrase(EN, "chair-pin-is", {"pin": "407123"}).parts
    names = [getattr(part, "name", "-") for part in parts]
    assert names == ["chair-pin-is.1", *(f"number-{n}" for n in "407"), "-", *(f"number-{n}" for n in "123")]


# --- holes and mistakes ----------------------------------------------------------------------------------------------

HOLES = [
    ('[prompts]\nextra = "More."', "ru: the prompt extra is missing"),
    ('[prompts]\nextended = "The conference has been extended."', "en: extended does not say {minutes}"),
    ('[prompts]\ngoodbye = "Goodbye, {name:name}."', "en: goodbye says {name:name}, which others do not"),
    ('[prompts]\nhands.one = "{count|participant} wants to speak."', "en: hands has no plural form other"),
    ('[prompts]\nhands.one = "One."\nhands.other = "{count}."', "en: hands.one does not say {count}"),
    ('[prompts]\nhand-place = "{place|goose}"', "en: hand-place counts the noun goose, which is missing"),
    ('[prompts]\nhand-place = "{place:m}"', "en: hand-place asks for the form m of a number, which is missing"),
    ('[nouns]\nminute = { one = "minute" }', "en: the noun minute has no plural form other"),
    ('[nouns]\nday.form = "x"', "en: the noun day asks for the form x of numbers, which is missing"),
    ("[numbers]\n13 = ''", "en: the number 13 is missing"),
    ('[symbols]\n"*" = ""', "en: the symbol * is missing"),
    ("[clock]\npast = ''", "en: clock.past is missing"),
    ("[clock]\npm = ''", "en: clock.am or clock.pm is missing"),
    ("[clock]\nearly = '{hours}'", "en: the clock does not know {hours}"),
    ("[date]\nmonths = ['January']", "en: the date has only 1 months"),
]  # fmt: skip


@pytest.mark.parametrize(("texts", "line"), HOLES)
def test_a_hole_in_the_texts_is_named(tmp_path: Path, texts: str, line: str) -> None:
    assert line in check([RU, BE, own(tmp_path, texts)])


MISTAKES = [
    ("[prompts", "Expected"),
    ("voice = 3", "voice: "),
    ("colour = 'red'", "colour: "),
    ("[prompts]\ngoodbye = 'Good{bye'", "prompts.goodbye: a brace is not closed"),
    ("[prompts]\ngoodbye = '{when:soon-ish}'", "prompts.goodbye: {when:soon-ish}: there is no kind soon-ish"),
    ("[prompts]\ngoodbye = '  '", "prompts.goodbye: is empty"),
    ("[prompts]\ngoodbye.one = 'Bye.'", "prompts.goodbye: has plural forms and no number they depend on"),
    ("[prompts]\nhands.single = '{count}'", "prompts.hands.single: not one of"),
    ("[prompts]\nGood_Bye = 'Bye.'", "prompts.Good_Bye: a key is made of"),
    ("[nouns]\nday = { plural = 'days' }", "nouns.day.plural: not one of"),
    ("[numbers]\nten = 'ten'", "numbers.ten: not a number"),
    ("[sandhi]\n'(' = ''", "sandhi: "),
]


@pytest.mark.parametrize(("texts", "reason"), MISTAKES)
def test_a_mistake_in_the_texts_names_file_and_key(tmp_path: Path, texts: str, reason: str) -> None:
    with pytest.raises(CatalogueError) as error:
        own(tmp_path, texts)
    assert "texts.toml" in str(error.value)
    assert reason in str(error.value)


def test_a_language_without_texts_or_unknown_to_cldr_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CatalogueError, match="no texts in the language 'de'"):
        load("de", [SHIPPED / "de.toml"])
    (tmp_path / "xq.toml").write_text('name = "X"\nvoice = "en"\n')
    with pytest.raises(CatalogueError, match="'xq' is not a language CLDR knows"):
        load("xq", [tmp_path / "xq.toml"])


def test_an_operators_text_replaces_one_prompt_and_leaves_the_rest(tmp_path: Path) -> None:
    catalogue = own(tmp_path, '[prompts]\ngreeting = "Welcome to Beltelecom."\ncount = "Here: {count}."')
    assert (say(catalogue, "greeting"), say(catalogue, "count", count=2)) == ("Welcome to Beltelecom.", "Here: two.")
    assert catalogue.prompts["goodbye"] == EN.prompts["goodbye"]


VALUES: list[tuple[str, dict[str, Value], str]] = [
    ("count", {}, "the value count is not given"),
    ("goodbye", {"count": 1}, "the value count is not in it"),
    ("count", {"count": "3"}, "count must be a whole number, not a str"),
    ("count", {"count": True}, "count must be a whole number, not a bool"),
    ("chair-pin-is", {"pin": "none"}, "there is nothing to say in pin"),
    ("chair-pin-is", {"pin": 1.5}, "pin cannot be said as digits: a float"),
    ("starts-today", {"time": "noon"}, "time cannot be said as clock: a str"),
    ("topic-is", {"topic": "🎉 "}, "there is nothing to say in topic"),
    ("topic-is", {"topic": pause(1)}, "topic cannot be said as text: a Clip"),
]


@pytest.mark.parametrize(("key", "values", "reason"), VALUES)
def test_a_value_that_cannot_be_said_is_refused_by_name(key: str, values: dict[str, Value], reason: str) -> None:
    with pytest.raises(PromptError, match=re.escape(f"prompt {key}: {reason}")):
        phrase(EN, key, values)


@given(st.text("ab{}:|- 1"))
def test_any_text_is_a_template_or_refused(text: str) -> None:
    try:
        pieces = parse(text)
    except TemplateError:
        return
    assert pieces


# --- what the synthesiser gets ---------------------------------------------------------------------------------------


def words_of(catalogue: Catalogue) -> Iterator[str]:
    for key, prompt in catalogue.prompts.items():
        yield from (word.text for word in fixed_parts(key, prompt))
    yield from (word.text for word in catalogue.grammar.vocabulary())


def test_every_belarusian_word_tells_its_stress() -> None:
    for text in words_of(BE):
        for word in re.findall(rf"[\w{STRESS}'’]+", for_synthesiser(text, BE)):
            vowels = sum(letter in "аеёіоуыэюя" for letter in word.lower())
            assert vowels < 2 or word.count(STRESS) == 1, word


@pytest.mark.parametrize(
    ("catalogue", "text", "spoken"),
    [
        (EN, "Room 12 at 14:30!", "Room twelve at two thirty p.m.!"),
        (EN, "Call +37 2912345", "Call plus thirty seven two nine one, two three, four five"),
        (EN, "<b>50%</b>\n of us & them 🎉", "b fifty percent b of us and them"),
        (EN, "See https://example.net/x for 007", "See for zero zero seven"),
        (RU, "Отдел №3, 21 чел.", "Отдел номер три, двадцать один чел."),
        (BE, "Два удзельнікі", "Два ўдзельнікі"),
        (EN, "[[h@l'oU]] {x}", "h l'oU x"),
        (EN, " ... ?! ", ""),
    ],
)  # fmt: skip
def test_written_text_becomes_words(catalogue: Catalogue, text: str, spoken: str) -> None:
    assert speakable(text, catalogue) == spoken


@given(st.text(max_size=80))
def test_any_text_becomes_one_line_without_digits_or_brackets(text: str) -> None:
    assert not re.search(r"[\d\n\[\]{}<>]|  ", speakable(text, EN))
