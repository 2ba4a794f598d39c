"""The server all these tests share, and the phones of one test."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.peers.audio import Recording, read_wav, write_tone
from tests.peers.baresip_phone import CODECS, BaresipPhone
from tests.peers.phones import Phone
from tests.peers.process import free_port
from tests.peers.server import Room, Server

TRUNK_PASSWORD = "correct horse 7"
INACTIVITY_SECONDS = 5
LEVEL = -20.0
"""dBov of every tone played; up to five of them add up without clipping."""


@pytest.fixture(scope="session")
def trunk_port() -> int:
    return free_port(socket.SOCK_DGRAM)


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, trunk_port: int) -> Iterator[Server]:
    settings = {
        "VECHE_MEDIA__INACTIVITY_SECONDS": str(INACTIVITY_SECONDS),
        "VECHE_SIP__TRUNK__ADDRESS": f"127.0.0.1:{trunk_port}",
        "VECHE_SIP__TRUNK__USER": "veche",
        "VECHE_SIP__TRUNK__PASSWORD": TRUNK_PASSWORD,
    }
    with Server(tmp_path_factory.mktemp("server"), **settings) as running:
        yield running


@pytest.fixture(autouse=True)
def _server_log(request: pytest.FixtureRequest) -> Iterator[None]:
    """Show what the shared server logged during a test that fails."""
    if "server" not in request.fixturenames:
        yield
        return
    running: Server = request.getfixturevalue("server")
    before = len(running.child.output.items)
    yield
    print("\n".join(running.child.output.items[before:]))


AnyPhone = Phone | BaresipPhone


class Window:
    """A stretch of time in which something is to be heard."""

    def __init__(self, seconds: float, settle: float = 0.5) -> None:
        time.sleep(settle)
        self.start = time.monotonic()
        time.sleep(seconds)
        self.end = time.monotonic()


class Cast:
    """The phones of a test; all are gone when it ends."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self._phones: list[AnyPhone] = []
        self._ends: dict[AnyPhone, float] = {}

    def pjsua(self, user: str, tone: float | None = None, **options: Any) -> Phone:
        """A pjsua2 phone that talks a tone; PCMA and unregistered unless the options say so."""
        play = tone and write_tone(self.folder / f"{user}.tone.wav", tone, dbov=LEVEL)
        phone = Phone(self.folder, user, play=play or None, **options)
        self._phones.append(phone)
        return phone

    def baresip(self, user: str, codec: str, tone: float, **options: Any) -> BaresipPhone:
        _, rate, channels = CODECS[codec]
        file = self.folder / f"{user}.tone.wav"
        write_tone(file, tone, dbov=LEVEL, seconds=60, rate=rate, channels=channels)
        phone = BaresipPhone(self.folder, user, codec=codec, play=file, **options)
        self._phones.append(phone)
        return phone

    def account(self, number: str) -> dict[str, Any]:
        """A phone account on the server, as options for pjsua() and baresip()."""
        password = self.server.api.post("/api/v1/accounts", {"number": number})["password"]
        return {"password": password, "registrar": self.server.sip}

    def end(self, room: Room, phones: Sequence[AnyPhone]) -> None:
        """End the conference that these phones are in: all their recordings stop at the same moment."""
        room.do("end")
        for phone in phones:
            phone.wait_ended()
            self._ends[phone] = time.monotonic()

    def heard(self, phone: AnyPhone, window: Window) -> Recording:
        """What the phone heard in that window; the phone is stopped by this."""
        end = self._ends[phone]
        return read_wav(phone.stop()).part(window.start - end, window.end - end)

    def close(self) -> None:
        """Hang up and end all phones, each of which takes its second."""
        with ThreadPoolExecutor() as pool:
            for phone in self._phones:
                pool.submit(phone.stop)


@pytest.fixture
def cast(tmp_path: Path, server: Server) -> Iterator[Cast]:
    made = Cast(tmp_path, server)
    yield made
    made.close()
