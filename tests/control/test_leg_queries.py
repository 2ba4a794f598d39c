"""Figures asked of a mixer in batches, each leg once however many ask."""

from __future__ import annotations

import asyncio

import pytest

from control import leg_queries
from control.leg_queries import Answer, LegQueries
from mixer.protocol import LegStats, Message, QueryDone, QueryLegs


class Mixer:
    """Answers when told to; ``known`` are its legs."""

    def __init__(self, known: set[str]) -> None:
        self.known = known
        self.asked: list[QueryLegs] = []
        self.queries = LegQueries(self._take)

    def _take(self, message: Message) -> None:
        assert isinstance(message, QueryLegs)
        self.asked.append(message)

    def answer(self, number: int = -1) -> None:
        query = self.asked[number]
        for leg in query.legs:
            if leg in self.known:
                self.queries.receive(
                    LegStats(leg, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, None, None, 0, False, 0, 0, 1, 93, 4.4, 0)
                )
        self.queries.receive(QueryDone(query.token))


def outcome(answers: dict[str, Answer]) -> dict[str, bool]:
    """By leg whether there are figures; legs without an answer yet are left out."""
    return {leg: answer.result() is not None for leg, answer in answers.items() if answer.done()}


async def test_many_legs_are_asked_for_in_batches_one_after_the_other(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(leg_queries, "BATCH", 3)
    mixer = Mixer({"a", "b", "c", "d"})
    answers = mixer.queries.ask("abcdx")
    assert [query.legs for query in mixer.asked] == [("a", "b", "c")]
    mixer.answer()
    assert [query.legs for query in mixer.asked[1:]] == [("d", "x")]
    mixer.answer()
    assert outcome(answers) == {"a": True, "b": True, "c": True, "d": True, "x": False}
    assert len(mixer.asked) == 2


async def test_who_asks_for_the_same_leg_shares_the_answer_and_what_comes_meanwhile_goes_together() -> None:
    mixer = Mixer({"a", "b", "c"})
    answers = [mixer.queries.ask(legs) for legs in ("a", "ab", "bc")]
    mixer.answer()
    mixer.answer()
    assert [query.legs for query in mixer.asked] == [("a",), ("b", "c")]
    assert [outcome(answer) for answer in answers] == [{"a": True}, {"a": True, "b": True}, {"b": True, "c": True}]


async def test_a_lost_mixer_answers_nothing_more_and_the_next_one_is_asked_anew() -> None:
    mixer = Mixer({"a"})
    before = mixer.queries.ask("a")
    mixer.queries.drop()
    assert outcome(before) == {"a": False}
    after = mixer.queries.ask("a")
    mixer.answer(0)
    assert outcome(after) == {"a": True}, "figures are figures, whichever query they answer"
    again = mixer.queries.ask("a")
    mixer.answer()
    assert outcome(again) == {"a": True}


async def test_a_query_that_got_lost_holds_up_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    mixer = Mixer({"a", "b"})
    lost = mixer.queries.ask("a")
    monkeypatch.setattr(leg_queries, "LOST_SECONDS", -1.0)
    later = mixer.queries.ask("b")
    mixer.answer()
    assert (outcome(lost), outcome(later)) == ({"a": False}, {"b": True})


async def test_who_gives_up_waiting_spoils_the_answer_for_nobody() -> None:
    mixer = Mixer({"a"})
    answers = mixer.queries.ask("a")
    await asyncio.wait(answers.values(), timeout=0)
    mixer.answer()
    assert outcome(answers) == {"a": True}
