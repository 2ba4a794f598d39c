"""Our 2xx to an INVITE on its way: sent again and again until the ACK comes (RFC 3261 section 13.3.1.4)."""

from __future__ import annotations

from collections.abc import Callable

from sip.core import Core
from sip.message import Response
from sip.timers import T1, T2, TIMEOUT, Timer
from sip.transaction import ServerTransaction


class Confirmation:
    """Repeats the response over any transport, for 64*T1; then ``give_up`` is called.

    ``number`` is the CSeq of the INVITE. ``wants_answer`` tells that the 2xx carried an offer.
    """

    __slots__ = (
        "_core", "_data", "_deadline", "_give_up", "_interval", "_peer", "_timer", "initial", "number", "wants_answer",
    )  # fmt: skip

    def __init__(
        self,
        core: Core,
        transaction: ServerTransaction,
        response: Response,
        give_up: Callable[[float], None],
        now: float,
        *,
        initial: bool,
        wants_answer: bool,
    ) -> None:
        transaction.respond(response, now)
        self._core = core
        self._peer = transaction.peer
        self._data = response.encode()
        self._give_up = give_up
        self._interval = T1
        self._deadline = now + TIMEOUT
        self._timer: Timer = core.timers.at(now + T1, self._repeat)
        self.number = response.cseq.number
        self.initial = initial
        self.wants_answer = wants_answer

    def stop(self) -> None:
        """The ACK came."""
        self._timer.cancel()

    def _repeat(self, now: float) -> None:
        if now >= self._deadline:
            self._give_up(now)
            return
        self._core.transactions.transmit(self._data, self._peer)
        self._interval = min(self._interval * 2, T2)
        self._timer = self._core.timers.at(min(now + self._interval, self._deadline), self._repeat)
