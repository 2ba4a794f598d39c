"""The legs of a mixer process: which row is whose, what each says, hears and sends. Rows are dense: 0..count-1."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from .address import canonical_host, to_sockaddr
from .g711 import PCMA, PCMU
from .levels import amplitude
from .protocol import AddLeg, LegMedia, SetLeg
from .table import Columns, RowPart

G722 = 2
OPUS = 3
CODECS = {"PCMU": PCMU, "PCMA": PCMA, "G722": G722, "OPUS": OPUS}
RATES = np.array([8000, 8000, 16000, 48000], np.int64)
"""Sampling rate by codec."""
CLOCK_STEP = np.array([1, 1, 1, 6], np.int64)
"""RTP timestamp units per 1/8000 s by codec (G.722 counts at 8 kHz by RFC 3551 section 4.5.2)."""
TICK_SECONDS = 0.02
SAMPLES_8K = 160

PT_REJECT, PT_AUDIO, PT_OTHER_LAW, PT_EVENT, PT_NOISE = range(5)
"""What an RTP payload type means to a row."""
_COMFORT_NOISE = 13


def check_media(media: LegMedia) -> None:
    """Raises ValueError, naming the field, for media that no leg can have."""
    if media.codec not in CODECS:
        raise ValueError(f"codec: {media.codec!r} is none of {', '.join(CODECS)}")
    types = [media.send_pt, *media.receive_pts, *([] if media.event_pt is None else [media.event_pt])]
    if not all(0 <= payload_type < 128 for payload_type in types):
        raise ValueError(f"send_pt, receive_pts, event_pt: {types} are not within 0 to 127")
    for destination in (media.remote, media.remote_rtcp):
        if destination is not None:
            to_sockaddr(destination)
    for host in media.latch_hosts:
        canonical_host(host)


class Legs(Columns):
    """Row bookkeeping and the columns that say how a leg is treated."""

    def __init__(self, capacity: int) -> None:
        super().__init__(capacity)
        self.count = 0
        self.names: list[str] = []
        self.row_of: dict[str, int] = {}
        self.media: list[LegMedia] = []
        self.room: NDArray[np.int64] = self.column(np.int64)
        self.lane: NDArray[np.int64] = self.column(np.int64)
        self.codec: NDArray[np.int64] = self.column(np.int64)
        self.kinds: NDArray[np.uint8] = self.column(np.uint8, 128)
        """By payload type, one of PT_*."""
        self.mute: NDArray[np.bool_] = self.column(bool)
        self.deaf: NDArray[np.bool_] = self.column(bool)
        self.hears: NDArray[np.bool_] = self.column(bool)
        """The leg may be heard: it sends to us by its session description."""
        self.sends: NDArray[np.bool_] = self.column(bool)
        """We send to it."""
        self.levelled: NDArray[np.bool_] = self.column(bool, fill=True)
        self.talk_gain: NDArray[np.float32] = self.column(np.float32, fill=1)
        self.listen_gain: NDArray[np.float32] = self.column(np.float32, fill=1)
        self.seq: NDArray[np.uint16] = self.column(np.uint16)
        self.timestamp: NDArray[np.uint32] = self.column(np.uint32)
        self.ssrc: NDArray[np.uint32] = self.column(np.uint32)
        self.sent: NDArray[np.int64] = self.column(np.int64)
        self.rejected: NDArray[np.int64] = self.column(np.int64)
        self.last_seen: NDArray[np.int64] = self.column(np.int64)
        """Tick of the newest valid packet, or of joining."""
        self.key_held: NDArray[np.bool_] = self.column(bool)
        """A keypad tone is being sent: the row is kept out of the mix."""

    def add(self, command: AddLeg, room: int, tick: int) -> int:
        """A row for a new leg, whose media check_media() has passed; not to be called when all rows are taken."""
        row = self.count
        self.count += 1
        self.names.append(command.leg)
        self.media.append(command.media)
        self.row_of[command.leg] = row
        self.room[row] = room
        self.lane[row] = command.lane
        self.ssrc[row] = command.ssrc
        self.last_seen[row] = tick
        self.set_media(row, command.media)
        self.seq[row], self.timestamp[row] = _clock_start(command.ssrc, int(CLOCK_STEP[self.codec[row]]))
        gains = command.talk_gain_db, command.listen_gain_db
        self.adjust(row, SetLeg(command.leg, command.mute, command.deaf, *gains, command.levelling))
        return row

    def set_media(self, row: int, media: LegMedia) -> None:
        """Take over what offer/answer settled; check_media() has passed it."""
        codec = CODECS[media.codec]
        self.media[row] = media
        self.codec[row] = codec
        kinds = self.kinds[row]
        kinds[:] = PT_REJECT
        kinds[_COMFORT_NOISE] = PT_NOISE
        if codec in (PCMU, PCMA):
            kinds[[0, 8]] = PT_OTHER_LAW
        kinds[list(media.receive_pts)] = PT_AUDIO
        if media.event_pt is not None:
            kinds[media.event_pt] = PT_EVENT
        self.hears[row] = media.receive
        self.sends[row] = media.send

    def adjust(self, row: int, command: SetLeg) -> None:
        """Apply the properties that are given."""
        if command.mute is not None:
            self.mute[row] = command.mute
        if command.deaf is not None:
            self.deaf[row] = command.deaf
        if command.levelling is not None:
            self.levelled[row] = command.levelling
        if command.talk_gain_db is not None:
            self.talk_gain[row] = amplitude(command.talk_gain_db)
        if command.listen_gain_db is not None:
            self.listen_gain[row] = amplitude(command.listen_gain_db)

    def remove(self, name: str, parts: list[RowPart]) -> bool:
        """Drop a leg; the last row moves into its place in this and all ``parts``. False when it is unknown."""
        row = self.row_of.pop(name, None)
        if row is None:
            return False
        last = self.count - 1
        if row != last:
            self.names[row] = self.names[last]
            self.media[row] = self.media[last]
            self.row_of[self.names[row]] = row
        for part in (self, *parts):
            if row != last:
                part.move(last, row)
            part.reset(last)
        self.names.pop()
        self.media.pop()
        self.count = last
        return True

    def rows_with(self, codec: int) -> NDArray[np.int64]:
        return np.flatnonzero(self.codec[: self.count] == codec)

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)


def _clock_start(ssrc: int, step: int) -> tuple[int, int]:
    """First sequence number and timestamp: told by the clock, so that a mixer taking over goes on where one died."""
    ticks = int(time.monotonic() / TICK_SECONDS)
    offset = zlib.crc32(ssrc.to_bytes(4, "big"))
    return (ticks + offset) & 0xFFFF, (ticks * SAMPLES_8K * step + offset) & 0xFFFF_FFFF
