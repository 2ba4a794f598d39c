"""What the SIP user agent reports upward: one frozen dataclass per thing that happened.

A *call* is one INVITE dialog usage, named by an opaque string that the agent makes up and that stays the same from the
first INVITE to the last BYE. Bodies are the exact bytes of the message. Addresses are (host, port).
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class FailureKind(StrEnum):
    """Why a call did not come about, in words a person understands (mission N1)."""

    BUSY = "busy"
    NO_ANSWER = "no_answer"
    REJECTED = "rejected"
    WRONG_NUMBER = "wrong_number"
    UNREACHABLE = "unreachable"
    NETWORK = "network"
    FORBIDDEN = "forbidden"
    UNSUPPORTED = "unsupported"
    CANCELLED = "cancelled"


class EndKind(StrEnum):
    """Who or what ended an answered call."""

    REMOTE = "remote"
    LOCAL = "local"
    TIMEOUT = "timeout"
    TRANSPORT = "transport"


@dataclass(frozen=True, slots=True)
class Event:
    """Base of all events."""


@dataclass(frozen=True, slots=True)
class IncomingCall(Event):
    """An INVITE outside a dialog; control answers with ring(), answer() or reject()."""

    call: str
    request_uri: str
    """The Request-URI as sent, e.g. ``sip:200*4321@10.0.0.1``."""
    user: str
    """Its user part, unescaped: ``200*4321``."""
    from_uri: str
    from_user: str
    from_name: str
    """Display name of From, unquoted; empty when there is none."""
    account: str | None
    """The registered number this caller was recognised as (digest on the INVITE, or a registered contact's flow)."""
    offer: bytes | None
    """The session description offered; None asks us to offer in the 200 (RFC 3261 section 13.2.1)."""
    source: tuple[str, int]
    """Transport address the INVITE came from."""
    transport: str
    call_id: str
    headers: dict[str, str] = field(default_factory=dict)
    """Further header fields by lower-case name (first value each)."""


@dataclass(frozen=True, slots=True)
class CallCancelled(Event):
    """The caller gave up (CANCEL, or the transport is gone) before we answered."""

    call: str
    reason: str


@dataclass(frozen=True, slots=True)
class CallConfirmed(Event):
    """ACK for our 200 came in; ``answer`` is its session description when our 200 carried the offer."""

    call: str
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class CallProgress(Event):
    """A provisional response to our INVITE; ``body`` with a session description means early media."""

    call: str
    status: int
    reason: str
    body: bytes | None
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class CallAnswered(Event):
    """Our INVITE was answered with 2xx (and acknowledged by the agent)."""

    call: str
    body: bytes | None
    source: tuple[str, int]
    """Transport address the answer came from."""
    headers: dict[str, str] = field(default_factory=dict)
    transport: str = ""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class CallFailed(Event):
    """Our INVITE came to nothing."""

    call: str
    kind: FailureKind
    status: int
    """SIP status code; 408 stands for no answer at all, 503 for a transport error (RFC 3261 section 8.1.3.1)."""
    reason: str
    retry_after: int | None = None
    """Seconds from Retry-After, when it was given."""
    call_id: str = ""


@dataclass(frozen=True, slots=True)
class CallEnded(Event):
    """An answered call is over. Always the last event of that call."""

    call: str
    kind: EndKind
    reason: str
    """Text of the Reason header field (RFC 3326) or our own words."""


@dataclass(frozen=True, slots=True)
class SessionOffered(Event):
    """A re-INVITE or UPDATE inside the dialog: answer with accept_session() or refuse_session().

    ``offer`` None (re-INVITE without a body) asks us to send an offer; the answer then comes as CallConfirmed.
    """

    call: str
    offer: bytes | None
    method: str


@dataclass(frozen=True, slots=True)
class SessionAnswered(Event):
    """The far side accepted the session we proposed with modify_session()."""

    call: str
    answer: bytes | None


@dataclass(frozen=True, slots=True)
class SessionRefused(Event):
    """The far side refused the session we proposed; the old session goes on."""

    call: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class InfoReceived(Event):
    """INFO inside the dialog, already answered with 200; e.g. application/dtmf-relay with a keypad digit."""

    call: str
    content_type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Registered(Event):
    """A phone account signed in, refreshed, or (contacts empty) signed out."""

    account: str
    contacts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RegistrationFailed(Event):
    """A REGISTER was refused for good (wrong password, unknown account)."""

    account: str
    source: tuple[str, int]
    reason: str
