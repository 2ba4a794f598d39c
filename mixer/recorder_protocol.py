"""The messages between control and a recorder process, on a stream socket as those of protocol.py are.

Besides these, a recorder says Ready, answers Ping with Pong and ends with Shutdown, exactly as a mixer does. Importing
this module makes the messages known to protocol.Decoder.

A recorder that dies is started anew by control, with the same tap socket, and told StartRecording again for all that
was recording: with the next ``part`` and a path of its own (part_path), since what the dead one wrote stays as it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath

from .protocol import MESSAGES, Message

# --- commands: control to recorder -----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class StartRecording(Message):
    """Write what comes as ``stream`` (see tap.py) to a new file. Answered by RecordingStarted or RecordingFailed.

    ``recording``: a name for it, unique among those that run; a command for one that runs not, or Start for one that
    does, is ignored. ``rate``: of the file, 8000, 16000 or 48000. Limits of 0 are none; when one is reached the
    recording is ended as complete. ``least_free_bytes``: of the disk; with less it fails as with a full one, so that a
    recording does not take the room that a database beside it needs.
    """

    recording: str
    stream: int
    path: str
    format: str = "opus"
    """opus (Ogg) or wav."""
    rate: int = 48000
    part: int = 1
    max_seconds: float = 0.0
    max_bytes: int = 0
    least_free_bytes: int = 0


@dataclass(frozen=True, slots=True)
class PauseRecording(Message):
    """Leave out what comes from now on; paused time is no part of the file."""

    recording: str


@dataclass(frozen=True, slots=True)
class ResumeRecording(Message):
    recording: str


@dataclass(frozen=True, slots=True)
class StopRecording(Message):
    """Answered by RecordingEnded, when the file is safe on the disk, or RecordingFailed."""

    recording: str


# --- events: recorder to control -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RecordingStarted(Message):
    """The file is there."""

    recording: str
    part: int
    path: str


@dataclass(frozen=True, slots=True)
class RecordingEnded(Message):
    """The file is complete."""

    recording: str
    part: int
    path: str
    reason: str
    """stopped, max_duration, max_size or shutdown."""
    seconds: float
    bytes: int
    missing_seconds: float
    """Of these, silence in place of what never came."""
    first_tick: int
    """When the file begins (tap.py): files that were recorded together can be laid side by side. 0 when it is empty."""


@dataclass(frozen=True, slots=True)
class RecordingFailed(Message):
    """The recording cannot be written (any more). What was written before, if anything, stays and can be played."""

    recording: str
    part: int
    path: str
    reason: str
    disk_full: bool
    seconds: float
    bytes: int


MESSAGES.update(
    (c.__name__, c)
    for c in (
        StartRecording, PauseRecording, ResumeRecording, StopRecording,
        RecordingStarted, RecordingEnded, RecordingFailed,
    )
)  # fmt: skip


def part_path(path: str, part: int) -> str:
    """Where the part of a recording is written: a.opus, then a.part2.opus, ..."""
    if part == 1:
        return path
    pure = PurePath(path)
    return str(pure.with_suffix(f".part{part}{pure.suffix}"))
