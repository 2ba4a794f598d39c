"""TCP for SIP: accepted and opened connections, each a numbered flow (RFC 3261 section 18, RFC 5626 section 3.5.1)."""

from __future__ import annotations

import asyncio
import itertools
import socket
from collections.abc import Callable, Coroutine
from typing import Any, cast

from sip.datagrams import mark_signalling
from sip.framing import FramingError, StreamFramer
from sip.peer import Peer

CONNECT_SECONDS = 5.0
MAX_UNSENT = 1 << 20
"""Bytes a slow reader may leave unread before the connection is cut."""
MAX_WAITING = 100
"""Messages that may wait for a connection to come up."""


class Connection(asyncio.Protocol):
    """One TCP connection. ``target`` is the address it was opened to, None for an accepted one."""

    def __init__(self, connections: Connections, flow: int, target: tuple[str, int] | None) -> None:
        self._connections = connections
        self._framer = StreamFramer()
        self.flow = flow
        self.target = target
        self.peer: Peer
        self.last_heard = 0.0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)
        address = transport.get_extra_info("peername") or ("", 0)
        self.peer = Peer("tcp", address[0], address[1], self.flow)
        mark_signalling(transport.get_extra_info("socket"))
        self._connections.opened(self)

    def data_received(self, data: bytes) -> None:
        try:
            messages = self._framer.feed(data)
        except FramingError as error:
            self._connections.received(self, error.messages)
            if error.head:
                self._connections.unframed(self, error.head, error.reason)
            self.close()
            return
        if self._framer.take_ping():
            self.send(b"\r\n")
        self._connections.received(self, messages)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.closed(self)

    def send(self, data: bytes) -> None:
        if self._transport is None:
            return
        if self._transport.get_write_buffer_size() > MAX_UNSENT:
            self._transport.abort()
            return
        self._transport.write(data)

    def close(self) -> None:
        if self._transport is not None:
            self._transport.close()


class Connections:
    """All TCP connections of an endpoint.

    ``receive(messages, peer)``, ``refuse(head, reason, peer)``, ``lose(peer)`` and ``fail(peer)`` report what happens.
    """

    def __init__(
        self,
        *,
        limit: int,
        idle_seconds: float,
        receive: Callable[[list[bytes], Peer], None],
        refuse: Callable[[bytes, str, Peer], None],
        lose: Callable[[Peer], None],
        fail: Callable[[Peer], None],
    ) -> None:
        self._limit = limit
        self._idle_seconds = idle_seconds
        self._receive = receive
        self._refuse = refuse
        self._lose = lose
        self._fail = fail
        self._flows: dict[int, Connection] = {}
        self._targets: dict[tuple[str, int], Connection] = {}
        self._waiting: dict[tuple[str, int], list[bytes]] = {}
        self._numbers = itertools.count(1)
        self._servers: list[asyncio.Server] = []
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    def __len__(self) -> int:
        return len(self._flows)

    async def listen(self, host: str, port: int) -> int:
        """Accept connections there; the port is returned. Raises OSError."""
        loop = asyncio.get_running_loop()
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        server = await loop.create_server(self._accepted, host, port, family=family, reuse_address=True, backlog=512)
        self._servers.append(server)
        return cast("int", server.sockets[0].getsockname()[1])

    def send(self, data: bytes, peer: Peer) -> None:
        """Over the peer's flow while it lives, else over a connection to its address, made when there is none."""
        address = (peer.host, peer.port)
        connection = self._flows.get(peer.flow) if peer.flow is not None else None
        connection = connection or self._targets.get(address)
        if connection is not None:
            connection.send(data)
        elif address in self._waiting:
            if len(self._waiting[address]) < MAX_WAITING:
                self._waiting[address].append(data)
        elif not self._closing and len(self._flows) + len(self._waiting) < self._limit:
            self._waiting[address] = [data]
            self._start(self._connect(peer))
        else:
            self._fail(peer)

    def sweep(self, now: float) -> None:
        """Close what has been silent for too long."""
        for connection in list(self._flows.values()):
            if now - connection.last_heard > self._idle_seconds:
                connection.close()

    def stop_listening(self) -> None:
        for server in self._servers:
            server.close()
        self._servers.clear()

    async def close(self) -> None:
        self._closing = True
        self.stop_listening()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for connection in list(self._flows.values()):
            connection.close()

    # --- what connections report -----------------------------------------------------------------------------------

    def opened(self, connection: Connection) -> None:
        if self._closing or len(self._flows) >= self._limit:
            connection.close()
            return
        connection.last_heard = asyncio.get_running_loop().time()
        self._flows[connection.flow] = connection
        if connection.target is not None:
            self._targets[connection.target] = connection

    def received(self, connection: Connection, messages: list[bytes]) -> None:
        connection.last_heard = asyncio.get_running_loop().time()
        if messages:
            self._receive(messages, connection.peer)

    def unframed(self, connection: Connection, head: bytes, reason: str) -> None:
        self._refuse(head, reason, connection.peer)

    def closed(self, connection: Connection) -> None:
        if self._flows.pop(connection.flow, None) is None:
            return
        if connection.target is not None and self._targets.get(connection.target) is connection:
            del self._targets[connection.target]
        self._lose(connection.peer)

    # --- inside ----------------------------------------------------------------------------------------------------

    def _accepted(self) -> Connection:
        return Connection(self, next(self._numbers), None)

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, peer: Peer) -> None:
        address = (peer.host, peer.port)
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(CONNECT_SECONDS):
                _, connection = await loop.create_connection(
                    lambda: Connection(self, next(self._numbers), address), peer.host, peer.port
                )
        except OSError:  # TimeoutError is one
            self._waiting.pop(address, None)
            self._fail(peer)
            return
        for data in self._waiting.pop(address, ()):
            connection.send(data)
