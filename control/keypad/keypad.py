"""The keypad of one leg that is in a conference: keys become commands and short private replies (mission B31).

Sans-IO: every input takes ``now`` (seconds, any origin) and returns what is to be done, in order. The caller's duty:
report every key, and call ``handle_timer`` when the time ``timer()`` tells has come. How things stand is asked for with
each key, so a new role has its keys at once, in the middle of a sequence too.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from control.guide.phrase import Phrase, phrase
from control.keypad.functions import perform
from control.keypad.keymap import Function, Keymap, Node
from control.keypad.messages import Act, Output, Reply, Standing
from control.participant import Role

MAX_NUMBER = 32
"""Digits of a number to invite; further ones are dropped."""


@dataclass(frozen=True, slots=True)
class KeypadSettings:
    """``pause_seconds``: a key so much later begins a new sequence. ``entry_seconds``: so long a number being
    keyed, or a confirmation, is waited for.
    """

    pause_seconds: float = 1.5
    entry_seconds: float = 8.0
    extend_minutes: int = 30


class Keypad:
    """See the module's description."""

    def __init__(
        self, keymap: Keymap, standing: Callable[[], Standing], settings: KeypadSettings | None = None
    ) -> None:
        self._keymap = keymap
        self._standing = standing
        self._settings = settings or KeypadSettings()
        self._keys = ""
        self._number: str | None = None
        self._confirming = False
        self._due: float | None = None
        self._out: list[Output] = []

    # --- inputs ------------------------------------------------------------------------------------------------------

    def digit(self, key: str, now: float) -> list[Output]:
        """A key was pressed: 0-9, * or #; others (A-D) mean nothing."""
        self._catch_up(now)
        if len(key) == 1 and key in "0123456789*#":
            if self._number is None:
                self._sequence_key(key, now)
            else:
                self._number_key(key, now)
        return self._take(now)

    def timer(self) -> float | None:
        """When handle_timer() is to be called next, None when nothing is waited for."""
        return self._due

    def handle_timer(self, now: float) -> list[Output]:
        """Do what is due."""
        self._catch_up(now)
        return self._take(now)

    # --- within ------------------------------------------------------------------------------------------------------

    def _catch_up(self, now: float) -> None:
        if self._due is None or self._due > now:
            return
        self._due = None
        keys, self._keys = self._keys, ""
        if keys:
            self._finished(keys, now)
        elif self._number is not None or self._confirming:
            self._number, self._confirming = None, False
            self._say(phrase("key-cancelled"))

    def _node(self, keys: str, role: Role | None = None) -> Node | None:
        """Where the keys lead in the tree of the present (or that) role."""
        node: Node | None = self._keymap.trees[role or self._standing().role]
        for key in keys:
            node = node.next.get(key) if node is not None else None
        return node

    def _sequence_key(self, key: str, now: float) -> None:
        keys = self._keys + key
        node = self._node(keys)
        if node is not None and node.next:
            self._keys = keys
            self._due = now + self._settings.pause_seconds
            return
        before, self._keys, self._due = self._keys, "", None
        if node is not None:
            self._finished(keys, now)
        elif before and (key == "*" or self._function(before) is not None):
            # the keys so far were a sequence of their own, or are corrected: this key begins another one
            if self._function(before) is not None:
                self._finished(before, now)
            if self._number is None:
                self._sequence_key(key, now)
            else:
                self._number_key(key, now)
        elif before.startswith("*"):
            self._finished(keys, now)
        elif before:
            self._sequence_key(key, now)

    def _function(self, keys: str) -> Function | None:
        node = self._node(keys)
        return node.function if node is not None else None

    def _finished(self, keys: str, now: float) -> None:
        """A sequence is complete, by its last key or by a pause. What begins with no star may be a slip: no reply."""
        function = self._function(keys)
        if function is None:
            chairs = self._node(keys, Role.CHAIR)
            if chairs is not None and chairs.function is not None:
                self._say(phrase("key-not-allowed"))
            elif keys.startswith("*"):
                help_keys = self._keymap.keys.get(Function.HELP)
                self._say(phrase("key-unknown", key=help_keys) if help_keys else phrase("key-failed"))
        elif function is Function.INVITE:
            self._confirming = False
            self._number = ""
            self._due = now + self._settings.entry_seconds
            self._say(phrase("invite-enter"))
        elif function is Function.END and not self._confirming:
            self._confirming = True
            self._due = now + self._settings.entry_seconds
            self._say(phrase("end-confirm", key=keys))
        else:
            self._confirming = False
            minutes = self._settings.extend_minutes
            self._out += perform(function, self._standing(), self._keymap, extend_minutes=minutes)

    def _number_key(self, key: str, now: float) -> None:
        """``*1 number #``: the number. * clears it, on nothing leaves."""
        number = self._number or ""
        self._due = now + self._settings.entry_seconds
        if key == "#" and number and self._standing().role is Role.CHAIR:
            self._number = self._due = None
            self._out.append(
                Act(
                    "conference.invite_number",
                    values=(("number", number),),
                    reply=(phrase("invite-calling", number=number),),
                )
            )
        elif key == "*" and number:
            self._number = ""
            self._say(phrase("input-cleared"))
        elif key in "*#":
            self._number = self._due = None
            self._say(phrase("key-cancelled"))
        elif len(number) < MAX_NUMBER:
            self._number = number + key

    def _say(self, *phrases: Phrase) -> None:
        self._out.append(Reply(phrases))

    def _take(self, now: float) -> list[Output]:
        if self._confirming and self._due is None:
            # a confirmation that is waited for outlives a slip of the finger
            self._due = now + self._settings.entry_seconds
        taken, self._out = self._out, []
        return taken
