"""A Veche server of a benchmark's own: free ports, data in a folder, an operator's token."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks import usage
from benchmarks.ports import free_port, free_range
from bootstrap.place import SERVER_ENVIRONMENT

PROGRAM = [sys.executable, "-P", "-m", "control.cli"]
READY_SECONDS = 30
STOP_SECONDS = 30


EMPTY: Mapping[str, str] = {}


class ServerError(Exception):
    """The server did not do what a benchmark needs of it."""


class Server:
    """``./veche run`` until the end of the with block. ``settings`` are further VECHE_... variables."""

    def __init__(self, folder: Path, *, lanes: int = 8, settings: Mapping[str, str] = EMPTY) -> None:
        self.http = ("127.0.0.1", free_port(socket.SOCK_STREAM))
        self.sip = ("127.0.0.1", free_port())
        self._log = folder / "server.log"
        self._environment = {
            **os.environ,
            **SERVER_ENVIRONMENT,
            "VECHE_HTTP__PORT": str(self.http[1]),
            "VECHE_SIP__PORT": str(self.sip[1]),
            "VECHE_MEDIA__PORTS": free_range(lanes),
            "VECHE_DATA__DIR": str(folder / "data"),
            "VECHE_LOG__LEVEL": "warning",
            **settings,
        }
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "run"], env=self._environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self._token = ""
        try:
            self._await_ready()
            self._token = self._command("token", "create", "--name", "benchmark", "--scope", "operator")
        except BaseException:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    @property
    def pids(self) -> list[int]:
        """Control and its mixers."""
        return usage.tree(self._process.pid)

    @property
    def control(self) -> list[int]:
        return [self._process.pid]

    def request(self, method: str, path: str, body: object = None) -> Any:
        """JSON of the answer. Raises ServerError."""
        request = urllib.request.Request(
            f"http://{self.http[0]}:{self.http[1]}{path}",
            None if body is None else json.dumps(body).encode(),
            {"Content-Type": "application/json", "Authorization": f"Bearer {self._token}"},
            method=method,
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as response:
                return json.load(response)
        except urllib.error.HTTPError as error:
            raise ServerError(f"{method} {path}: {error.code} {error.read().decode(errors='replace')}") from error
        except (OSError, ValueError) as error:
            raise ServerError(f"{method} {path}: {error}") from error

    def create_conference(self, topic: str, seats: int, minutes: int = 120) -> dict[str, Any]:
        """A conference without a guest PIN, as the API describes it."""
        body = {"topic": topic, "start": "now", "duration_minutes": minutes, "seats": seats, "guest_pin": None}
        made: dict[str, Any] = self.request("POST", "/api/v1/conferences", body)
        return made

    def close(self) -> None:
        """SIGTERM, and SIGKILL when that is not heeded."""
        self._process.terminate()
        try:
            self._process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def complaints(self) -> str:
        """The end of what the server logged; at level warning that should be nothing."""
        return self._log.read_text(errors="replace")[-2000:]

    def _await_ready(self) -> None:
        deadline = time.monotonic() + READY_SECONDS
        while True:
            try:
                self.request("GET", "/healthz")
            except ServerError as error:
                if self._process.poll() is not None or time.monotonic() > deadline:
                    raise ServerError(f"the server did not come up: {error}\n{self.complaints()}") from error
                time.sleep(0.05)
            else:
                return

    def _command(self, *arguments: str) -> str:
        """The last line that a ./veche command prints."""
        done = subprocess.run(
            [*PROGRAM, *arguments], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )
        if done.returncode:
            raise ServerError(f"./veche {' '.join(arguments)}: {done.stderr}")
        return done.stdout.splitlines()[-1]




