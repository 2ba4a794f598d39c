"""Who is let into a conference, as chair or guest, and the words for those who are not (mission B2, B4, B21, B28)."""

from __future__ import annotations

import hmac
from dataclasses import dataclass

from control.participant import Role
from control.plan import ConferenceState, Plan


class RefusedError(Exception):
    """A caller is not let in: the SIP status and the words for its Reason header field (RFC 3326)."""

    def __init__(self, status: int, reason: str, *, retry_after: int | None = None, wrong_pin: bool = False) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.retry_after = retry_after
        """Seconds."""
        self.wrong_pin = wrong_pin
        """A PIN was tried and was none of this conference's."""


@dataclass(frozen=True, slots=True)
class Caller:
    """Who calls in."""

    number: str
    """As ``control.numbers.caller_number`` gives it; empty for nobody known."""
    name: str
    authenticated: bool
    """The number is proven, by digest or a registered phone's flow; else it is whatever From says."""


def role_of(plan: Plan, state: ConferenceState, pin: str | None, *, locked: bool, taken: int, now: float) -> Role:
    """What the PIN makes of a caller; None is no PIN. ``taken``: seats in use. Raises RefusedError."""
    if state.is_over:
        raise RefusedError(410, "The conference has ended")
    if state is ConferenceState.PLANNED:
        wait = max(1, int(plan.starts - now))
        raise RefusedError(480, "The conference has not started yet", retry_after=wait)
    role = Role.GUEST
    if _same(pin, plan.chair_pin):
        role = Role.CHAIR
    elif pin is None and plan.guest_pin is not None:
        raise RefusedError(403, f"A PIN is needed: call {plan.number}*PIN")
    elif pin is not None and not _same(pin, plan.guest_pin):
        raise RefusedError(403, "Wrong PIN", wrong_pin=True)
    if locked and role is Role.GUEST:
        raise RefusedError(403, "The conference is locked")
    if taken >= plan.seats:
        raise RefusedError(486, "The conference is full")
    return role


def _same(given: str | None, pin: str | None) -> bool:
    """Compares in constant time; None is no PIN and equals nothing."""
    return given is not None and pin is not None and hmac.compare_digest(given.encode(), pin.encode())
