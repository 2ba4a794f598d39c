"""Datagrams in batches: recvmmsg and sendmmsg over numpy matrices (Linux; recvmmsg(2), sendmmsg(2)).

``Inbox`` is a matrix of received packets, ``Outbox`` a matrix of packets to send. All kernel structures (``mmsghdr``,
``iovec``, ``sockaddr``) are numpy arrays built once, so a tick allocates nothing per packet.
"""

from __future__ import annotations

import ctypes
import os
import socket
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

_libc = ctypes.CDLL(None, use_errno=True)

IOVEC: Final = np.dtype([("base", "u8"), ("len", "u8")])
MMSGHDR: Final = np.dtype(
    [
        ("name", "u8"), ("namelen", "u4"), ("pad0", "u4"), ("iov", "u8"), ("iovlen", "u8"),
        ("control", "u8"), ("controllen", "u8"), ("flags", "i4"), ("pad1", "u4"), ("len", "u4"), ("pad2", "u4"),
    ]
)  # fmt: skip
HEAD = 512
"""Bytes of a packet kept in the dense matrix, up to 60 ms of G.711; the rest of a longer one goes to the tail
matrix."""
TAIL = 1024
ADDRESS = 32
"""Bytes reserved for a sockaddr_in (16) or sockaddr_in6 (28)."""
CONTROL = 64
RTP_HEADER = 12
FRAME_BYTES = 160
"""Payload bytes of 20 ms of G.711 or G.722."""
PACKET = 512
"""Stride of the outgoing matrix: RTP header plus the largest payload we make."""
_SO_TIMESTAMPNS = 35
_SO_RCVBUFFORCE = 33
_SO_SNDBUFFORCE = 32
_MSG_DONTWAIT = 0x40

RTP_IN: Final = np.dtype(
    {
        "names": ["first", "second", "seq", "timestamp", "ssrc", "payload"],
        "formats": ["u1", "u1", ">u2", ">u4", ">u4", f"V{FRAME_BYTES}"],
        "offsets": [0, 1, 2, 4, 8, RTP_HEADER],
        "itemsize": HEAD,
    }
)
RTP_OUT: Final = np.dtype(
    {
        "names": ["first", "second", "seq", "timestamp", "ssrc", "payload"],
        "formats": ["u1", "u1", ">u2", ">u4", ">u4", f"V{FRAME_BYTES}"],
        "offsets": [0, 1, 2, 4, 8, RTP_HEADER],
        "itemsize": PACKET,
    }
)


def open_lane(host: str, port: int) -> socket.socket:
    """A bound, non-blocking UDP socket fit for a lane. Raises OSError.

    Receives kernel time stamps (``SO_TIMESTAMPNS``); buffers as large as the kernel allows; DSCP EF (RFC 3246).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    lane = socket.socket(family, socket.SOCK_DGRAM | socket.SOCK_CLOEXEC)
    try:
        if family == socket.AF_INET6:
            lane.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            lane.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, 0xB8)
        else:
            lane.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, 0xB8)
        for plain, forced in ((socket.SO_RCVBUF, _SO_RCVBUFFORCE), (socket.SO_SNDBUF, _SO_SNDBUFFORCE)):
            lane.setsockopt(socket.SOL_SOCKET, plain, 8 << 20)
            try:
                lane.setsockopt(socket.SOL_SOCKET, forced, 8 << 20)
            except PermissionError:
                continue  # without CAP_NET_ADMIN the kernel's limit stands
        lane.setsockopt(socket.SOL_SOCKET, _SO_TIMESTAMPNS, 1)
        lane.setblocking(False)
        lane.bind((host, port))
    except OSError:
        lane.close()
        raise
    return lane


class Inbox:
    """Packets as received: ``count`` rows are valid after ``fill``.

    ``head`` uint8[capacity, 512], ``tail`` uint8[capacity, 1024] (only what did not fit in head), ``rtp`` the same
    memory as head seen as RTP headers, ``size`` bytes received, ``lane`` index of the lane, ``address`` raw sockaddrs
    uint8[capacity, 32], ``stamp`` kernel receive time in ns of CLOCK_REALTIME (0 when it gave none).
    """

    def __init__(self, capacity: int = 4096) -> None:
        self.capacity = capacity
        self.count = 0
        self.head: NDArray[np.uint8] = np.zeros((capacity, HEAD), np.uint8)
        self.tail: NDArray[np.uint8] = np.zeros((capacity, TAIL), np.uint8)
        self.rtp: NDArray[Any] = self.head.view(RTP_IN)[:, 0]
        self.address: NDArray[np.uint8] = np.zeros((capacity, ADDRESS), np.uint8)
        self.lane: NDArray[np.int64] = np.zeros(capacity, np.int64)
        self._control = np.zeros((capacity, CONTROL), np.uint8)
        self._iov = np.zeros((capacity, 2), IOVEC)
        self._msgs = np.zeros(capacity, MMSGHDR)
        index = np.arange(capacity)
        self._iov["base"][:, 0] = self.head.ctypes.data + index * HEAD
        self._iov["len"][:, 0] = HEAD
        self._iov["base"][:, 1] = self.tail.ctypes.data + index * TAIL
        self._iov["len"][:, 1] = TAIL
        self._msgs["iov"] = self._iov.ctypes.data + index * 2 * IOVEC.itemsize
        self._msgs["iovlen"] = 2
        self._msgs["name"] = self.address.ctypes.data + index * ADDRESS
        self._msgs["control"] = self._control.ctypes.data + index * CONTROL
        self.size: NDArray[np.uint32] = self._msgs["len"]
        self._seconds = self._control.view(np.int64)[:, 2]
        self._nanoseconds = self._control.view(np.int64)[:, 3]
        self._msgs["namelen"] = ADDRESS
        self._msgs["controllen"] = CONTROL

    def fill(self, fds: list[int]) -> bool:
        """Receive what waits on the lanes. False when the matrix filled up, so more may be waiting."""
        used = self.count
        # only rows the kernel wrote to before have these fields changed
        self._msgs["namelen"][:used] = ADDRESS
        self._msgs["controllen"][:used] = CONTROL
        at = 0
        for lane, fd in enumerate(fds):
            room = self.capacity - at
            if room == 0:
                break
            where = ctypes.c_void_p(self._msgs.ctypes.data + at * MMSGHDR.itemsize)
            got = _libc.recvmmsg(fd, where, room, _MSG_DONTWAIT, None)
            if got > 0:
                self.lane[at : at + got] = lane
                at += got
        self.count = at
        return at < self.capacity

    def stamps(self) -> NDArray[np.int64]:
        """Kernel receive times of the valid rows, int64 ns of CLOCK_REALTIME, 0 where there is none."""
        count = self.count
        times = self._seconds[:count] * 1_000_000_000 + self._nanoseconds[:count]
        times[self._msgs["controllen"][:count] == 0] = 0
        return times

    def packet(self, row: int) -> bytes:
        """The whole datagram in one row."""
        size = int(self.size[row])
        head = self.head[row, : min(size, HEAD)].tobytes()
        return head if size <= HEAD else head + self.tail[row, : size - HEAD].tobytes()


class Outbox:
    """Packets to send, one per row: ``rtp`` header fields, ``buffer`` uint8[capacity, 512], ``size`` bytes to send.

    ``address`` holds destinations as sockaddrs, ``address_size`` their sizes. ``plan`` says which rows go through which
    lane and is asked for anew only when legs come, go or move.
    """

    def __init__(self, capacity: int) -> None:
        self.buffer: NDArray[np.uint8] = np.zeros((capacity, PACKET), np.uint8)
        self.rtp: NDArray[Any] = self.buffer.view(RTP_OUT)[:, 0]
        self.address: NDArray[np.uint8] = np.zeros((capacity, ADDRESS), np.uint8)
        self.address_size: NDArray[np.uint32] = np.zeros(capacity, np.uint32)
        self._iov = np.zeros(capacity, IOVEC)
        self._iov["base"] = self.buffer.ctypes.data + np.arange(capacity) * PACKET
        self._iov["len"] = RTP_HEADER + FRAME_BYTES
        self.size: NDArray[np.uint64] = self._iov["len"]
        self._msgs = np.zeros(0, MMSGHDR)
        self._batches: list[tuple[int, int, int]] = []

    def plan(self, rows: NDArray[np.int64], lanes: NDArray[np.int64], fds: list[int]) -> None:
        """Send ``rows`` (one packet each) through ``fds[lanes]`` from now on."""
        order = np.argsort(lanes, kind="stable")
        rows, lanes = rows[order], lanes[order]
        msgs = np.zeros(len(rows), MMSGHDR)
        msgs["iov"] = self._iov.ctypes.data + rows * IOVEC.itemsize
        msgs["iovlen"] = 1
        msgs["name"] = self.address.ctypes.data + rows * ADDRESS
        msgs["namelen"] = self.address_size[rows]
        self._msgs = msgs
        edges = np.searchsorted(lanes, np.arange(len(fds) + 1))
        self._batches = [(fd, int(edges[i]), int(edges[i + 1])) for i, fd in enumerate(fds) if edges[i] < edges[i + 1]]

    def send(self) -> tuple[int, int]:
        """Send every planned row. Returns packets sent and packets the kernel refused."""
        sent = failed = 0
        base = self._msgs.ctypes.data
        for fd, start, end in self._batches:
            at = start
            while at < end:
                where = ctypes.c_void_p(base + at * MMSGHDR.itemsize)
                done = _libc.sendmmsg(fd, where, min(end - at, 1024), _MSG_DONTWAIT)
                if done <= 0:  # this one destination is refused (unreachable, full buffer): skip it, go on
                    failed += 1
                    at += 1
                    continue
                sent += done
                at += done
        return sent, failed

    def send_one(self, fd: int, data: bytes, address: NDArray[np.uint8], size: int) -> None:
        """Send a single datagram (RTCP) to a raw sockaddr; what the kernel refuses is lost."""
        _libc.sendto(fd, data, len(data), _MSG_DONTWAIT, ctypes.c_void_p(address.ctypes.data), size)


def boost_priority() -> None:
    """Ask for a higher scheduling priority; without the right to it the ordinary one stays."""
    try:
        os.setpriority(os.PRIO_PROCESS, 0, -15)
    except PermissionError:
        return
