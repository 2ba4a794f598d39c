"""sipp on loopback, without a terminal: its built-in scenarios and ours (tests/peers/scenarios/*.xml)."""

from __future__ import annotations

import csv
import socket
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.peers.process import PATIENCE, Child, eventually, free_port

SCENARIOS = Path(__file__).parent / "scenarios"
BUILT_IN = ("uac", "uas")


@dataclass(frozen=True, slots=True)
class SippResult:
    """How a run went: ``code`` 0 means that every call followed the scenario; ``log`` is what sipp complained about."""

    code: int
    successful: int
    failed: int
    log: str


class Sipp:
    """One sipp process playing ``scenario`` (uac, uas or the name of one of ours) for ``calls`` calls.

    ``words`` replace ``@NAME@`` in a scenario of ours. With a ``target`` ("host:port") it calls ``service`` there, else
    it waits to be called at ``address``.
    """

    def __init__(
        self,
        folder: Path,
        scenario: str,
        *,
        target: str = "",
        service: str = "service",
        calls: int = 1,
        rate: int = 10,
        hold_ms: int = 0,
        transport: str = "udp",
        words: Mapping[str, str] | None = None,
        port: int = 0,
    ) -> None:
        self.folder = folder / f"sipp-{scenario}-{len(list(folder.glob('sipp-*')))}"
        self.folder.mkdir()
        self.address = f"127.0.0.1:{port or free_port()}"
        source = ["-sn", scenario] if scenario in BUILT_IN else ["-sf", self._scenario(scenario, words or {})]
        command = ["sipp", *source, "-nostdin", "-i", "127.0.0.1", "-mi", "127.0.0.1", "-p", self.address.split(":")[1]]
        command += ["-mp", str(free_port(socket.SOCK_DGRAM))]
        command += ["-m", str(calls), "-d", str(hold_ms), "-t", "t1" if transport == "tcp" else "u1"]
        command += ["-trace_stat", "-stf", "stat.csv", "-fd", "1", "-trace_err", "-error_file", "errors.log"]
        command += ["-trace_msg", "-message_file", "messages.log"]
        if target:
            command += ["-s", service, "-r", str(rate), target]
        self.child = Child(command, cwd=self.folder, env={"TERM": "xterm"})
        if not target:
            eventually(self._listens, f"sipp listens at {self.address}", every=0.02)

    def _scenario(self, name: str, words: Mapping[str, str]) -> str:
        text = (SCENARIOS / f"{name}.xml").read_text()
        for word, value in words.items():
            assert f"@{word}@" in text, f"{name}.xml has no @{word}@"
            text = text.replace(f"@{word}@", value)
        path = self.folder / f"{name}.xml"
        path.write_text(text)
        return str(path)

    def _listens(self) -> bool:
        local = f"0100007F:{int(self.address.split(':')[1]):04X}"
        return any(line.split()[1] == local for line in Path("/proc/net/udp").read_text().splitlines())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.child.stop(0.5)

    def finish(self, patience: float = PATIENCE) -> SippResult:
        """Wait until all calls are over. Raises AssertionError when they do not end."""
        try:
            code = self.child.wait_exit(patience)
        except subprocess.TimeoutExpired:
            self.child.stop(0.5)
            raise AssertionError(f"sipp did not end within {patience} s\n{self._read('messages.log')}") from None
        rows = list(csv.DictReader(self._read("stat.csv").splitlines(), delimiter=";"))
        last = rows[-1] if rows else {}
        return SippResult(
            code=code,
            successful=int(last.get("SuccessfulCall(C)") or 0),
            failed=int(last.get("FailedCall(C)") or 0),
            log=self._read("errors.log") or self.child.text()[-2000:],
        )

    def succeed(self, patience: float = PATIENCE) -> SippResult:
        """finish(), and every call went as the scenario says."""
        result = self.finish(patience)
        assert (result.code, result.failed) == (0, 0), f"{result}\n{self._read('messages.log')[-6000:]}"
        return result

    def messages(self) -> str:
        """All SIP messages so far."""
        return self._read("messages.log")

    def _read(self, name: str) -> str:
        path = self.folder / name
        return path.read_text(errors="replace") if path.exists() else ""
