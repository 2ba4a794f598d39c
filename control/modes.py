"""Who may be heard: a conference's mode, mutes and floor as one sans-IO policy (missions B15, B24, B25, N2).

The rules, the first that fits decides (``verdict``):

1. the chair has muted him: not heard; a chair takes that off himself;
2. he has muted himself: not heard, nobody else can unmute him;
3. listen-only: not heard;
4. he is a chair: heard;
5. lecture: not heard;
6. he has the floor: heard;
7. all are muted: not heard;
8. questions: not heard;
9. conversation: heard.

One's own mute belongs to the call: it is gone with it, and who comes back begins as ``mute_on_entry`` says, so that no
phone is ever stuck muted. The chair's mute belongs to the participant and stays; he is told when he comes in again.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from control.events import ConferenceEvent, ParticipantEvent
from control.participant import Role


class Mode(StrEnum):
    CONVERSATION = "conversation"
    QUESTIONS = "questions"
    """Guests are heard while they have the floor; who raised his hand first gets it first."""
    LECTURE = "lecture"
    """Chairs only; hands wait for the questions."""


class Why(StrEnum):
    """Why somebody is not heard."""

    CHAIR = "chair"
    SELF = "self"
    LISTEN_ONLY = "listen_only"
    ALL_MUTED = "all_muted"
    QUESTIONS = "questions"
    LECTURE = "lecture"


@dataclass(frozen=True, slots=True)
class Voice:
    """What one participant's being heard depends on, besides the conference."""

    role: Role
    self_muted: bool = False
    chair_muted: bool = False
    listen_only: bool = False
    has_floor: bool = False


def verdict(mode: Mode, all_muted: bool, voice: Voice) -> Why | None:
    """None when he may be heard, else why not; see the module's rules."""
    own = (
        (voice.chair_muted, Why.CHAIR),
        (voice.self_muted, Why.SELF),
        (voice.listen_only, Why.LISTEN_ONLY),
    )
    for silenced, why in own:
        if silenced:
            return why
    if voice.role is Role.CHAIR:
        return None
    if mode is Mode.LECTURE:
        return Why.LECTURE
    if voice.has_floor:
        return None
    if all_muted:
        return Why.ALL_MUTED
    return Why.QUESTIONS if mode is Mode.QUESTIONS else None


# --- events ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModeChanged(ConferenceEvent):
    kind = "conference.mode_changed"
    mode: str
    by: str | None


@dataclass(frozen=True, slots=True)
class AllMuted(ConferenceEvent):
    kind = "conference.all_muted"
    by: str | None


@dataclass(frozen=True, slots=True)
class AllUnmuted(ConferenceEvent):
    kind = "conference.all_unmuted"
    by: str | None


@dataclass(frozen=True, slots=True)
class HandRaised(ParticipantEvent):
    """``position``: 1 for who is next."""

    kind = "participant.hand_raised"
    position: int


@dataclass(frozen=True, slots=True)
class HandLowered(ParticipantEvent):
    kind = "participant.hand_lowered"


@dataclass(frozen=True, slots=True)
class FloorGiven(ParticipantEvent):
    kind = "participant.floor_given"
    by: str | None


@dataclass(frozen=True, slots=True)
class FloorTaken(ParticipantEvent):
    kind = "participant.floor_taken"
    by: str | None


@dataclass(frozen=True, slots=True)
class SelfMuted(ParticipantEvent):
    kind = "participant.self_muted"


@dataclass(frozen=True, slots=True)
class SelfUnmuted(ParticipantEvent):
    kind = "participant.self_unmuted"


# --- the policy ------------------------------------------------------------------------------------------------------


class NotAllowedError(Exception):
    """The mode does not have that; nothing has changed. ``str()`` is for people."""


class Floor:
    """Mode, mute-all, own mutes, hands and the floor of one conference.

    Participants are ids. After every call the caller takes ``events`` and sets the media of all whose ``verdict`` may
    have changed: of the participants named in the events, of everybody after an event of the conference.
    """

    def __init__(self, conference: str, *, mode: Mode = Mode.CONVERSATION, mute_on_entry: bool = False) -> None:
        self.mode = mode
        self.mute_on_entry = mute_on_entry
        self.all_muted = False
        self._conference = conference
        self._hands: dict[str, None] = {}
        self._holder: str | None = None
        self._self_muted: set[str] = set()
        self._events: list[ConferenceEvent] = []

    def take_events(self) -> list[ConferenceEvent]:
        taken, self._events = self._events, []
        return taken

    @property
    def holder(self) -> str | None:
        """Who has the floor."""
        return self._holder

    @property
    def hands(self) -> list[str]:
        """Whose hands are up, the first raised first."""
        return list(self._hands)

    def position(self, participant: str) -> int | None:
        """His place in the queue, 1 for the next; None when his hand is down."""
        return self.hands.index(participant) + 1 if participant in self._hands else None

    def is_self_muted(self, participant: str) -> bool:
        return participant in self._self_muted

    def verdict(
        self, participant: str, role: Role, *, chair_muted: bool = False, listen_only: bool = False
    ) -> Why | None:
        """None when he may be heard, else why not."""
        voice = Voice(
            role,
            self_muted=participant in self._self_muted,
            chair_muted=chair_muted,
            listen_only=listen_only,
            has_floor=participant == self._holder,
        )
        return verdict(self.mode, self.all_muted, voice)

    def joined(self, participant: str, role: Role, now: float) -> None:
        """He has come in, for the first time or again: nothing of an earlier call sticks."""
        self.left(participant, now)
        if self.mute_on_entry and role is Role.GUEST:
            self.mute_self(participant, True, now)

    def left(self, participant: str, now: float) -> None:
        """His call is over."""
        self.lower_hand(participant, now)
        if participant == self._holder:
            self._take_floor(None, now)
        self._self_muted.discard(participant)

    def mute_self(self, participant: str, on: bool, now: float) -> None:
        if on != (participant in self._self_muted):
            (self._self_muted.add if on else self._self_muted.discard)(participant)
            self._events.append((SelfMuted if on else SelfUnmuted)(self._conference, now, participant))

    def mute_all(self, on: bool, *, by: str | None, now: float) -> None:
        """All guests but who has the floor; off: as their mode and own mutes say."""
        if on != self.all_muted:
            self.all_muted = on
            self._events.append((AllMuted if on else AllUnmuted)(self._conference, now, by=by))

    def set_mode(self, mode: Mode, *, by: str | None, now: float) -> None:
        """The floor is free after a change; hands stay up."""
        if mode is not self.mode:
            if self._holder is not None:
                self._take_floor(by, now)
            self.mode = mode
            self._events.append(ModeChanged(self._conference, now, mode=mode, by=by))

    def raise_hand(self, participant: str, now: float) -> int:
        """His place in the queue; a hand that is up keeps its place."""
        if participant not in self._hands:
            self._hands[participant] = None
            self._events.append(HandRaised(self._conference, now, participant, position=len(self._hands)))
        return self.hands.index(participant) + 1

    def lower_hand(self, participant: str, now: float) -> None:
        if participant in self._hands:
            del self._hands[participant]
            self._events.append(HandLowered(self._conference, now, participant))

    def give(self, participant: str, *, by: str | None, now: float) -> None:
        """The floor goes to him, whoever has it; his hand goes down. Raises NotAllowedError in a lecture."""
        if self.mode is Mode.LECTURE:
            raise NotAllowedError("in a lecture only chairs are heard; change the mode to questions first")
        if participant == self._holder:
            return
        if self._holder is not None:
            self._take_floor(by, now)
        self.lower_hand(participant, now)
        self._holder = participant
        self._events.append(FloorGiven(self._conference, now, participant, by=by))

    def give_next(self, *, by: str | None, now: float) -> str | None:
        """The floor goes to whose hand was raised first; None when no hand is up. Raises NotAllowedError."""
        if not self._hands:
            return None
        participant = next(iter(self._hands))
        self.give(participant, by=by, now=now)
        return participant

    def take(self, *, by: str | None, now: float) -> bool:
        """Nobody has the floor any more; False when nobody had it."""
        had = self._holder is not None
        if had:
            self._take_floor(by, now)
        return had

    def _take_floor(self, by: str | None, now: float) -> None:
        if self._holder is not None:
            self._events.append(FloorTaken(self._conference, now, self._holder, by=by))
            self._holder = None
