"""Synthesised sound kept in files, named by a hash of all that made it: several servers may share the folder."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Final

import structlog

from control.prompts.audiofile import read_wav, write_wav
from control.prompts.sound import Pcm

VERSION: Final = 1
"""Raise it when the same text comes to sound otherwise by a change of ours."""
UNUSED_SECONDS: Final = 90 * 86400.0
_DAY: Final = 86400.0

log = structlog.get_logger(__name__)


def cache_key(engine: str, voice: str, rate: int, level_dbov: float, text: str) -> str:
    made_of = json.dumps([VERSION, engine, voice, rate, level_dbov, text], ensure_ascii=False)
    return hashlib.blake2b(made_of.encode(), digest_size=16).hexdigest()


class Cache:
    """Blocking: call it in a thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._complained = False

    def path(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.wav"

    def read(self, key: str) -> Pcm | None:
        path = self.path(key)
        pcm = read_wav(path)
        if pcm is not None:
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _DAY:
                    os.utime(path)
        return pcm

    def write(self, key: str, pcm: Pcm) -> None:
        """Without room or right to write, speech goes on without the cache."""
        try:
            write_wav(self.path(key), pcm)
        except OSError as error:
            if not self._complained:
                log.warning("spoken prompts cannot be kept", folder=str(self._folder), reason=str(error))
            self._complained = True

    def prune(self) -> int:
        """Take away what nobody has heard for long, and return how many files that were."""
        oldest = time.time() - UNUSED_SECONDS
        taken = 0
        for path in self._folder.glob("??/*"):
            with contextlib.suppress(OSError):
                if path.suffix in {".wav", ".tmp"} and path.stat().st_mtime < oldest:
                    path.unlink()
                    taken += 1
        return taken
