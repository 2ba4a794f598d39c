"""baresip (Debian's 1.0.0) as a phone: driven over its ctrl_tcp module, talking a WAV, dumping what it hears.

What that version allows: ``net_interface`` takes an address, so that SIP and RTP stay on loopback; ``aufile`` is a
source only and wants the codec's own sampling rate and channels; ``aubridge`` swallows the playback; the ``sndfile``
filter writes what was decoded, packet after packet, so its dump has no gaps where packets were lost.
"""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.process import PATIENCE, Child, Waiter, free_port

CODECS = {
    "OPUS": ("opus/48000/2", 48_000, 2),
    "G722": ("G722/16000/1", 16_000, 1),
    "PCMA": ("PCMA/8000/1", 8_000, 1),
    "PCMU": ("PCMU/8000/1", 8_000, 1),
}
"""Name -> baresip's name, sampling rate and channels its source must have."""

CONFIG = """\
poll_method epoll
sip_listen 127.0.0.1:0
net_interface 127.0.0.1
call_max_calls 4
audio_player aubridge,ear
audio_source aufile,{play}
audio_alert aubridge,alert
rtcp_mux no
jitter_buffer_delay 2-10
module_path /usr/lib/baresip/modules
module opus.so
module g722.so
module g711.so
module sndfile.so
module aufile.so
module aubridge.so
module_tmp account.so
module_app menu.so
module_app ctrl_tcp.so
ctrl_tcp_listen 127.0.0.1:{control}
snd_path {folder}
"""


class BaresipPhone:
    """A baresip named ``user`` that speaks one codec and talks ``play`` (a WAV of that codec's rate and channels).

    Events are baresip's own: CALL_ESTABLISHED, CALL_CLOSED (param: why), CALL_INCOMING, REGISTER_OK, REGISTER_FAIL...
    """

    def __init__(
        self,
        folder: Path,
        user: str,
        *,
        codec: str,
        play: Path,
        registrar: str = "",
        password: str = "",
        transport: str = "udp",
        answer: bool = False,
    ) -> None:
        self.user = user
        self.folder = folder / f"{user}.baresip"
        self.folder.mkdir()
        control = free_port()
        config = CONFIG.format(play=play, control=control, folder=self.folder)
        (self.folder / "config").write_text(config)
        register = f"regint=60;auth_user={user};auth_pass={password}" if registrar else "regint=0"
        mode = "auto" if answer else "manual"
        account = f"<sip:{user}@{registrar or '127.0.0.1'};transport={transport}>;{register}"
        (self.folder / "accounts").write_text(f"{account};audio_codecs={CODECS[codec][0]};answermode={mode}\n")
        (self.folder / "contacts").write_text("")
        self.child = Child(["baresip", "-f", str(self.folder), "-v"])
        self.child.output.wait(lambda line: "baresip is ready" in line, "readiness")
        self._control = socket.create_connection(("127.0.0.1", control))
        self._events: Waiter[dict[str, Any]] = Waiter(f"baresip {user}")
        threading.Thread(target=self._read, daemon=True).start()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.stop()

    def _read(self) -> None:
        data = b""
        with contextlib.suppress(OSError):
            while chunk := self._control.recv(65536):
                data += chunk
                # netstrings: length, colon, JSON, comma
                while b":" in data and len(data) > (start := data.index(b":") + 1) + (size := int(data[: start - 1])):
                    self._events.add(json.loads(data[start : start + size]))
                    data = data[start + size + 1 :]
        self._events.end()

    def do(self, command: str, parameters: str = "") -> None:
        message = json.dumps({"command": command, "params": parameters, "token": command}).encode()
        self._control.sendall(b"%d:%s," % (len(message), message))

    def call(self, target: str) -> None:
        """Dial ``number@host:port``."""
        self.do("dial", f"sip:{target}")

    def wait(self, kind: str, patience: float = PATIENCE) -> dict[str, Any]:
        """The next event of that type."""
        return self._events.wait(lambda event: event.get("type") == kind, kind, patience)

    def wait_registered(self) -> None:
        """By its log: the event is often over before we listen."""
        self.child.output.wait(lambda line: "binding" in line, "registration")

    def wait_confirmed(self) -> None:
        self.wait("CALL_ESTABLISHED")

    def wait_ended(self, patience: float = PATIENCE) -> dict[str, Any]:
        return self.wait("CALL_CLOSED", patience)

    def stop(self) -> Path:
        """Hang up and quit; gives the WAV of what was heard in the last call."""
        with contextlib.suppress(OSError):
            self.do("quit")
        self.child.stop()
        self._control.close()
        return max(self.folder.glob("dump-*-dec.wav"))
