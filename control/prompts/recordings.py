"""The operator's own recordings: files in ``<data>/prompts/<language>/``, found while the server runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Final, NamedTuple

import structlog

from control.prompts.audiofile import AudioFileError, read
from control.prompts.sound import Clip, at_level, trim

LONGEST_SECONDS: Final = 120
TEXTS: Final = "texts.toml"

log = structlog.get_logger(__name__)


class Recording(NamedTuple):
    """A file as it was when the folder was looked at."""

    path: Path
    changed: int
    size: int


class Recordings:
    """Blocking: call ``scan`` and ``load`` in a thread."""

    def __init__(self, folder: Path, languages: Sequence[str], level_dbov: float) -> None:
        self._folder = folder
        self._level_dbov = level_dbov
        self._files: Mapping[str, Mapping[str, Recording]] = {language: {} for language in languages}
        self._broken: set[Recording] = set()

    def names(self, language: str) -> frozenset[str]:
        """What is recorded in a language: names of files without their endings."""
        return frozenset(self._files[language])

    def get(self, language: str, name: str) -> Recording | None:
        recording = self._files[language].get(name)
        return None if recording in self._broken else recording

    def scan(self) -> None:
        """Look what there is now."""
        self._files = {language: self._in(self._folder / language) for language in self._files}

    def _in(self, folder: Path) -> dict[str, Recording]:
        found: dict[str, Recording] = {}
        try:
            paths = sorted(folder.iterdir())
        except OSError:
            return found
        for path in paths:
            try:
                if path.name != TEXTS and not path.name.startswith(".") and path.is_file():
                    stat = path.stat()
                    found[path.stem] = Recording(path, stat.st_mtime_ns, stat.st_size)
            except OSError:
                continue
        return found

    def load(self, language: str, name: str, recording: Recording) -> Clip | None:
        """At the level of all prompts, without silence at its ends; None (and told in the log) when it is unusable."""
        try:
            pcm = at_level(trim(read(recording.path, LONGEST_SECONDS)), self._level_dbov)
            if len(pcm):
                return Clip(f"{language}/{name}", pcm)
            reason = f"{recording.path}: nothing but silence"
        except AudioFileError as error:
            reason = str(error)
        self._broken.add(recording)
        log.warning("recording not used", reason=reason)
        return None
