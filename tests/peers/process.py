"""Child processes that a test watches and waits for while they run."""

from __future__ import annotations

import contextlib
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Generic, TypeVar

PATIENCE = 15.0
"""Seconds a test waits for something that should happen at once; only a failing run ever waits so long."""

T = TypeVar("T")


def free_port(kind: socket.SocketKind = socket.SOCK_STREAM) -> int:
    """A port that is free on loopback now."""
    with socket.socket(socket.AF_INET, kind) as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def free_udp_range(count: int) -> str:
    """``first-last``: so many neighbouring UDP ports that are free on loopback now."""
    while True:
        first = free_port(socket.SOCK_DGRAM)
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError, OverflowError):
            for port in range(first, first + count):
                stack.enter_context(socket.socket(socket.AF_INET, socket.SOCK_DGRAM)).bind(("127.0.0.1", port))
            return f"{first}-{first + count - 1}"


def eventually(
    probe: Callable[[], T],
    what: str,
    patience: float = PATIENCE,
    *,
    every: float = 0.1,
    seen: Callable[[], object] | None = None,
) -> T:
    """What ``probe`` gives once that is true; AssertionError, with what ``seen`` tells, when it never is."""
    deadline = time.monotonic() + patience
    while True:
        found = probe()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {patience} s: {what}" + (f"; there is {seen()}" if seen else ""))
        time.sleep(every)


class Waiter(Generic[T]):
    """A growing list that other threads add to and a test waits on.

    A wait takes up where the last wait with the same label stopped: nothing is seen twice.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.items: list[T] = []
        self._ended = False
        self._seen: dict[str, int] = {}
        self._changed = threading.Condition()

    def add(self, item: T) -> None:
        with self._changed:
            self.items.append(item)
            self._changed.notify_all()

    def end(self) -> None:
        """Nothing more will come."""
        with self._changed:
            self._ended = True
            self._changed.notify_all()

    def wait(self, wanted: Callable[[T], bool], label: str, patience: float = PATIENCE) -> T:
        """The next item that is ``wanted``; AssertionError with what came instead."""
        deadline = time.monotonic() + patience
        at = self._seen.get(label, 0)
        with self._changed:
            while True:
                while at < len(self.items):
                    at += 1
                    if wanted(self.items[at - 1]):
                        self._seen[label] = at
                        return self.items[at - 1]
                left = deadline - time.monotonic()
                if left <= 0 or self._ended:
                    break
                self._changed.wait(left)
        came = "\n".join(str(item) for item in self.items[-60:])
        raise AssertionError(
            f"{self.name}: no {label} within {patience} s{' before its end' * self._ended}; came:\n{came}"
        )


class Child:
    """A process with its output in ``output``, line by line; stderr goes there too, or to a file when one is given."""

    def __init__(
        self,
        command: Sequence[str],
        *,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
        stderr: Path | None = None,
    ) -> None:
        self.output: Waiter[str] = Waiter(" ".join(command))
        log: IO[bytes] | int = stderr.open("wb") if stderr else subprocess.STDOUT
        self.environment = {**os.environ, **(env or {})}
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=self.environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            bufsize=0,
        )
        if not isinstance(log, int):
            log.close()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as out:
            for raw in out:
                self.output.add(raw.decode("utf-8", "replace").rstrip("\r\n"))
        self.output.end()

    def write(self, text: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(text.encode())

    def text(self) -> str:
        return "\n".join(self.output.items)

    def wait_exit(self, patience: float) -> int:
        """Its exit code, all of its output read. Raises subprocess.TimeoutExpired."""
        code = self.process.wait(patience)
        self._reader.join(1)
        return code

    def stop(self, patience: float = 5.0) -> int:
        """Close its stdin, then SIGTERM, then SIGKILL, whichever it heeds first. Gives the exit code."""
        with contextlib.suppress(OSError):
            if self.process.stdin is not None:
                self.process.stdin.close()
        for signal in (None, self.process.terminate, self.process.kill):
            if signal is not None:
                signal()
            with contextlib.suppress(subprocess.TimeoutExpired):
                return self.wait_exit(patience)
        raise AssertionError(f"{self.output.name} cannot be ended")

    def kill(self) -> None:
        """End it as a power cut would."""
        self.process.kill()
        self.process.wait()
