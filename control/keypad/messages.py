"""What a keypad wants done, what it needs to know of its leg, and the commands that only it gives so far."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

from control.guide.phrase import Phrase
from control.modes import Mode, Why
from control.participant import Role


@dataclass(frozen=True, slots=True)
class Output:
    """Base of all that a keypad wants done."""


@dataclass(frozen=True, slots=True)
class Reply(Output):
    """Say this to the leg alone, in place of an earlier reply; a key pressed meanwhile ends it."""

    phrases: tuple[Phrase, ...]


class About(StrEnum):
    """Which ids a command gets."""

    CONFERENCE = "conference"
    SELF = "self"
    """The conference, and the participant whose keypad it is."""


@dataclass(frozen=True, slots=True)
class Act(Output):
    """Give a command of control.commands' table, in the participant's name; then say ``reply``, or ``refused`` when it
    raised control.errors.CommandError. ``values`` is its input."""

    command: str
    about: About = About.CONFERENCE
    values: tuple[tuple[str, str | int | float | bool], ...] = ()
    reply: tuple[Phrase, ...] = ()
    refused: tuple[Phrase, ...] = (Phrase("key-failed"),)


@dataclass(frozen=True, slots=True)
class Standing:
    """How leg and conference stand now. Counts of people include him whose keypad it is."""

    role: Role = Role.GUEST
    self_muted: bool = False
    why_unheard: Why | None = None
    """What but his own mute keeps him from being heard (control.modes.verdict)."""
    hand_up: bool = False
    has_floor: bool = False
    listen_gain_db: float = 0.0
    participants: int = 1
    seconds_left: float = 0.0
    mode: Mode = Mode.CONVERSATION
    hands: int = 0
    floor_held: bool = False
    locked: bool = False
    all_muted: bool = False
    recording: bool = False
    waiting: int = 0
    """Who knock at the waiting room's door."""


INTERNAL: Mapping[str, str] = {
    "participant.self_mute": "he mutes himself",
    "participant.self_unmute": "he takes his own mute off",
    "participant.raise_hand": "he wants to speak",
    "participant.lower_hand": "he does not any more",
    "participant.yield_floor": "he gives the floor back",
    "conference.mute_all": "all guests but who has the floor",
    "conference.unmute_all": "takes that off",
    "conference.record_start": "start (or go on with) the recording",
    "conference.record_stop": "stop it",
    "conference.invite_number": "number: ring the participant with this number, added when he is not in the list",
    "conference.roll_call": "say who is in, to who asked",
    "conference.admit_next": "let in who waits longest",
    "conference.admit_all": "let in all who wait",
    "conference.refuse_next": "turn away who waits longest",
    "conference.set_mode": "mode: conversation, questions or lecture",
    "conference.give_floor": "to whose hand was raised first",
    "conference.take_floor": "nobody has it any more",
}
"""Commands that the table is still to get, with what they do; those with a colon take that value."""
