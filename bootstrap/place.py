"""Where things are in the work tree, and the few helpers every set-up step shares."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
WEBUI = ROOT / "webui"
STATE = ROOT / ".setup"
SERVER_ENVIRONMENT = {"PYTHONMALLOC": "malloc", "MALLOC_ARENA_MAX": "1"}
"""The server runs with the system's allocator: it gives memory back after a peak (docs/decisions/005)."""
LOG = STATE / "setup.log"


class SetupError(Exception):
    """Set-up cannot go on; the text tells a person what to do about it."""


def say(text: str) -> None:
    """Tell the person at the terminal; standard output stays free for what the command itself prints."""
    sys.stderr.write(f"veche: {text}\n")
    sys.stderr.flush()


@contextmanager
def locked() -> Iterator[None]:
    """Hold the set-up lock of this tree. The kernel drops it when its holder dies, so it is never stale."""
    STATE.mkdir(exist_ok=True)
    with (STATE / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("another ./veche is setting this tree up; waiting for it")
            fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def execute(
    what: str, command: Sequence[str | Path], *, cwd: Path = ROOT, env: Mapping[str, str] | None = None
) -> None:
    """Run one set-up step, its output in the log. Raises SetupError with the end of the log when it fails."""
    say(f"{what} ...")
    begun = time.monotonic()
    with LOG.open("ab") as log:
        log.write(f"\n== {what}: {' '.join(map(str, command))}\n".encode())
        log.flush()
        at = log.tell()
        done = subprocess.run(  # noqa: S603 - commands are put together here, never from input
            [str(word) for word in command],
            cwd=cwd,
            env={**os.environ, **(env or {})},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            check=False,
        )
    if done.returncode:
        with LOG.open("rb") as log:
            log.seek(at)
            tail = log.read().decode(errors="replace").strip().splitlines()[-15:]
        raise SetupError("\n  ".join([f"{what}: failed (exit status {done.returncode})", *tail, f"all of it: {LOG}"]))
    say(f"{what}: done in {time.monotonic() - begun:.0f} s")


def fingerprint(files: Iterable[Path], *also: str) -> str:
    """SHA-256 over the names and bytes of ``files`` and over ``also``."""
    digest = hashlib.sha256("\0".join(also).encode())
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"\0{path.relative_to(ROOT)}\0{len(content)}\0".encode())
        digest.update(content)
    return digest.hexdigest()


def recall(step: str) -> dict[str, Any]:
    """What remember() wrote for ``step``; empty when there is nothing usable."""
    try:
        noted = json.loads((STATE / f"{step}.json").read_text())
    except (OSError, ValueError):
        return {}
    return noted if isinstance(noted, dict) else {}


def remember(step: str, **facts: Any) -> None:
    """Note that ``step`` is done, all at once or not at all."""
    target = STATE / f"{step}.json"
    draft = target.with_suffix(".new")
    draft.write_text(json.dumps(facts))
    draft.replace(target)


def forget(step: str) -> None:
    """Before a step is redone: an interruption must not leave it looking finished."""
    (STATE / f"{step}.json").unlink(missing_ok=True)
