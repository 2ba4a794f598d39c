"""Janus AudioBridge as a bench peer: the Debian package's program on ports and a configuration of its own.

Phones are plain RTP participants, which is what AudioBridge calls those that speak no WebRTC; they join over the Unix
socket of Janus' API (https://janus.conf.meetecho.com/docs/rest.html, .../audiobridge.html).
"""

from __future__ import annotations

import itertools
import json
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from benchmarks import usage
from benchmarks.phones import PhoneBank
from benchmarks.ports import WIDE_RANGE
from benchmarks.server import ServerError
from benchmarks.tones import Seating
from mixer.protocol import Load

PROGRAM = "janus"
PLUGIN = "janus.plugin.audiobridge"
SAMPLING_RATE = 8000
"""Of the rooms: the phones', so that nothing is resampled."""
READY_SECONDS = 15
ANSWER_SECONDS = 10
WANTED = {"libjanus_audiobridge.so", "libjanus_pfunix.so"}


def plugins() -> Path | None:
    """Where the program's plugins are; None when it is not installed."""
    found = sorted(Path("/usr/lib").glob("*/janus/plugins/libjanus_audiobridge.so"))
    return found[0].parent if found and shutil.which(PROGRAM) else None


def version() -> str:
    said = subprocess.run([PROGRAM, "--version"], capture_output=True, text=True, check=False)
    number = re.search(r"\(([\d.]+)\)", said.stdout + said.stderr)
    return f"Janus AudioBridge {number[1]}" if number else "Janus AudioBridge"


def configure(folder: Path, modules: Path, ports: str) -> None:
    """Write a configuration with AudioBridge and the Unix socket alone, everything on loopback."""

    def others(kind: str) -> str:
        return ",".join(sorted(path.name for path in (modules.parent / kind).glob("*.so") if path.name not in WANTED))

    (folder / "janus.jcfg").write_text(
        f'general: {{ configs_folder = "{folder}" plugins_folder = "{modules}" '
        f'transports_folder = "{modules.parent / "transports"}" debug_level = 2 session_timeout = 0 }}\n'
        'nat: { ice_enforce_list = "lo" }\n'
        f'plugins: {{ disable = "{others("plugins")}" }}\n'
        f'transports: {{ disable = "{others("transports")}" }}\n'
    )
    (folder / "janus.transport.pfunix.jcfg").write_text(
        f'general: {{ enabled = true json = "compact" path = "{folder / "api"}" type = "SOCK_SEQPACKET" }}\n'
    )
    (folder / "janus.plugin.audiobridge.jcfg").write_text(
        f'general: {{ local_ip = "127.0.0.1" rtp_port_range = "{ports}" }}\n'
    )


class Janus:
    """A measure.Target."""

    def __init__(self, folder: Path) -> None:
        modules = plugins()
        if modules is None:
            raise ServerError("janus is not installed")
        configure(folder, modules, WIDE_RANGE)
        self._log = folder / "janus.log"
        self._closed = False
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-F", str(folder)], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._api = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self._api.settimeout(ANSWER_SECONDS)
        self._serial = itertools.count()
        try:
            self._connect(folder / "api")
            self._session = self._ask({"janus": "create"})["data"]["id"]
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        return usage.tree(self._process.pid)

    def seat(self, seating: Seating, phones: PhoneBank) -> Sequence[tuple[str, int] | None]:
        """One participant a phone, in a handle of its own as the API wants it."""
        owner = self._attach()
        for room in range(seating.rooms):
            body = {"request": "create", "room": room + 1, "sampling_rate": SAMPLING_RATE}
            self._tell(owner, {**body, "allow_rtp_participants": True}, "created")
        places: list[tuple[str, int] | None] = []
        for leg, room in enumerate(seating.room_of().tolist()):
            host, port = phones.address(leg)
            form = phones.formats[leg]
            where = {"ip": host, "port": port, "payload_type": form.payload_type}
            body = {"request": "join", "room": room + 1, "codec": form.name.lower(), "rtp": where}
            theirs = self._tell(self._attach(), body, "joined")["rtp"]
            places.append((theirs["ip"], theirs["port"]))
        return places

    def poll(self) -> None:
        """Empty the API's socket: events of no interest would fill it."""
        self._api.setblocking(False)
        try:
            while self._api.recv(1 << 17):
                pass
        except BlockingIOError:
            pass
        finally:
            self._api.settimeout(ANSWER_SECONDS)

    def loads(self) -> list[Load]:
        """Nothing: Janus does not tell."""
        return []

    def warnings(self) -> str:
        """Not looked at."""
        return ""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._api.close()
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _connect(self, path: Path) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self._api.connect(str(path))
            except OSError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    said = self._log.read_text(errors="replace")[-1000:]
                    raise ServerError(f"janus did not come up: {error}\n{said}") from error
                time.sleep(0.05)
            else:
                return

    def _attach(self) -> int:
        return int(self._ask({"janus": "attach", "session_id": self._session, "plugin": PLUGIN})["data"]["id"])

    def _tell(self, handle: int, body: dict[str, object], expected: str) -> dict[str, Any]:
        """A message to AudioBridge; what it answers. Raises ServerError when that is not what is expected."""
        message = {"janus": "message", "session_id": self._session, "handle_id": handle, "body": body}
        data: dict[str, Any] = self._ask(message)["plugindata"]["data"]
        if data.get("audiobridge") != expected:
            raise ServerError(f"janus: {body['request']}: {data}")
        return data

    def _ask(self, message: dict[str, object]) -> dict[str, Any]:
        """A request and its answer; the acknowledgement before it and other events are passed over."""
        transaction = str(next(self._serial))
        self._api.send(json.dumps({**message, "transaction": transaction}).encode())
        while True:
            try:
                answer: dict[str, Any] = json.loads(self._api.recv(1 << 17))
            except (OSError, ValueError) as error:
                raise ServerError(f"janus: {message['janus']}: no answer: {error}") from error
            if answer.get("transaction") == transaction and answer["janus"] != "ack":
                if answer["janus"] == "error":
                    raise ServerError(f"janus: {answer['error']}")
                return answer
