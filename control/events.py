"""What happens in conferences: one frozen dataclass per kind of event (mission B30).

The store numbers them in one sequence; WebSocket subscribers, the event log and the audit read them. ``kind`` is the
stable name outside; ``data()`` is everything but the conference and the time, ready for JSON. ``by`` is who gave the
command (a token's name), or None when nobody did.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any, ClassVar


@dataclass(frozen=True, slots=True)
class ConferenceEvent:
    """Base of all events. ``at`` is Unix time in seconds."""

    kind: ClassVar[str] = ""
    conference: str
    at: float

    def data(self) -> dict[str, Any]:
        return {f.name: getattr(self, f.name) for f in fields(self) if f.name not in {"conference", "at"}}


# --- the conference --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Created(ConferenceEvent):
    """Times are Unix seconds."""

    kind = "conference.created"
    number: str
    topic: str
    starts: float
    ends: float
    seats: int
    by: str | None


@dataclass(frozen=True, slots=True)
class Started(ConferenceEvent):
    """Its time has come: calls are let in."""

    kind = "conference.started"


@dataclass(frozen=True, slots=True)
class Running(ConferenceEvent):
    """The first participant is in."""

    kind = "conference.running"


@dataclass(frozen=True, slots=True)
class Locked(ConferenceEvent):
    kind = "conference.locked"
    by: str | None


@dataclass(frozen=True, slots=True)
class Unlocked(ConferenceEvent):
    kind = "conference.unlocked"
    by: str | None


@dataclass(frozen=True, slots=True)
class Extended(ConferenceEvent):
    kind = "conference.extended"
    minutes: int
    ends: float
    by: str | None


@dataclass(frozen=True, slots=True)
class SoundChanged(ConferenceEvent):
    """How it sounds from now on, all of it (mixer.protocol.RoomSettings)."""

    kind = "conference.sound_changed"
    levelling: bool
    talkers: int
    silence_music: bool
    by: str | None


@dataclass(frozen=True, slots=True)
class EndingSoon(ConferenceEvent):
    """``minutes`` are left."""

    kind = "conference.ending_soon"
    minutes: int
    ends: float


@dataclass(frozen=True, slots=True)
class Ending(ConferenceEvent):
    """Everybody is being hung up."""

    kind = "conference.ending"
    reason: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Ended(ConferenceEvent):
    """The last leg is gone."""

    kind = "conference.ended"
    reason: str


@dataclass(frozen=True, slots=True)
class CallRefused(ConferenceEvent):
    """Somebody called and was not let in."""

    kind = "conference.call_refused"
    number: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class MediaLost(ConferenceEvent):
    """The mixer under it is gone: no sound until MediaRestored, but nobody is hung up (mission N13)."""

    kind = "conference.media_lost"
    reason: str


@dataclass(frozen=True, slots=True)
class MediaRestored(ConferenceEvent):
    """Another mixer has taken over, so many seconds after the loss was noticed."""

    kind = "conference.media_restored"
    seconds: float


# --- participants ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ParticipantEvent(ConferenceEvent):
    """Base of what happens to one participant (his id)."""

    participant: str


@dataclass(frozen=True, slots=True)
class Added(ParticipantEvent):
    kind = "participant.added"
    number: str
    name: str
    role: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Invited(ParticipantEvent):
    """We call his phone."""

    kind = "participant.invited"
    leg: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Ringing(ParticipantEvent):
    kind = "participant.ringing"
    leg: str


@dataclass(frozen=True, slots=True)
class InvitationCancelled(ParticipantEvent):
    kind = "participant.invitation_cancelled"
    leg: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Failed(ParticipantEvent):
    """The call to him came to nothing; ``failure`` is a sip.events.FailureKind value or ``overloaded`` (N1)."""

    kind = "participant.failed"
    leg: str
    failure: str
    status: int
    reason: str


@dataclass(frozen=True, slots=True)
class Joined(ParticipantEvent):
    kind = "participant.joined"
    leg: str
    number: str
    name: str
    role: str


@dataclass(frozen=True, slots=True)
class Left(ParticipantEvent):
    kind = "participant.left"
    leg: str
    reason: str


@dataclass(frozen=True, slots=True)
class Kicked(ParticipantEvent):
    kind = "participant.kicked"
    leg: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Muted(ParticipantEvent):
    kind = "participant.muted"
    by: str | None


@dataclass(frozen=True, slots=True)
class Unmuted(ParticipantEvent):
    kind = "participant.unmuted"
    by: str | None


@dataclass(frozen=True, slots=True)
class Deafened(ParticipantEvent):
    kind = "participant.deafened"
    by: str | None


@dataclass(frozen=True, slots=True)
class Undeafened(ParticipantEvent):
    kind = "participant.undeafened"
    by: str | None


@dataclass(frozen=True, slots=True)
class GainChanged(ParticipantEvent):
    kind = "participant.gain_changed"
    talk_gain_db: float
    listen_gain_db: float
    levelling: bool
    by: str | None


@dataclass(frozen=True, slots=True)
class Renamed(ParticipantEvent):
    kind = "participant.renamed"
    name: str
    by: str | None


@dataclass(frozen=True, slots=True)
class Held(ParticipantEvent):
    """His phone has put the conference on hold."""

    kind = "participant.held"


@dataclass(frozen=True, slots=True)
class Resumed(ParticipantEvent):
    kind = "participant.resumed"


@dataclass(frozen=True, slots=True)
class Talking(ParticipantEvent):
    """He began or stopped to talk."""

    kind = "participant.talking"
    talking: bool
    level_dbov: float


@dataclass(frozen=True, slots=True)
class Music(ParticipantEvent):
    """His phone began or ceased to play music or tones; ``silenced``: nobody hears it (mission N8)."""

    kind = "participant.music"
    playing: bool
    silenced: bool


@dataclass(frozen=True, slots=True)
class Digit(ParticipantEvent):
    """A key of his telephone was pressed."""

    kind = "participant.digit"
    digit: str
