"""A keypad in virtual time, and how its leg stands."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from control.keypad.keymap import make_keymap
from control.keypad.keypad import Keypad
from control.keypad.messages import Act, Output, Reply, Standing
from control.participant import Role
from tests.guide.spoken import say


class Phone:
    """``stand`` changes how things stand; ``keys`` presses and gives what came of it."""

    def __init__(self, role: Role = Role.GUEST, changes: dict[str, str] | None = None, **standing: Any) -> None:
        self.standing = Standing(role, **standing)
        self.pad = Keypad(make_keymap(changes or {}), lambda: self.standing)
        self.now = 0.0

    def stand(self, **changes: Any) -> None:
        self.standing = replace(self.standing, **changes)

    def keys(self, text: str, *, apart: float = 0.3) -> list[Output]:
        out: list[Output] = []
        for key in text:
            self.now += apart
            out += self.pad.digit(key, self.now)
        return _sayable(out)

    def wait(self) -> list[Output]:
        due = self.pad.timer()
        assert due is not None
        self.now = due
        return _sayable(self.pad.handle_timer(due))


def _sayable(outputs: list[Output]) -> list[Output]:
    for output in outputs:
        if isinstance(output, Reply):
            say(output.phrases)
        elif isinstance(output, Act):
            say((*output.reply, *output.refused))
    return outputs


def said(outputs: list[Output]) -> list[str]:
    """Prompt keys of the replies, commands' replies among them."""
    return [
        p.key for o in outputs for p in (o.phrases if isinstance(o, Reply) else o.reply if isinstance(o, Act) else ())
    ]


def commands(outputs: list[Output]) -> list[str]:
    return [o.command for o in outputs if isinstance(o, Act)]
