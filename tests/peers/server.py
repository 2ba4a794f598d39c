"""A real Veche server in a process of its own, and a small REST client for it."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from tests.peers.process import PATIENCE, Child, eventually, free_port, free_udp_range

ROOT = Path(__file__).parents[2]
PROGRAM = [sys.executable, "-m", "control.cli"]
STOP_SECONDS = 10.0

Json = Any


class ApiError(AssertionError):
    """The server refused a request."""

    def __init__(self, method: str, path: str, status: int, body: str) -> None:
        super().__init__(f"{method} {path}: {status} {body}")
        self.status = status
        self.body = body


class Server:
    """``./veche run`` on free loopback ports with its data in ``folder``; ``settings`` are more VECHE_... variables."""

    def __init__(self, folder: Path, **settings: str) -> None:
        self.folder = folder
        self.http_port = free_port()
        self.sip_port = free_port()
        self.sip = f"127.0.0.1:{self.sip_port}"
        self.environment = {
            "VECHE_HTTP__PORT": str(self.http_port),
            "VECHE_SIP__PORT": str(self.sip_port),
            "VECHE_MEDIA__PORTS": free_udp_range(8),
            "VECHE_DATA__DIR": str(folder / "data"),
            "VECHE_LOG__LEVEL": "debug",
            **settings,
        }
        self.child = Child([*PROGRAM, "run"], cwd=ROOT, env=self.environment)
        self.api = Api(f"http://127.0.0.1:{self.http_port}", "")
        try:
            self._wait_ready()
            self.api.token = self.command("token", "create", "--name", "tests", "--scope", "operator")[-1]
        except BaseException:
            self.child.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if error is not None:
            sys.stderr.write(self.log())
        self.stop()

    def _wait_ready(self) -> None:
        def healthy() -> bool:
            if self.child.process.poll() is not None:
                raise AssertionError(f"the server exited:\n{self.log()}")
            try:
                return bool(self.api.get("/healthz"))
            except OSError:
                return False

        eventually(healthy, "GET /healthz", every=0.05)

    def command(self, *arguments: str, stdin: str = "") -> list[str]:
        """The lines that ``./veche ARGUMENTS`` prints, with this server's data."""
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=ROOT,
            env=self.child.environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=30,
            check=False,
        )
        assert done.returncode == 0, f"./veche {' '.join(arguments)}: {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout.splitlines()

    def log(self) -> str:
        return self.child.text() + "\n"

    def stop(self) -> None:
        """SIGTERM; the server must then say goodbye to everybody and exit with 0."""
        if self.child.process.poll() is None:
            self.child.process.terminate()
        try:
            code = self.child.wait_exit(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self.child.kill()
            raise AssertionError(f"the server did not stop within {STOP_SECONDS} s\n{self.log()}") from None
        log = self.log()
        assert code == 0, f"the server exited with {code}\n{log}"
        raised = re.search(r"Traceback \(most recent call last\)[\s\S]{0,3000}", log)
        assert raised is None, f"the server logged an exception:\n{raised[0]}"


class Api:
    """JSON in, JSON out; ApiError for anything but 2xx."""

    def __init__(self, base: str, token: str) -> None:
        self.base = base
        self.token = token

    def request(self, method: str, path: str, body: Json = None) -> Json:
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if self.token:
            headers["Authorization"] = f"Bearer {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.base + path, data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as response:
                text = response.read()
        except urllib.error.HTTPError as error:
            raise ApiError(method, path, error.code, error.read().decode(errors="replace")) from None
        try:
            return json.loads(text) if text else None
        except ValueError:
            return text.decode()

    def get(self, path: str) -> Json:
        return self.request("GET", path)

    def post(self, path: str, body: Json = None) -> Json:
        return self.request("POST", path, body)

    def conference(self, **fields: object) -> Room:
        """A new conference that needs no guest PIN unless ``fields`` say so."""
        return Room(self, self.post("/api/v1/conferences", {"topic": "Test", "guest_pin": None, **fields}))


class Room:
    """A conference as the operator sees and runs it."""

    def __init__(self, api: Api, view: Json) -> None:
        self.api = api
        self.id: str = view["id"]
        self.number: str = view["number"]
        self.chair_pin: str = view["chair_pin"]
        self.path = f"/api/v1/conferences/{self.id}"

    def do(self, action: str, body: Json = None) -> Json:
        """extend, lock, unlock, end."""
        return self.api.post(f"{self.path}/{action}", body)

    def view(self) -> Json:
        return self.api.get(self.path)

    def participants(self) -> list[Json]:
        items: list[Json] = self.api.get(self.path + "/participants")["items"]
        return items

    def invite(self, number: str, name: str = "") -> str:
        """Add somebody and ring his phone at once; gives the participant's id."""
        body = {"number": number, "name": name, "invite": True}
        added: str = self.api.post(self.path + "/participants", body)["id"]
        return added

    def act(self, participant: str, action: str, body: Json = None) -> Json:
        """mute, unmute, kick, hangup, cancel ... of one participant."""
        return self.api.post(f"{self.path}/participants/{participant}/{action}", body)

    def find(self, number: str) -> Json:
        """The participant with that number (or SIP URI)."""
        found = [p for p in self.participants() if p["number"] == number]
        assert found, f"nobody with {number} among {self.participants()}"
        return found[-1]

    def wait_state(self, number: str, state: str, patience: float = PATIENCE) -> Json:
        """The participant, once he is in that state."""

        def there() -> Json:
            return next((p for p in self.participants() if (p["number"], p["state"]) == (number, state)), None)

        return eventually(there, f"{number} {state}", patience, seen=self.participants)

    def wait_joined(self, count: int) -> None:
        """Until so many are in."""

        def there() -> bool:
            return len([p for p in self.participants() if p["state"] == "joined"]) == count

        eventually(there, f"{count} joined", seen=self.participants)

    def legs(self) -> list[Json]:
        """Call detail records, newest first."""
        items: list[Json] = self.api.get(self.path + "/legs")["items"]
        return items

    def events(self, kind: str) -> list[Json]:
        """The data of the conference's events of that kind, oldest first."""
        page = self.api.get(f"/api/v1/events?conference={self.id}&since=0&limit=500")
        return [event["data"] for event in page["items"] if event["kind"] == kind]

    def wait_leg(self, patience: float = PATIENCE, **fields: object) -> Json:
        """The newest call detail record with these values, once its call has ended."""

        def there() -> Json:
            return next(
                (g for g in self.legs() if g["ended"] and all(g[name] == value for name, value in fields.items())), None
            )

        return eventually(there, f"an ended leg with {fields}", patience, seen=self.legs)
