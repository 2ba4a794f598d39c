"""Thousands of telephones in one process: each has an address of its own (127.1.x.y) behind a few batched sockets.

Every phone sends a packet of 20 ms a tick and counts what it hears. A packet costs about 5 us here, so that the
generator stays far below the server it measures. The source address of a packet is set, the destination address read,
through ``IP_PKTINFO`` (ip(7)). When a packet came is told by the kernel (socket(7), ``SO_TIMESTAMPNS``), so that a
generator that was held up does not find gaps where there are none.
"""

from __future__ import annotations

import contextlib
import ctypes
import socket
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from benchmarks.streams import Stream
from mixer.datagrams import IOVEC, MMSGHDR

TICK = 0.02
HEADER = 12
SLOT = 512
SOCKETS = 8
FIRST_ADDRESS = 0x7F010001
SECONDS_KEPT = 2
FRAMES_KEPT = SECONDS_KEPT * 50

_RECEIVE = 1024
_MSG_DONTWAIT = 0x40
_IP_PKTINFO = 8
_SO_TIMESTAMPNS = 35
_SO_BINDTODEVICE = 25
_SO_RCVBUFFORCE = 33
SOCKADDR = np.dtype([("family", "u2"), ("port", ">u2"), ("host", ">u4"), ("zero", "u8")])
PKTINFO = np.dtype(
    [
        ("len", "u8"), ("level", "i4"), ("type", "i4"),
        ("interface", "i4"), ("source", ">u4"), ("destination", ">u4"), ("pad", "u4"),
    ]
)  # fmt: skip
ARRIVAL = np.dtype(
    [
        ("stamp_len", "u8"), ("stamp_level", "i4"), ("stamp_type", "i4"), ("seconds", "i8"), ("nanoseconds", "i8"),
        *((name, PKTINFO[name]) for name in PKTINFO.names or ()),
    ]
)  # fmt: skip
"""What the kernel says of a packet: when it came, and to which address."""
RTP = np.dtype(
    {
        "names": ["first", "second", "seq", "timestamp", "ssrc"],
        "formats": ["u1", "u1", ">u2", ">u4", ">u4"],
        "offsets": [0, 1, 2, 4, 8],
        "itemsize": SLOT,
    }
)

_libc = ctypes.CDLL(None, use_errno=True)


class Batch:
    """Kernel structures for ``count`` datagrams with IPv4 addresses and ancillary data, laid out once."""

    def __init__(self, count: int, ancillary: np.dtype[np.void] = PKTINFO) -> None:
        index = np.arange(count)
        self.data = np.zeros((count, SLOT), np.uint8)
        self.address = np.zeros(count, SOCKADDR)
        self.info = np.zeros(count, ancillary)
        self.vector = np.zeros(count, IOVEC)
        self.message = np.zeros(count, MMSGHDR)
        self.vector["base"] = self.data.ctypes.data + index * SLOT
        self.vector["len"] = SLOT
        self.message["iov"] = self.vector.ctypes.data + index * IOVEC.itemsize
        self.message["iovlen"] = 1
        self.message["name"] = self.address.ctypes.data + index * SOCKADDR.itemsize
        self.message["namelen"] = SOCKADDR.itemsize
        self.message["control"] = self.info.ctypes.data + index * ancillary.itemsize
        self.message["controllen"] = ancillary.itemsize
        self.rtp = self.data.view(RTP)[:, 0]


def send(fd: int, messages: NDArray[np.void]) -> int:
    """Send a contiguous MMSGHDR array; the number of packets the kernel refused."""
    refused = at = 0
    while at < len(messages):
        done = _libc.sendmmsg(fd, ctypes.c_void_p(messages.ctypes.data + at * MMSGHDR.itemsize), len(messages) - at, 0)
        refused += done <= 0
        at += max(done, 1)
    return refused


def receive(fd: int, batch: Batch) -> int:
    """Receive what waits, at most a batch; the number of packets."""
    count = _libc.recvmmsg(fd, ctypes.c_void_p(batch.message.ctypes.data), len(batch.message), _MSG_DONTWAIT, None)
    return max(0, int(count))


def open_socket() -> socket.socket:
    """A UDP socket that stands for many addresses of the loopback network, and for no other."""
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    sock.setsockopt(socket.SOL_SOCKET, _SO_BINDTODEVICE, b"lo\0")
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 << 20)
    with contextlib.suppress(PermissionError):  # then the kernel's limit stands
        sock.setsockopt(socket.SOL_SOCKET, _SO_RCVBUFFORCE, 16 << 20)
    sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
    sock.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
    sock.setblocking(False)
    sock.bind(("0.0.0.0", 0))  # narrowed to loopback above
    return sock


@dataclass
class Heard:
    """What the phones received in one measurement of ``frames`` ticks."""

    frames: int
    got: NDArray[np.bool_]
    """[phones, frames]: the frame came."""
    audio: NDArray[np.uint8]
    """[phones, 100, widest payload]: the last two seconds, in a ring by frame number."""
    sizes: NDArray[np.int16]
    """[phones, 100]: bytes of each payload there, 0 for none."""
    worst_gap: NDArray[np.float64]
    """[phones] seconds between packets, by the kernel's clock."""
    packets: int = 0
    """20 ms of the phone's own codec each, counted as often as they came."""
    foreign: int = 0
    """Packets that are not that, e.g. RTCP."""
    late: float = 0.0
    """Seconds this generator itself was behind at worst."""
    refused: int = 0
    origin: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    first_sent: list[float] = field(default_factory=list)
    """Unix times at which phone 0 sent the first packet of its stream."""
    watched: list[tuple[float, bytes]] = field(default_factory=list)
    """Unix time and payload of each packet of the phone that is watched."""

    @property
    def duplicates(self) -> int:
        return self.packets - int(self.got.sum())

    @property
    def share(self) -> NDArray[np.float64]:
        """[phones]: part of its frames that each phone got."""
        return np.asarray(self.got.mean(axis=1), np.float64)

    def payloads(self, phone: int) -> list[bytes]:
        """The last two seconds in order; b"" for what did not come."""
        first = max(self.frames - FRAMES_KEPT, 0)
        slots = [frame % FRAMES_KEPT for frame in range(first, self.frames)]
        return [self.audio[phone, slot, : self.sizes[phone, slot]].tobytes() for slot in slots]


class PhoneBank:
    """``count`` phones. ``plays``: int[count], which of ``streams`` each sends; ``watch``: the phone whose packets are
    kept one by one."""

    def __init__(
        self,
        count: int,
        streams: Sequence[Stream],
        plays: NDArray[np.int64],
        *,
        watch: int | None = None,
        seed: int = 1,
    ) -> None:
        random = np.random.default_rng(seed)
        self.count = count
        self.formats = [streams[play].format for play in plays]
        self._step = np.array([form.step for form in self.formats])
        self._payload_type = np.array([form.payload_type for form in self.formats])
        self._widest = max(form.widest for form in self.formats)
        self._watch = -1 if watch is None else watch
        self._plays = plays
        self._length = np.array([len(stream.payloads) for stream in streams])
        self._sound, self._size = _laid_out(streams)
        self._sockets = [open_socket() for _ in range(min(SOCKETS, count))]
        self._group = np.arange(count) * len(self._sockets) // count
        self._out = Batch(count)
        self._out.rtp["first"] = 0x80
        self._out.rtp["second"] = self._payload_type
        self._out.rtp["ssrc"] = random.integers(1, 1 << 32, count)
        self._out.rtp["seq"] = self._seq = random.integers(0, 1 << 15, count)
        self._out.rtp["timestamp"] = self._timestamp = random.integers(0, 1 << 31, count)
        self._out.address["family"] = socket.AF_INET
        info = self._out.info
        info["len"], info["level"], info["type"] = PKTINFO.itemsize - 4, socket.IPPROTO_IP, _IP_PKTINFO
        info["source"] = FIRST_ADDRESS + np.arange(count)
        self._in = Batch(_RECEIVE, ARRIVAL)
        self._active: list[NDArray[np.int64]] = []
        self._messages: list[NDArray[np.void]] = []
        self._tick = 0
        self._heard: Heard | None = None
        self._last = np.zeros(count)
        self.refused = 0
        self.send_to([None] * count)

    def address(self, phone: int) -> tuple[str, int]:
        """Where ``phone`` receives."""
        host = socket.inet_ntoa((FIRST_ADDRESS + phone).to_bytes(4, "big"))
        return host, int(self._sockets[self._group[phone]].getsockname()[1])

    def send_to(self, destinations: Sequence[tuple[str, int] | None]) -> None:
        """From now on each phone sends to its destination; one without any is silent."""
        for phone, destination in enumerate(destinations):
            if destination is not None:
                self._out.address["host"][phone] = int.from_bytes(socket.inet_aton(destination[0]), "big")
                self._out.address["port"][phone] = destination[1]
        speaks = np.array([destination is not None for destination in destinations])
        groups = range(len(self._sockets))
        self._active = [np.flatnonzero(speaks & (self._group == group)) for group in groups]
        self._messages = [np.ascontiguousarray(self._out.message[rows]) for rows in self._active]

    def run(self, seconds: float, between: Callable[[], object] | None = None) -> None:
        """Talk and listen for ``seconds``; ``between`` is called a few hundred times a second."""
        steps = len(self._sockets)
        begun = time.perf_counter()
        for step in range(round(seconds / TICK) * steps):
            self._send_group(step % steps)
            due = begun + (step + 1) * TICK / steps
            while True:
                self._drain()
                if between:
                    between()
                left = due - time.perf_counter()
                if left <= 0:
                    if self._heard:
                        self._heard.late = max(self._heard.late, -left)
                    if left < -TICK:
                        begun -= left  # go on from here: to catch up would flood the server
                    break
                time.sleep(left)

    def measure(self, seconds: float, between: Callable[[], object] | None = None) -> Heard:
        """Talk and listen for ``seconds`` and account for every frame; ``between`` as in run()."""
        frames = round(seconds * 50)
        self._heard = heard = Heard(
            frames,
            np.zeros((self.count, frames), np.bool_),
            np.full((self.count, FRAMES_KEPT, self._widest), 0xFF, np.uint8),
            np.zeros((self.count, FRAMES_KEPT), np.int16),
            np.zeros(self.count),
            origin=np.full(self.count, -1, np.int64),
        )
        self._last[:] = 0
        before = self.refused
        # frames are numbered from the first heard; the last ones may still be on their way
        self.run(seconds + 0.2, between)
        self._heard = None
        silent = np.where(self._last > 0, time.time() - 0.2 - self._last, 0)
        np.maximum(heard.worst_gap, silent, out=heard.worst_gap)
        heard.refused = self.refused - before
        return heard

    def close(self) -> None:
        for sock in self._sockets:
            sock.close()

    def _send_group(self, group: int) -> None:
        """The phones of one socket send a frame. Groups take turns: packets spread over the tick as real ones do."""
        if group == 0:
            self._tick += 1
        rows = self._active[group]
        if len(rows) == 0:
            return
        self._seq[rows] = (self._seq[rows] + 1) & 0xFFFF
        self._timestamp[rows] = (self._timestamp[rows] + self._step[rows]) & 0xFFFFFFFF
        self._out.rtp["seq"][rows] = self._seq[rows]
        self._out.rtp["timestamp"][rows] = self._timestamp[rows]
        plays = self._plays[rows]
        at = self._tick % self._length[plays]
        self._out.data[rows, HEADER : HEADER + self._sound.shape[2]] = self._sound[plays, at]
        self._out.vector["len"][rows] = HEADER + self._size[plays, at]
        if self._heard and group == 0 and at[0] == 0 and rows[0] == 0:
            self._heard.first_sent.append(time.time())
        self.refused += send(self._sockets[group].fileno(), self._messages[group])

    def _drain(self) -> None:
        batch = self._in
        for sock in self._sockets:
            count = _RECEIVE
            while count == _RECEIVE:
                count = receive(sock.fileno(), batch)
                if count:
                    batch.message["controllen"][:count] = ARRIVAL.itemsize
                    batch.message["namelen"][:count] = SOCKADDR.itemsize
                    if self._heard:
                        self._account(self._heard, count)

    def _account(self, heard: Heard, count: int) -> None:
        batch = self._in
        info = batch.info[:count]
        who = info["destination"].astype(np.int64) - FIRST_ADDRESS
        size = batch.message["len"][:count].astype(np.int64) - HEADER
        voice = (who >= 0) & (who < self.count) & (size > 0) & (size <= self._widest)
        voice &= (batch.rtp["second"][:count] & 0x7F) == self._payload_type[np.where(voice, who, 0)]
        heard.foreign += int(count - voice.sum())
        rows = np.flatnonzero(voice)
        who = who[rows]
        timestamp = batch.rtp["timestamp"][rows].astype(np.int64)
        fresh = heard.origin[who] < 0
        heard.origin[who[fresh]] = timestamp[fresh]
        came = info["seconds"][rows] + info["nanoseconds"][rows] / 1e9
        gap = np.where(self._last[who] > 0, came - self._last[who], 0)
        np.maximum.at(heard.worst_gap, who, gap)
        self._last[who] = came
        elapsed = (timestamp - heard.origin[who]) & 0xFFFFFFFF
        frame = elapsed // self._step[who]
        inside = (frame < heard.frames) & (elapsed % self._step[who] == 0)
        rows, who, frame = rows[inside], who[inside], frame[inside]
        heard.packets += len(rows)
        heard.got[who, frame] = True
        slot = frame % FRAMES_KEPT
        heard.audio[who, slot] = batch.data[rows, HEADER : HEADER + self._widest]
        heard.sizes[who, slot] = size[rows]
        for at in np.flatnonzero(who == self._watch):
            row = rows[at]
            heard.watched.append((float(came[inside][at]), batch.data[row, HEADER : HEADER + size[row]].tobytes()))


def _laid_out(streams: Sequence[Stream]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """Payloads uint8[streams, longest, widest] and their sizes int[streams, longest]."""
    longest = max(len(stream.payloads) for stream in streams)
    widest = max(len(payload) for stream in streams for payload in stream.payloads)
    sound = np.zeros((len(streams), longest, widest), np.uint8)
    size = np.zeros((len(streams), longest), np.int64)
    for one, stream in enumerate(streams):
        for at, payload in enumerate(stream.payloads):
            sound[one, at, : len(payload)] = np.frombuffer(payload, np.uint8)
            size[one, at] = len(payload)
    return sound, size
