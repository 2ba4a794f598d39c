"""The voice guide's state table: what is said in each state, what it takes from the caller, and what leads where.

``control.guide.guide`` acts by it, ``control.guide.chart`` draws it. A missing entry is a programming error: nothing
but what stands here can happen.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class State(StrEnum):
    """Where a caller is."""

    GREETING = "greeting"
    LANGUAGE = "language"
    NUMBER = "number"
    FINDING = "finding"
    """Its owner looks the number up."""
    PIN = "pin"
    OPTIONAL_PIN = "optional_pin"
    """Guests need no PIN; the chair may give his."""
    CHECKING = "checking"
    """Its owner checks the PIN."""
    HOLDING = "holding"
    """The answer to a wrong number or PIN is delayed, more each time: who guesses is slowed down."""
    NAME_PROMPT = "name_prompt"
    NAME = "name"
    """The caller's name is being recorded."""
    WAITING_CHAIR = "waiting_chair"
    WAITING_ROOM = "waiting_room"
    ENTERING = "entering"
    GOODBYE = "goodbye"
    IN = "in"
    OVER = "over"


FINAL = frozenset({State.IN, State.OVER})


class Takes(Enum):
    """What becomes of keys."""

    NOTHING = auto()
    """They are dropped."""
    AHEAD = auto()
    """They are kept for the next state that takes an entry."""
    CHOICE = auto()
    """One key counts."""
    ENTRY = auto()
    """They are collected until # or a pause; * clears."""
    SKIP = auto()
    """Any key ends what is being said, if that may be interrupted."""
    HASH = auto()
    """# goes on, * begins again."""


class Trigger(StrEnum):
    """What leads from one state to another; the words of the chart."""

    HEARD = "said, or cut short"
    SEVERAL_LANGUAGES = "several languages"
    DIAL_IN = "dial-in number"
    OWN_NUMBER = "the conference's own number"
    WRONG_KEY = "wrong key"
    SILENCE = "silence"
    CLEARED = "*"
    BACK = "* on nothing"
    ENTERED = "# or a pause"
    NO_PIN = "# or a pause, no PIN"
    GIVEN_UP = "too many attempts or silences"
    TIME_OVER = "questions took too long"
    PIN_NEEDED = "PIN needed"
    PIN_OPTIONAL = "PIN for the chair only"
    MISSED = "wrong"
    TRY_NUMBER = "try another number"
    TRY_PIN = "try another PIN"
    TRY_OPTIONAL_PIN = "try another PIN, or none"
    RECORD_NAME = "name is asked"
    AGAIN = "* again"
    WAIT_CHAIR = "no chair yet"
    WAIT_ROOM = "waiting room"
    REMIND = "a minute later"
    WAITED = "waited too long"
    GRANTED = "let in"
    REFUSED = "not started, locked, full, ended, blocked"
    OVERDUE = "no answer"


@dataclass(frozen=True, slots=True)
class Row:
    """One state: prompt keys said on coming in (after why one came), keys taken, where what leads.

    Entering and goodbye have no words of their own: they depend on what one enters, and why one leaves.
    """

    says: tuple[str, ...]
    takes: Takes
    exits: Mapping[Trigger, State]
    limited: bool = True
    """Its time counts against the limit for all questions together."""


_T, _S = Trigger, State
_OUT: Mapping[Trigger, State] = {_T.REFUSED: _S.GOODBYE, _T.TIME_OVER: _S.GOODBYE}
_ON: Mapping[Trigger, State] = {
    _T.WAIT_CHAIR: _S.WAITING_CHAIR,
    _T.WAIT_ROOM: _S.WAITING_ROOM,
    _T.GRANTED: _S.ENTERING,
}
_ASKED: Mapping[Trigger, State] = {_T.RECORD_NAME: _S.NAME_PROMPT, **_ON}
_WAITS: Mapping[Trigger, State] = {_T.GRANTED: _S.ENTERING, _T.REFUSED: _S.GOODBYE, _T.WAITED: _S.GOODBYE}

TABLE: Mapping[State, Row] = {
    State.GREETING: Row(
        ("greeting",),
        Takes.AHEAD,
        {
            _T.SEVERAL_LANGUAGES: _S.LANGUAGE,
            _T.DIAL_IN: _S.NUMBER,
            _T.OWN_NUMBER: _S.FINDING,
            **_OUT,
        },
    ),
    State.LANGUAGE: Row(
        ("language-offer",),
        Takes.CHOICE,
        {
            _T.WRONG_KEY: _S.LANGUAGE,
            _T.SILENCE: _S.LANGUAGE,
            _T.CLEARED: _S.LANGUAGE,
            _T.DIAL_IN: _S.NUMBER,
            _T.OWN_NUMBER: _S.FINDING,
            **_OUT,
        },
    ),
    State.NUMBER: Row(
        ("enter-number",),
        Takes.ENTRY,
        {
            _T.ENTERED: _S.FINDING,
            _T.SILENCE: _S.NUMBER,
            _T.CLEARED: _S.NUMBER,
            _T.BACK: _S.LANGUAGE,
            _T.GIVEN_UP: _S.GOODBYE,
            **_OUT,
        },
    ),
    State.FINDING: Row(
        (),
        Takes.AHEAD,
        {
            _T.PIN_NEEDED: _S.PIN,
            _T.PIN_OPTIONAL: _S.OPTIONAL_PIN,
            **_ASKED,
            _T.MISSED: _S.HOLDING,
            _T.OVERDUE: _S.GOODBYE,
            **_OUT,
        },
    ),
    State.PIN: Row(
        ("enter-pin",),
        Takes.ENTRY,
        {
            _T.ENTERED: _S.CHECKING,
            _T.SILENCE: _S.PIN,
            _T.CLEARED: _S.PIN,
            _T.BACK: _S.NUMBER,
            _T.GIVEN_UP: _S.GOODBYE,
            **_OUT,
        },
    ),
    State.OPTIONAL_PIN: Row(
        ("enter-pin-or-skip",),
        Takes.ENTRY,
        {
            _T.ENTERED: _S.CHECKING,
            _T.NO_PIN: _S.CHECKING,
            _T.CLEARED: _S.OPTIONAL_PIN,
            _T.BACK: _S.NUMBER,
            **_OUT,
        },
    ),
    State.CHECKING: Row(
        (),
        Takes.AHEAD,
        {**_ASKED, _T.MISSED: _S.HOLDING, _T.OVERDUE: _S.GOODBYE, **_OUT},
    ),
    State.HOLDING: Row(
        (),
        Takes.NOTHING,
        {
            _T.TRY_NUMBER: _S.NUMBER,
            _T.TRY_PIN: _S.PIN,
            _T.TRY_OPTIONAL_PIN: _S.OPTIONAL_PIN,
            _T.GIVEN_UP: _S.GOODBYE,
            **_OUT,
        },
    ),
    State.NAME_PROMPT: Row(("name-record",), Takes.HASH, {_T.HEARD: _S.NAME, **_OUT}),
    State.NAME: Row((), Takes.HASH, {_T.AGAIN: _S.NAME_PROMPT, **_ON, **_OUT}),
    State.WAITING_CHAIR: Row(
        ("waiting-chair",),
        Takes.NOTHING,
        {**_WAITS, _T.WAIT_ROOM: _S.WAITING_ROOM, _T.REMIND: _S.WAITING_CHAIR},
        limited=False,
    ),
    State.WAITING_ROOM: Row(
        ("waiting-room",),
        Takes.NOTHING,
        {**_WAITS, _T.WAIT_CHAIR: _S.WAITING_CHAIR, _T.REMIND: _S.WAITING_ROOM},
        limited=False,
    ),
    State.ENTERING: Row((), Takes.SKIP, {_T.HEARD: _S.IN, _T.REFUSED: _S.GOODBYE}, limited=False),
    State.GOODBYE: Row((), Takes.NOTHING, {_T.HEARD: _S.OVER}, limited=False),
    State.IN: Row((), Takes.NOTHING, {}, limited=False),
    State.OVER: Row((), Takes.NOTHING, {}, limited=False),
}
