"""What the guide says where it depends on the caller: on coming in, on leaving, about the start, about languages."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from control.guide.messages import EndReason, Granted
from control.guide.phrase import Phrase, phrase
from control.keypad.functions import mode_words
from control.keypad.keymap import Function, Keymap
from control.modes import Mode
from control.participant import Role

PARTING: Mapping[EndReason, tuple[str, ...]] = {
    EndReason.WRONG_NUMBER: ("number-unknown", "goodbye"),
    EndReason.WRONG_PIN: ("pin-wrong", "too-many-attempts"),
    EndReason.NO_INPUT: ("no-input", "goodbye"),
    EndReason.TIME_OVER: ("time-up", "goodbye"),
    EndReason.NOT_STARTED: ("not-started", "goodbye"),
    EndReason.LOCKED: ("locked", "goodbye"),
    EndReason.FULL: ("full", "goodbye"),
    EndReason.ENDED: ("ended", "goodbye"),
    EndReason.BLOCKED: ("too-many-attempts",),
    EndReason.CHAIR_DID_NOT_COME: ("waiting-chair-over",),
    EndReason.WAITED_TOO_LONG: ("waiting-room-over",),
    EndReason.NOT_ADMITTED: ("refused",),
    EndReason.TROUBLE: ("service-unavailable", "goodbye"),
}
"""What is said last; some of the prompts say goodbye themselves."""


def language_offers(languages: Iterable[str]) -> list[Phrase]:
    """Each in its own words: key 1 for the first."""
    return [phrase("language-offer", language, key=str(place)) for place, language in enumerate(languages, 1)]


def entrance(grant: Granted, keymap: Keymap) -> list[Phrase]:
    """What who comes in is told (missions B8, N7, B25, N2)."""
    said = [phrase("welcome-chair")] if grant.role is Role.CHAIR else []
    if grant.recorded:
        said.append(phrase("recorded"))
    said.append(phrase("count", count=grant.others + 1) if grant.others else phrase("alone"))
    mute = keymap.keys.get(Function.MUTE)
    if grant.muted_by_chair:
        said.append(phrase("muted-by-chair"))
    elif grant.role is Role.GUEST and grant.mode is not Mode.CONVERSATION:
        said.append(mode_words(grant.mode, keymap))
    elif grant.muted_on_entry and mute:
        said.append(phrase("muted-on-entry", key=mute))
    return said


def starting(starts: datetime, now: float) -> Phrase:
    """When it is, in the words of its own time zone."""
    here = datetime.fromtimestamp(now, starts.tzinfo)
    left = (starts - here).total_seconds()
    if left <= 3600:
        return phrase("starts-in", left=max(60.0, left))
    if starts.date() == here.date():
        return phrase("starts-today", time=starts)
    if starts.date() == (here + timedelta(days=1)).date():
        return phrase("starts-tomorrow", time=starts)
    return phrase("starts-on", date=starts, time=starts)
