"""Asterisk ConfBridge as a bench peer: an installed asterisk with a configuration, folders and ports of its own.

Calls come in by chan_pjsip as from anybody on loopback; the number dialled is the conference. The files' options are
those of Asterisk 18 to 22 (https://docs.asterisk.org, ConfBridge and res_pjsip).
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks import usage
from benchmarks.called import call_in
from benchmarks.phones import PhoneBank
from benchmarks.ports import WIDE_RANGE, free_port
from benchmarks.server import ServerError
from benchmarks.sipp import Calls
from benchmarks.tones import Seating
from mixer.protocol import Load

PROGRAM = "asterisk"
READY_SECONDS = 30


def installed() -> bool:
    return shutil.which(PROGRAM) is not None


def version() -> str:
    said = subprocess.run([PROGRAM, "-V"], capture_output=True, text=True, check=False).stdout.strip()
    return f"{said} ConfBridge"


def configure(folder: Path, sip_port: int, ports: str) -> None:
    """Write asterisk.conf and what it needs for calls into conferences, everything on loopback."""
    first, last = ports.split("-")
    modules = sorted(Path("/usr/lib").glob("**/asterisk/modules"))
    folders = {"astvarlibdir": "lib", "astdbdir": "lib", "astspooldir": "spool", "astrundir": "run", "astlogdir": "log"}
    for name in set(folders.values()):
        (folder / name).mkdir()
    installed_data = Path("/usr/share/asterisk")
    files = {
        "asterisk.conf": [
            "[directories]",
            f"astetcdir => {folder}",
            *(f"{key} => {folder / name}" for key, name in folders.items()),
            *(f"astmoddir => {module}" for module in modules[:1]),
            f"astdatadir => {installed_data if installed_data.is_dir() else '/var/lib/asterisk'}",
        ],
        "modules.conf": ["[modules]", "autoload=yes", "noload => chan_sip.so"],
        "logger.conf": ["[logfiles]", "messages => error,warning"],
        "rtp.conf": ["[general]", f"rtpstart={first}", f"rtpend={last}", "strictrtp=no"],
        "confbridge.conf": [
            "[general]",
            "[default_user]", "type=user", "quiet=yes", "announce_only_user=no", "music_on_hold_when_empty=no",
            "[default_bridge]", "type=bridge", "internal_sample_rate=8000", "mixing_interval=20",
        ],
        "pjsip.conf": [
            "[global]", "type=global", "endpoint_identifier_order=anonymous",
            "[udp]", "type=transport", "protocol=udp", f"bind=127.0.0.1:{sip_port}",
            "[anonymous]", "type=endpoint", "context=bench", "disallow=all", "allow=ulaw", "direct_media=no",
        ],
        "extensions.conf": ["[bench]", "exten => _X.,1,Answer()", " same => n,ConfBridge(${EXTEN})"],
    }  # fmt: skip
    for name, lines in files.items():
        (folder / name).write_text("\n".join([*lines, ""]))


class Asterisk:
    """A measure.Target."""

    def __init__(self, folder: Path) -> None:
        if not installed():
            raise ServerError("asterisk is not installed")
        self._folder = folder
        self._sip = ("127.0.0.1", free_port())
        settings = folder / "etc"
        settings.mkdir()
        configure(settings, self._sip[1], WIDE_RANGE)
        self._log = folder / "asterisk.log"
        self._calls: Calls | None = None
        self._config = str(settings / "asterisk.conf")
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [PROGRAM, "-f", "-C", self._config], stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._closed = False
        try:
            self._await_ready()
        except BaseException:
            self.close()
            raise

    @property
    def pids(self) -> list[int]:
        return usage.tree(self._process.pid)

    def seat(self, seating: Seating, phones: PhoneBank) -> Sequence[tuple[str, int] | None]:
        rooms = [str(1000 + room) for room in range(seating.rooms)]
        self._calls, places = call_in(self._folder, self._sip, rooms, seating, phones)
        return places

    def poll(self) -> None:
        """Nothing to do."""

    def loads(self) -> list[Load]:
        """Nothing: Asterisk does not tell."""
        return []

    def warnings(self) -> str:
        """Not looked at."""
        return ""

    def close(self) -> None:
        if self._closed:
            return
        self._closed = True
        self._process.terminate()
        try:
            self._process.wait(10)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        if self._calls:
            self._calls.stop()

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while subprocess.run(
            [PROGRAM, "-C", self._config, "-rx", "core waitfullybooted"], capture_output=True, check=False
        ).returncode:
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise ServerError(f"asterisk did not come up\n{self._log.read_text(errors='replace')[-1000:]}")
            time.sleep(0.2)
