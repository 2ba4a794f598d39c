"""UDP for SIP: one non-blocking socket, read in batches, with the kernel's word on ports that are not there."""

from __future__ import annotations

import asyncio
import select
import socket
from collections.abc import Callable

BATCH = 64
"""Datagrams taken per wake-up, so that a flood leaves timers their turn."""
RECEIVE_BUFFER = 4 << 20
SEND_BUFFER = 1 << 20
DSCP_CS3 = 24 << 2
"""Call signalling's class of service (RFC 4594 section 4.3), as the TOS octet has it."""
_IP_RECVERR, _IPV6_RECVERR = 11, 25
_MAX_ERRORS = 16

Address = tuple[str, int]


def mark_signalling(sock: socket.socket) -> None:
    """Set the DSCP of what the socket sends."""
    if sock.family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_TCLASS, DSCP_CS3)
    else:
        sock.setsockopt(socket.IPPROTO_IP, socket.IP_TOS, DSCP_CS3)


class DatagramSocket:
    """Bound to ``host``:``port`` (0: a free one). Raises OSError when that is not possible.

    ``receive`` gets the datagrams of one wake-up, ``fail`` an address that cannot be reached.
    """

    def __init__(
        self,
        host: str,
        port: int,
        max_size: int,
        receive: Callable[[DatagramSocket, list[tuple[bytes, Address]]], None],
        fail: Callable[[Address], None],
    ) -> None:
        self._max_size = max_size
        self._buffer = memoryview(bytearray(max_size + 1))
        self._receive = receive
        self._fail = fail
        self._loop: asyncio.AbstractEventLoop | None = None
        self.dropped = 0
        """Datagrams the kernel had no room to send."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._socket = socket.socket(family, socket.SOCK_DGRAM)
        try:
            self._configure(family)
            self._socket.bind((host, port))
        except OSError:
            self._socket.close()
            raise
        # libuv (uvloop) stops polling a socket that reports POLLERR, as one with IP_RECVERR does for each ICMP error.
        # An epoll set around it is only ever readable.
        self._ready = select.epoll()
        self._ready.register(self._socket, select.EPOLLIN)
        self.host = host
        self.port: int = self._socket.getsockname()[1]

    def _configure(self, family: socket.AddressFamily) -> None:
        sock = self._socket
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, RECEIVE_BUFFER)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.setsockopt(socket.IPPROTO_IPV6, _IPV6_RECVERR, 1)
        else:
            sock.setsockopt(socket.IPPROTO_IP, _IP_RECVERR, 1)
        mark_signalling(sock)

    def start(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        loop.add_reader(self._ready.fileno(), self._on_readable)

    def close(self) -> None:
        if self._loop is not None:
            self._loop.remove_reader(self._ready.fileno())
            self._loop = None
        self._ready.close()
        self._socket.close()

    def send(self, data: bytes, address: Address) -> bool:
        """False when the address cannot be reached. A full buffer counts as a datagram lost on the way."""
        for _ in range(2):
            try:
                self._socket.sendto(data, address)
            except BlockingIOError:
                self.dropped += 1
            except ConnectionRefusedError:
                # An earlier datagram's ICMP error, perhaps another address's: this one has yet to be sent.
                self._read_errors()
                continue
            except OSError:
                return False
            return True
        return True

    def _on_readable(self) -> None:
        batch: list[tuple[bytes, Address]] = []
        for _ in range(BATCH):
            try:
                size, address = self._socket.recvfrom_into(self._buffer)
            except BlockingIOError:
                break
            except OSError:
                self._read_errors()
                continue
            if size <= self._max_size:
                batch.append((bytes(self._buffer[:size]), (address[0], address[1])))
        if batch:
            self._receive(self, batch)
        else:
            self._read_errors()

    def _read_errors(self) -> None:
        """RFC 3261 section 18.4: ICMP errors end the transactions they concern."""
        for _ in range(_MAX_ERRORS):
            try:
                _, _, _, address = self._socket.recvmsg(0, 512, socket.MSG_ERRQUEUE)
            except OSError:
                return
            if address:
                self._fail((address[0], address[1]))
