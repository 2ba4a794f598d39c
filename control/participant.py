"""A participant: the person in a conference's list, whether he is in, invited or gone."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    CHAIR = "chair"
    GUEST = "guest"


class ParticipantState(StrEnum):
    """Where a participant is (mission S23)."""

    ABSENT = "absent"
    """In the list, not called yet, or the call to him was cancelled."""
    INVITED = "invited"
    """His phone is being called and has not said that it rings."""
    RINGING = "ringing"
    JOINED = "joined"
    LEFT = "left"
    FAILED = "failed"
    """The last call to him came to nothing; ``failure`` and ``reason`` say why."""
    KICKED = "kicked"


@dataclass(slots=True)
class Participant:
    """His row. Only his conference changes it."""

    id: str
    number: str
    """Normalised telephone number, SIP URI, or the caller's user part; empty for an anonymous caller."""
    name: str
    email: str
    planned_role: Role
    """What the operator gave him; it counts when we call him or he calls from his own signed-in phone."""
    role: Role
    """What he is in the present (or last) call."""
    planned: bool
    """In the list by the operator's will, so never forgotten; False for who just called in."""
    created: float
    state: ParticipantState = ParticipantState.ABSENT
    failure: str = ""
    reason: str = ""
    muted: bool = False
    """By the operator or chair; survives leaving and coming back."""
    deaf: bool = False
    talk_gain_db: float = 0.0
    listen_gain_db: float = 0.0
    levelling: bool = True
    """Bring his speech to everybody's loudness (N9), unless the conference has it off for all."""
    held: bool = False
    talking: bool = False
    playing_music: bool = False
    """Music, tones or noise come from his phone instead of speech (N8)."""
    leg: str | None = None
    """The leg he is in by, or is being called by."""
    joined: float | None = None
    """Unix time of his last coming in."""
    request_key: str | None = None
    """Of the request that added him (mission N12)."""
    seen: bool = True
    """False from the moment a caller is let in until his call stands: he has no row outside yet."""

    @property
    def in_call(self) -> bool:
        return self.state is ParticipantState.JOINED
