"""One recording: frames with tick numbers become a file as long as the time they span."""

from __future__ import annotations

import errno
import os
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .recorder_file import RATES, Samples, Sink, open_sink
from .recorder_protocol import RecordingEnded, RecordingFailed, StartRecording
from .resample import Resampler

TICKS_PER_SECOND: Final = 50
LONGEST_GAP: Final = 3600 * TICKS_PER_SECOND
"""Ticks of silence written at most for frames that did not come: a longer gap is cut short."""
NEW_CLOCK: Final = 60 * TICKS_PER_SECOND
"""A tick this much earlier than the one expected is not late: somebody counts from a new beginning."""
SIZE_MARGIN: Final = 1024
"""Bytes that finishing a file may take."""

_ONLY_ROW: Final = np.zeros(1, np.intp)


class LimitReached(Exception):  # noqa: N818 not an error
    """The recording is as long, or as large, as it may be; ``str()`` says which, as RecordingEnded does."""


class Track:
    """Raises OSError from any method when the file cannot be written; the track is then to be abandoned."""

    def __init__(self, command: StartRecording) -> None:
        """Opens the file. Raises ValueError too, for a format or rate that is not known."""
        self.command = command
        self.paused = False
        self.ticks = 0
        """Written."""
        self.missing = 0
        """Of these, silence in place of frames that did not come."""
        self.first_tick = 0
        self._sink: Sink = open_sink(command.path, command.format, command.rate)
        limits = [limit for limit in (command.max_bytes, self._sink.max_bytes) if limit]
        self._max_bytes = min(limits, default=0)
        self._max_ticks = int(command.max_seconds * TICKS_PER_SECOND)
        self._next: int | None = None
        """Tick of the frame that is to come; None when any will do."""
        self._fade = 0
        """The next frame fades in (1) or out (-1)."""
        self._rate = command.rate
        self._resampler: Resampler | None = None
        self._silence: Samples = np.zeros(command.rate // TICKS_PER_SECOND, np.int16)

    @property
    def seconds(self) -> float:
        return self.ticks / TICKS_PER_SECOND

    def pause(self) -> None:
        """The frame to come is the last one, and fades out."""
        if not self.paused:
            self.paused, self._fade = True, -1

    def resume(self) -> None:
        if self.paused:
            self.paused = False
            self._fade = 0 if self._fade else 1

    def take(self, tick: int, rate: int, samples: Samples) -> None:
        """One frame. ``rate`` 0, or anything that is no frame of 20 ms, is silence. Raises LimitReached."""
        if self.paused and not self._fade:
            return
        if self._next is not None and tick > self._next - NEW_CLOCK:
            if tick < self._next:  # late: its time is written
                return
            self._fill(min(tick - self._next, LONGEST_GAP))
        elif not self.ticks:
            self.first_tick = tick
        self._next = tick + 1
        if rate not in RATES or len(samples) != rate // TICKS_PER_SECOND:
            rate, samples = self._rate, np.zeros(self._rate // TICKS_PER_SECOND, np.int16)
        self._write(self._converted(rate, samples))
        if self.paused:
            self._next = None

    def check_disk(self) -> None:
        """Raises OSError (ENOSPC) when less is free than must be."""
        if not self.command.least_free_bytes:
            return
        disk = os.statvfs(os.path.dirname(self.command.path) or ".")
        if disk.f_bavail * disk.f_frsize < self.command.least_free_bytes:
            raise OSError(errno.ENOSPC, "Less disk space is left than recordings must leave", self.command.path)

    def end(self, reason: str) -> RecordingEnded:
        """Finish the file."""
        self._sink.close()
        return RecordingEnded(
            self.command.recording,
            self.command.part,
            self.command.path,
            reason,
            self.seconds,
            self._sink.size,
            self.missing / TICKS_PER_SECOND,
            self.first_tick,
        )

    def abandon(self, reason: str, disk_full: bool) -> RecordingFailed:
        """After an error."""
        self._sink.abandon()
        command = self.command
        return RecordingFailed(
            command.recording, command.part, command.path, reason, disk_full, self.seconds, self._sink.size
        )

    def _fill(self, ticks: int) -> None:
        for _ in range(ticks):
            self.missing += 1
            self._write(self._silence)

    def _converted(self, rate: int, samples: Samples) -> Samples:
        """At the file's rate, faded if need be."""
        if rate != self._rate:
            self._rate = rate
            self._resampler = Resampler(rate, self.command.rate, 1) if rate != self.command.rate else None
        if self._resampler is None and not self._fade:
            return samples
        frame: NDArray[np.float32] = samples.astype(np.float32)
        if self._resampler is not None:
            frame = self._resampler.process(_ONLY_ROW, frame[None])[0]
        if self._fade:
            ramp = np.linspace(0, 1, len(frame), dtype=np.float32)
            frame *= ramp if self._fade > 0 else 1 - ramp
            self._fade = 0
        whole: Samples = np.clip(np.rint(frame), -32768, 32767).astype(np.int16)
        return whole

    def _write(self, frame: Samples) -> None:
        if self._max_ticks and self.ticks >= self._max_ticks:
            raise LimitReached("max_duration")
        if self._max_bytes and self._sink.size + 2 * len(frame) + SIZE_MARGIN > self._max_bytes:
            raise LimitReached("max_size")
        self._sink.write(frame)
        self.ticks += 1
