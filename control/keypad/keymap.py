"""Which keys do what: a profile's map of functions to key sequences, and the prefix tree made of it for a role.

One sequence may begin another (``*9`` and ``*98``): the shorter one counts after a pause. Two functions on one
sequence, and sequences that begin with one which takes an entry (``*1 number #``), are conflicts.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property

from control.participant import Role

MAX_KEYS = 6


class Function(StrEnum):
    """What a key sequence can do; the names that a profile uses."""

    MUTE = "mute"
    HAND = "hand"
    COUNT = "count"
    TIME = "time"
    QUIETER = "quieter"
    LOUDER = "louder"
    HELP = "help"
    LOCK = "lock"
    MUTE_ALL = "mute_all"
    RECORD = "record"
    EXTEND = "extend"
    END = "end"
    INVITE = "invite"
    ROLL_CALL = "roll_call"
    ADMIT = "admit"
    ADMIT_ALL = "admit_all"
    REFUSE = "refuse"
    MODE = "mode"
    FLOOR = "floor"
    TAKE_FLOOR = "take_floor"


DEFAULT: Mapping[Function, str] = {
    Function.MUTE: "*6",
    Function.HAND: "*9",
    Function.COUNT: "*#",
    Function.TIME: "*80",
    Function.QUIETER: "*2",
    Function.LOUDER: "*3",
    Function.HELP: "*0",
    Function.LOCK: "*5",
    Function.MUTE_ALL: "99",
    Function.RECORD: "*7",
    Function.EXTEND: "*98",
    Function.END: "*4",
    Function.INVITE: "*1",
    Function.ROLL_CALL: "*81",
    Function.ADMIT: "*82",
    Function.ADMIT_ALL: "*83",
    Function.REFUSE: "*84",
    Function.MODE: "*85",
    Function.FLOOR: "*86",
    Function.TAKE_FLOOR: "*87",
}
"""Mission B31, and what it leaves open."""

FOR_ALL = frozenset(
    {Function.MUTE, Function.HAND, Function.COUNT, Function.TIME, Function.QUIETER, Function.LOUDER, Function.HELP}
)
"""What everybody may; the others are the chair's."""

WITH_ENTRY = frozenset({Function.INVITE})
"""Digits follow, ended by #."""


@dataclass(slots=True)
class Node:
    """A place in the tree: what the keys so far do, and where further ones lead."""

    function: Function | None = None
    next: dict[str, Node] = field(default_factory=dict)


@dataclass(frozen=True)
class Keymap:
    """A profile's functions and their keys, checked; a function that has none is left out. All its legs share it."""

    keys: Mapping[Function, str]

    def of(self, role: Role) -> dict[Function, str]:
        """The functions this role has, in the order they are told in."""
        return {function: keys for function, keys in self.keys.items() if role is Role.CHAIR or function in FOR_ALL}

    @cached_property
    def trees(self) -> Mapping[Role, Node]:
        """The root of each role's sequences."""
        return {role: self._tree(role) for role in Role}

    def _tree(self, role: Role) -> Node:
        root = Node()
        for function, keys in self.of(role).items():
            node = root
            for key in keys:
                node = node.next.setdefault(key, Node())
            node.function = function
        return root


def make_keymap(changes: Mapping[str, str]) -> Keymap:
    """The default map with ``changes`` (function to keys; "" takes a function's keys away).

    Raises ValueError, one line that names the functions and the keys.
    """
    keys = dict(DEFAULT)
    for name, sequence in changes.items():
        if name not in {function.value for function in Function}:
            raise ValueError(f"{name} is no function of the keypad; there are {', '.join(Function)}")
        if sequence and not re.fullmatch(rf"[0-9*#]{{1,{MAX_KEYS}}}", sequence):
            raise ValueError(f'{name} = "{sequence}" must be 1 to {MAX_KEYS} of the keys 0-9, * and #')
        keys[Function(name)] = sequence
    keys = {function: sequence for function, sequence in keys.items() if sequence}
    for (one, its), (other, others) in itertools.combinations(keys.items(), 2):
        if its == others:
            raise ValueError(f"{one} and {other} both have the keys {its}")
        for entering, short, longer, long in ((one, its, other, others), (other, others, one, its)):
            if entering in WITH_ENTRY and long.startswith(short):
                raise ValueError(f"{longer} ({long}) cannot be told from {entering} ({short}) and the digits after it")
    return Keymap(keys)
