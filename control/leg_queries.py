"""Figures of legs, asked of one mixer in small batches.

A mixer answers within its tick, and a leg's figures take it some 70 us: a thousand at once would make the tick late.
Whoever asks for the same leg before it was answered shares the answer; what comes in while a batch is out goes together
in the next one, so that neither a large report nor a burst of ending calls floods the mixer.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import islice

from mixer.protocol import LegStats, Message, QueryDone, QueryLegs

BATCH = 40
"""Legs of one query: some 3 ms of a tick."""
LOST_SECONDS = 1.0
"""A query without an answer for so long is given up: a mixer that has too much to tell may drop one."""

Answer = asyncio.Future[LegStats | None]


class LegQueries:
    """The questions to one mixer; ``tell`` sends to it. Feed it LegStats and QueryDone."""

    def __init__(self, tell: Callable[[Message], None]) -> None:
        self._tell = tell
        self._waiting: dict[str, Answer] = {}
        self._asked: dict[str, Answer] = {}
        self._token = 0
        self._since = 0.0
        """When the query that is out was asked."""

    def ask(self, legs: Iterable[str]) -> dict[str, Answer]:
        """By leg its figures to come; None when the mixer does not know it or is lost."""
        loop = asyncio.get_running_loop()
        if self._asked and loop.time() - self._since > LOST_SECONDS:
            self._give_up(self._asked)
        answers = {}
        for leg in legs:
            answer = self._asked.get(leg) or self._waiting.get(leg)
            if answer is None:
                answer = self._waiting[leg] = loop.create_future()
            answers[leg] = answer
        self._go_on()
        return answers

    def receive(self, message: LegStats | QueryDone) -> None:
        if isinstance(message, LegStats):
            answer = self._asked.pop(message.leg, None)
            if answer is not None:
                answer.set_result(message)
        elif message.token == self._token:
            self._give_up(self._asked)
            self._go_on()

    def drop(self) -> None:
        """The mixer is lost: nothing asked will be answered."""
        self._token += 1
        self._give_up(self._asked)
        self._give_up(self._waiting)

    def _go_on(self) -> None:
        if not self._asked and self._waiting:
            names = tuple(islice(self._waiting, BATCH))
            self._asked = {name: self._waiting.pop(name) for name in names}
            self._token += 1
            self._since = asyncio.get_running_loop().time()
            self._tell(QueryLegs(self._token, names))

    @staticmethod
    def _give_up(answers: dict[str, Answer]) -> None:
        for answer in answers.values():
            answer.set_result(None)
        answers.clear()
