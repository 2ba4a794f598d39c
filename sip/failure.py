"""Why a call, or one attempt at it, came to nothing."""

from __future__ import annotations

from dataclasses import dataclass

from sip.events import FailureKind
from sip.message import ParseError, Response
from sip.reasons import failure_kind, words


@dataclass(frozen=True, slots=True)
class Failure:
    """A final status in the words of mission N1."""

    status: int
    reason: str
    kind: FailureKind
    retry_after: int | None = None

    @classmethod
    def of_response(cls, response: Response) -> Failure:
        """What the far side said."""
        try:
            retry_after = response.number("Retry-After")
        except ParseError:
            retry_after = None
        kind = failure_kind(response.status, response.headers.get_all("Reason"))
        return cls(response.status, response.reason, kind, retry_after)

    @classmethod
    def of_kind(cls, kind: FailureKind, status: int) -> Failure:
        """What we found out ourselves."""
        return cls(status, words(kind), kind)

    @classmethod
    def of_silence(cls, status: int) -> Failure:
        """No final response: 408 when nothing came back at all, 503 when nothing could be sent (section 8.1.3.1)."""
        return cls.of_kind(FailureKind.UNREACHABLE if status == 408 else FailureKind.NETWORK, status)

    @property
    def rank(self) -> int:
        """Which of several failures speaks for the call, lowest first: people before machines."""
        if self.status >= 600:
            return 0
        if self.kind in (FailureKind.BUSY, FailureKind.REJECTED):
            return 1
        return 3 if self.status in (408, 480, 503) else 2
