"""What is recorded leaves the tick here: one datagram a tick for each recorded conference or leg.

A datagram is a header (tick number, stream number, sampling rate; little-endian) and 20 ms of int16 samples; silence
is a header alone, with rate 0. Ticks are numbered by the system's monotonic clock, so that they go on counting while a
tick is skipped or a mixer is replaced. Sending never waits: what the socket does not take is dropped and counted, and
becomes silence in the file. What does the writing is another process (see recorder.py).

Control makes the pair of sockets and keeps both ends, as it does with the lanes: all mixers share one end, and a
recorder that takes over from one that died finds in the other what was sent meanwhile.
"""

from __future__ import annotations

import contextlib
import socket
import struct
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .mix import Sums, to_int16

HEADER: Final = struct.Struct("<QII")
"""Tick, stream, rate."""
MAX_DATAGRAM: Final = HEADER.size + 2 * 960
BUFFER_BYTES: Final = 8 << 20
"""Wanted of the kernel, which counts some 4 kB for a frame of 48 kHz: a second of 40 conferences."""
_SO_SNDBUFFORCE: Final = 32
"""Linux; Python does not name it."""
_SILENCE: Final = (0, b"")

Float = NDArray[np.float32]
Int = NDArray[np.int64]


def open_tap() -> tuple[socket.socket, socket.socket]:
    """The mixers' end and the recorder's, both non-blocking. Raises OSError."""
    mixers, recorder = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    for end in (mixers, recorder):
        end.setblocking(False)
    try:
        mixers.setsockopt(socket.SOL_SOCKET, _SO_SNDBUFFORCE, BUFFER_BYTES)
    except OSError:  # only root may go beyond the system's limit
        with contextlib.suppress(OSError):
            mixers.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, BUFFER_BYTES)
    return mixers, recorder


class Tap:
    """Sends what is recorded. ``sock``: the mixers' end of open_tap(), or None where nothing is ever recorded.

    Once a tick ``take`` what was summed, per rate, and then ``send``. Counters: ``sent`` and ``dropped`` datagrams.
    """

    def __init__(self, sock: socket.socket | None = None) -> None:
        self.sent = 0
        self.dropped = 0
        self._socket = sock
        self._rooms: dict[int, int] = {}
        """Streams by conference's index."""
        self._rows: dict[int, int] = {}
        """Streams by leg's row."""
        self._frames: dict[int, tuple[int, bytes]] = {}
        """Rate and samples of this tick by stream."""

    @property
    def active(self) -> bool:
        return bool(self._rooms or self._rows)

    def record_room(self, stream: int, room: int) -> None:
        """Record all that is heard in a conference as ``stream``, prompts included."""
        self.stop(stream)
        self._rooms[room] = stream

    def record_leg(self, stream: int, row: int) -> None:
        """Record what a leg adds to its conference (nothing while it is muted) as ``stream``."""
        self.stop(stream)
        self._rows[row] = stream

    def stop(self, stream: int) -> None:
        for table in (self._rooms, self._rows):
            for place in [place for place, known in table.items() if known == stream]:
                del table[place]

    def take(self, rate: int, sums: Sums) -> None:
        """What was mixed at ``rate`` in this tick, limited already; its ``rows`` ascend."""
        if self._rooms:
            rooms = np.fromiter(self._rooms, np.int64, len(self._rooms))
            slot = sums.slot_of_room[rooms]
            there = slot >= 0
            self._keep(rate, self._rooms, rooms[there], sums.total[slot[there]])
        if self._rows and len(sums.rows):
            rows = np.fromiter(self._rows, np.int64, len(self._rows))
            place = np.minimum(np.searchsorted(sums.rows, rows), len(sums.rows) - 1)
            there = sums.rows[place] == rows
            self._keep(rate, self._rows, rows[there], sums.voice[place[there]])

    def send(self, tick: int) -> None:
        """Send this tick's frame of every stream; who was not heard is silent."""
        if self._socket is None:
            return
        for table in (self._rooms, self._rows):
            for stream in table.values():
                rate, samples = self._frames.get(stream, _SILENCE)
                try:
                    self._socket.send(HEADER.pack(tick, stream, rate) + samples, socket.MSG_DONTWAIT)
                    self.sent += 1
                except OSError:  # full, or nobody is there any more: both are the recorder's trouble, not the call's
                    self.dropped += 1
        self._frames.clear()

    def _keep(self, rate: int, table: dict[int, int], places: Int, frames: Float) -> None:
        """``frames`` is a copy of ours."""
        for place, samples in zip(places.tolist(), to_int16(frames), strict=True):
            self._frames[table[place]] = rate, samples.tobytes()

    # --- rows and conferences that come and go -----------------------------------------------------------------------

    def reset(self, row: int) -> None:
        """The leg is gone; its recording gets no more."""
        self._rows.pop(row, None)

    def move(self, src: int, dst: int) -> None:
        self._rows.pop(dst, None)
        if src in self._rows:
            self._rows[dst] = self._rows.pop(src)

    def forget_room(self, room: int) -> None:
        """The conference is gone."""
        self._rooms.pop(room, None)
