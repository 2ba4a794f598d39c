"""What a guide asks its owner to do, and what the owner answers: frozen dataclasses."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from control.guide.phrase import Phrase
from control.modes import Mode
from control.participant import Role

# --- from the guide --------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Output:
    """Base of all that a guide wants done."""


@dataclass(frozen=True, slots=True)
class SetLanguage(Output):
    """Phrases without a language of their own are said in this one from now on."""

    language: str


@dataclass(frozen=True, slots=True)
class Say(Output):
    """Play the phrases one after the other, in place of what is being said; then call ``prompt_finished``.

    A later Say or Hush makes an earlier one's end meaningless: only the last one's is to be reported.
    """

    phrases: tuple[Phrase, ...]
    interruptible: bool = True


@dataclass(frozen=True, slots=True)
class Hush(Output):
    """Stop saying what is being said; no ``prompt_finished`` follows."""


@dataclass(frozen=True, slots=True)
class Lookup(Output):
    """Whose number (of a conference) or personal PIN (of a participant) is it? Answer Found, Granted, NotFound or
    Refused."""

    digits: str


@dataclass(frozen=True, slots=True)
class CheckPin(Output):
    """Let the caller in by this PIN, None when he gave none. Answer Granted, WrongPin or Refused."""

    conference: str
    pin: str | None


@dataclass(frozen=True, slots=True)
class RecordName(Output):
    """Play the tone and record what the caller says until StopRecording; ``max_seconds`` later the guide says so."""

    max_seconds: float


@dataclass(frozen=True, slots=True)
class StopRecording(Output):
    """``keep`` False: the caller wants to say it again."""

    keep: bool


@dataclass(frozen=True, slots=True)
class WaitForChair(Output):
    """Music until the chair has come; then answer Granted with wait NO (or ROOM). Refused ends it."""

    conference: str


@dataclass(frozen=True, slots=True)
class WaitInRoom(Output):
    """Music, and a knock to the chair, until he is admitted (Granted, wait NO) or refused (Refused)."""

    conference: str


@dataclass(frozen=True, slots=True)
class Enter(Output):
    """Final: the leg belongs to the conference now. ``participant``: whose personal PIN it was (N4), else None."""

    conference: str
    role: Role
    participant: str | None


class EndReason(StrEnum):
    """Why the guide ends a call; goes into the call detail record."""

    WRONG_NUMBER = "wrong_number"
    WRONG_PIN = "wrong_pin"
    NO_INPUT = "no_input"
    TIME_OVER = "time_over"
    NOT_STARTED = "not_started"
    LOCKED = "locked"
    FULL = "full"
    ENDED = "ended"
    BLOCKED = "blocked"
    CHAIR_DID_NOT_COME = "chair_did_not_come"
    WAITED_TOO_LONG = "waited_too_long"
    NOT_ADMITTED = "not_admitted"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class HangUp(Output):
    """Final: end the call; what was to be said has been said."""

    reason: EndReason


# --- to the guide ----------------------------------------------------------------------------------------------------


class PinNeed(StrEnum):
    """Whether guests of a conference need a PIN. The chair always has one."""

    REQUIRED = "required"
    OPTIONAL = "optional"


class Wait(StrEnum):
    """What a caller who is let in has to wait for."""

    NO = "no"
    CHAIR = "chair"
    ROOM = "room"


@dataclass(frozen=True, slots=True)
class Answer:
    """Base of all answers."""


@dataclass(frozen=True, slots=True)
class Found(Answer):
    """The number is a conference's, and a PIN is asked next."""

    conference: str
    pin: PinNeed


@dataclass(frozen=True, slots=True)
class Granted(Answer):
    """The caller is let in and has his seat, at once or after a wait."""

    conference: str
    role: Role
    participant: str | None = None
    wait: Wait = Wait.NO
    record_name: bool = False
    others: int = 0
    """So many are in already."""
    recorded: bool = False
    muted_on_entry: bool = False
    """He may unmute himself."""
    muted_by_chair: bool = False
    mode: Mode = Mode.CONVERSATION


@dataclass(frozen=True, slots=True)
class NotFound(Answer):
    """Nobody's number; ``delay`` seconds are to pass before the caller is told (control.guide.throttle)."""

    delay: float = 0.0


@dataclass(frozen=True, slots=True)
class WrongPin(Answer):
    """See NotFound for ``delay``."""

    delay: float = 0.0


class Refusal(StrEnum):
    """Why a caller whose number and PIN are right is not let in (B4), or may try no more."""

    NOT_STARTED = "not_started"
    LOCKED = "locked"
    FULL = "full"
    ENDED = "ended"
    NOT_ADMITTED = "not_admitted"
    BLOCKED = "blocked"
    TROUBLE = "trouble"


@dataclass(frozen=True, slots=True)
class Refused(Answer):
    """``starts``: with NOT_STARTED, in the time zone it is to be told in. ``left``: seconds he stays blocked."""

    refusal: Refusal
    starts: datetime | None = None
    left: float = 0.0
