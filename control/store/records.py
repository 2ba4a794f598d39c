"""What the store keeps, as plain records. Every time is an aware datetime in UTC; every id an opaque string.

Records are mutable on purpose: their single writer changes one and hands it to ``Store.save`` again, which queues an
upsert of the state at that moment. Fields called PIN are plaintext here, in memory, and sealed in the database
(docs/decisions/010-sealed-pins.md); they never appear in a repr, and so never in a log.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Generic, TypeVar

Record = TypeVar("Record")


@dataclass(slots=True, kw_only=True)
class ConferenceRecord:
    """A conference from planning to its end."""

    id: str
    number: str
    """What phones dial. Free again once the conference has ended."""
    topic: str
    state: str
    """planned, waiting, running, ending or ended."""
    created: datetime
    starts: datetime
    """When it is to begin; for an immediate conference the moment of creation."""
    ends: datetime
    """When its time is over, extensions included."""
    started: datetime | None = None
    ended: datetime | None = None
    end_reason: str = ""
    duration_minutes: int
    seats: int
    locked: bool = False
    levelling: bool = True
    talkers: int = 0
    """Most voices in the mix at once; 0: no limit."""
    silence_music: bool = False
    chair_pin: str = field(repr=False)
    guest_pin: str | None = field(default=None, repr=False)
    owner: str = ""
    """Who created it: the id of a token or an account."""
    request_key: str | None = None
    """Set by creation under an Idempotency-Key, unique: a crash between creating and answering makes no second one."""


@dataclass(slots=True, kw_only=True)
class ParticipantRecord:
    """A person in a conference, whether planned, invited, inside or gone."""

    id: str
    conference: str
    number: str = ""
    name: str = ""
    email: str = ""
    role: str = "guest"
    """chair or guest."""
    state: str = "absent"
    """absent, invited, ringing, joined, failed, left or kicked: the core's words, kept as they are."""
    reason: str = ""
    """Why the state is what it is, in words."""
    failure: str = ""
    """A sip.events.FailureKind value when the last invitation failed."""
    muted: bool = False
    deaf: bool = False
    talk_gain_db: float = 0.0
    listen_gain_db: float = 0.0
    levelling: bool = True
    created: datetime
    joined: datetime | None = None
    request_key: str | None = None


@dataclass(slots=True, kw_only=True)
class LegRecord:
    """One call: the CDR. Calls refused before they reached a conference have neither conference nor participant."""

    id: str
    conference: str | None = None
    participant: str | None = None
    direction: str
    """in or out."""
    from_number: str = ""
    to_number: str = ""
    name: str = ""
    role: str = ""
    """Of the participant at the time of the call."""
    codec: str = ""
    transport: str = ""
    """Signalling transport: udp or tcp."""
    started: datetime
    """INVITE received or sent."""
    ringing: datetime | None = None
    answered: datetime | None = None
    ended: datetime | None = None
    end_kind: str = ""
    """A sip.events.EndKind or FailureKind value, or the core's own word (kicked, conference_ended, ...)."""
    end_reason: str = ""
    status: int | None = None
    """Final SIP status of a call that was not answered."""
    call_id: str = ""
    """SIP Call-ID, to find the call in traces."""
    media: dict[str, Any] = field(default_factory=dict)
    """Closing figures of the media engine (mixer.protocol.LegStats without leg)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EventRecord:
    """Something that happened. ``seq`` rises over all conferences; a reader that knows N resumes after N."""

    seq: int
    time: datetime
    kind: str
    conference: str | None
    data: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class AccountRecord:
    """A person who signs in, and the phone that does."""

    id: str
    name: str
    """What one signs in with: 375XXXXXXXXX, an extension of the operator's own phones, or an e-mail address."""
    kind: str
    """telephone or email."""
    display_name: str = ""
    role: str = "user"
    """user, operator or admin."""
    password_hash: str = field(repr=False)
    """argon2id, PHC string."""
    realm: str = ""
    """The digest realm ``ha1_md5`` and ``ha1_sha256`` are bound to; empty for an e-mail account."""
    ha1_md5: str = field(default="", repr=False)
    ha1_sha256: str = field(default="", repr=False)
    """H(name:realm:password) in hex (RFC 7616 section 3.4.2): as good as the password for SIP, so sealed at rest."""
    blocked: bool = False
    created: datetime
    changed: datetime


@dataclass(slots=True, kw_only=True)
class TokenRecord:
    """A bearer token of the API; only its hash is kept."""

    id: str
    name: str
    hash: str = field(repr=False)
    """SHA-256, hex. The token is 256 random bits: there is nothing to guess, so a slow hash would add nothing."""
    scopes: tuple[str, ...]
    created: datetime
    last_used: datetime | None = None
    expires: datetime | None = None
    revoked: datetime | None = None


@dataclass(slots=True, kw_only=True)
class IdempotencyRecord:
    """A creation request under an Idempotency-Key and, once there, its answer (mission N12)."""

    token: str
    key: str
    fingerprint: str
    """Keyed hash of method, path and body: the body may hold PINs, so a bare hash could be searched."""
    created: datetime
    status: int | None = None
    """None while the first request is at work."""
    body: str = field(default="", repr=False)
    """The response's JSON; sealed at rest since it shows PINs."""


@dataclass(frozen=True, slots=True)
class Page(Generic[Record]):
    """A slice of a list. ``next`` is the cursor of the following slice, None at the end; ``total`` counts all."""

    items: list[Record]
    next: str | None
    total: int
