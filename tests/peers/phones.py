"""The test's end of a pjsua2 phone: start it, tell it what to do, wait for what happens."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.process import PATIENCE, Child

ROOT = Path(__file__).parents[2]
Event = dict[str, Any]


class Phone:
    """A pjsua2 phone (tests.peers.phone) named ``user``, talking ``play`` (a WAV) and recording what it hears.

    ``name`` tells phones of the same user apart. A wait takes up where the last wait for that kind of event stopped: an
    event is seen once.
    """

    def __init__(
        self,
        folder: Path,
        user: str,
        *,
        name: str = "",
        codecs: Sequence[str] = ("PCMA",),
        play: Path | None = None,
        transport: str = "udp",
        registrar: str | None = None,
        password: str | None = None,
        answer: bool = False,
        register: bool = True,
    ) -> None:
        self.user = user
        self.recording = folder / f"{name or user}.wav"
        self.transport = transport
        self.child = Child(
            [sys.executable, "-m", "tests.peers.phone"], cwd=ROOT, stderr=folder / f"{name or user}.phone.log"
        )
        self._tell(
            transport=transport,
            codecs=list(codecs),
            play=str(play) if play else None,
            record=str(self.recording),
            user=user,
            password=password,
            registrar=registrar,
            answer=answer,
            register=register,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _tell(self, **fields: object) -> None:
        self.child.write(json.dumps(fields) + "\n")

    def do(self, command: str, **fields: object) -> None:
        self._tell(do=command, **fields)

    def call(self, target: str) -> None:
        """Dial ``number@host:port``."""
        self.do("call", uri=f"sip:{target}" + (";transport=tcp" if self.transport == "tcp" else ""))

    def wait(self, event: str, *, patience: float = PATIENCE, **fields: object) -> Event:
        """The next event of that name with these field values."""

        def wanted(line: str) -> bool:
            heard = json.loads(line)
            return heard["event"] == event and all(heard.get(k) == v for k, v in fields.items())

        found: Event = json.loads(self.child.output.wait(wanted, event, patience))
        return found

    def wait_confirmed(self) -> None:
        self.wait("call", state="CONFIRMED")

    def wait_ended(self, patience: float = PATIENCE) -> Event:
        return self.wait("call", state="DISCONNECTED", patience=patience)

    def stop(self) -> Path:
        """Hang up, end the process; the recording is then complete."""
        self.child.stop()
        return self.recording

    def vanish(self) -> None:
        """Die without a word: no BYE, no RTCP BYE."""
        self.child.kill()
