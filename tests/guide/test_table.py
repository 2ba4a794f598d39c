"""The guide's state table is complete, its chart is the committed one, its prompts are in the catalogue."""

from __future__ import annotations

import re

import pytest

from control.config import ROOT
from control.guide import messages as m
from control.guide.chart import PAGE, draw, insert
from control.guide.prompts_needed import PROMPTS
from control.guide.table import FINAL, TABLE, State, Takes, Trigger
from control.guide.words import PARTING
from tests.guide.spoken import catalogues


def test_every_state_has_a_row_and_all_but_the_final_ones_have_exits() -> None:
    assert set(TABLE) == set(State)
    assert {state for state, row in TABLE.items() if not row.exits} == FINAL


def test_every_state_is_reached_and_leads_to_an_end() -> None:
    reached, todo = set[State](), [State.GREETING]
    while todo:
        state = todo.pop()
        if state not in reached:
            reached.add(state)
            todo += TABLE[state].exits.values()
    assert reached == set(State)
    ends = set(FINAL)
    for _ in State:
        ends |= {state for state, row in TABLE.items() if ends & set(row.exits.values())}
    assert ends == set(State)


def test_every_trigger_leads_somewhere() -> None:
    assert {trigger for row in TABLE.values() for trigger in row.exits} == set(Trigger)


def test_a_state_that_asks_says_what_it_asks_and_ends_on_silence() -> None:
    for state, row in TABLE.items():
        if row.takes in {Takes.ENTRY, Takes.CHOICE}:
            assert row.says, state
            assert {Trigger.SILENCE, Trigger.NO_PIN} & set(row.exits), state


def test_a_refusal_or_the_limit_ends_the_questions_in_every_state() -> None:
    for state, row in TABLE.items():
        if row.limited:
            assert row.exits[Trigger.REFUSED] is State.GOODBYE, state
            assert row.exits[Trigger.TIME_OVER] is State.GOODBYE, state


def test_every_end_has_its_last_words() -> None:
    assert set(PARTING) == set(m.EndReason)
    assert {r.value for r in m.Refusal} <= {r.value for r in m.EndReason}


def test_the_chart_in_the_docs_is_drawn_from_the_table() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page == insert(page), "run: python -m control.guide.chart"
    assert 'number -->|"# or a pause"| finding' in draw()
    with pytest.raises(ValueError, match="no place for the chart"):
        insert("# A page without markers\n")


@pytest.mark.parametrize("language", catalogues())
def test_every_language_has_the_prompts_with_the_values_that_are_given(language: str) -> None:
    prompts = catalogues()[language].prompts
    for key, values in PROMPTS.items():
        assert key in prompts, key
        assert {slot.value for slot in prompts[key].slots()} == set(values), key


def test_the_prompts_needed_are_those_that_are_said() -> None:
    sources = [p.read_text() for folder in ("guide", "keypad") for p in (ROOT / "control" / folder).glob("*.py")]
    code = "\n".join(text for text in sources if "PROMPTS:" not in text)
    said = set(re.findall(r'"([a-z]+(?:-[a-z]+)*)"', code))
    assert set(PROMPTS) - said == set()
    hyphened = {word for word in said if "-" in word}
    assert hyphened - set(PROMPTS) == set()
