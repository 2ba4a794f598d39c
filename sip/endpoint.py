"""The user agent on real sockets: a thin asyncio skin over ``sip.agent``. Fills ``control.ports.Phones``."""

from __future__ import annotations

import asyncio
import functools
import socket
from collections.abc import Callable, Mapping, Sequence

import structlog

from sip.agent import UserAgent
from sip.config import SipConfig
from sip.connections import Connections
from sip.datagrams import Address, DatagramSocket
from sip.events import Event
from sip.names import Names, is_address
from sip.peer import Peer
from sip.routing import Lookup
from sip.trunk import Trunk

CLOSE_SECONDS = 2.0
"""How long ``close`` waits for the answers to its goodbyes."""
SWEEP_SECONDS = 5.0
MAX_REMEMBERED = 10_000
_WILDCARDS = ("0.0.0.0", "::")  # noqa: S104 (compared with, not bound to)

log = structlog.get_logger(__name__)


@functools.lru_cache(MAX_REMEMBERED)
def _datagram_peer(host: str, port: int) -> Peer:
    """One Peer for all datagrams of an address: transactions keep theirs for half a minute."""
    return Peer("udp", host, port)


class Endpoint:
    """One SIP server. ``start`` before anything else, ``close`` at the end.

    All methods queue only; what comes of them arrives as events, never before the method has returned.
    """

    def __init__(self, config: SipConfig, lookup: Lookup, trunks: Sequence[Trunk] = ()) -> None:
        self.config = config
        self.agent = UserAgent(config, lookup, trunks=trunks, local_address=self.local_address)
        self.port = config.port
        """The port listened at, once started."""
        self._handlers: list[Callable[[Event], None]] = []
        self._sockets: list[DatagramSocket] = []
        self._by_address: dict[Address, DatagramSocket] = {}
        self._discovered: dict[tuple[bool, str], str] = {}
        self._connections = Connections(
            limit=config.max_connections,
            idle_seconds=config.idle_seconds,
            receive=self._receive_stream,
            refuse=self._refuse_stream,
            lose=self._connection_lost,
            fail=self._unreachable,
        )
        self._names = Names(prefer6=":" in config.hosts[0])
        self._loop: asyncio.AbstractEventLoop
        self._timer: asyncio.Handle | None = None
        self._timer_due = 0.0
        self._sweeper: asyncio.TimerHandle | None = None
        self._pumping = False
        self._pump_due = False
        self._settled: asyncio.Event | None = None
        self._closed = False

    async def start(self) -> None:
        """Listen. Raises OSError when an address or port is not to be had."""
        self._loop = asyncio.get_running_loop()
        tries = 1 if self.config.port else 20
        while True:
            tries -= 1
            try:
                await self._listen()
                break
            except OSError:
                self._close_sockets()
                self._connections.stop_listening()
                if not tries:
                    raise
        for sock in self._sockets:
            sock.start(self._loop)
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)

    async def close(self, reason: str = "Shutting down") -> None:
        """End every call (BYE, CANCEL or 503), wait a moment for the answers, close the sockets."""
        self._settled = asyncio.Event()
        self.agent.close(self._loop.time(), reason)
        self._pump()
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await self._settled.wait()
        except TimeoutError:
            log.warning("sip.close_unanswered", calls=len(self.agent.calls))
        self._closed = True
        for handle in (self._timer, self._sweeper):
            if handle is not None:
                handle.cancel()
        self._names.close()
        await self._connections.close()
        self._close_sockets()

    # --- Phones ----------------------------------------------------------------------------------------------------

    def subscribe(self, handler: Callable[[Event], None]) -> None:
        """Give every event to ``handler``, in order."""
        self._handlers.append(handler)

    def invite(self, number: str, offer: bytes, *, from_user: str, from_name: str = "") -> str:
        call = self.agent.invite(number, offer, self._loop.time(), from_user=from_user, from_name=from_name)
        self._pump_soon()
        return call

    def ring(self, call: str, status: int = 180, body: bytes | None = None) -> None:
        self.agent.ring(call, self._loop.time(), status, body)
        self._pump_soon()

    def answer(self, call: str, body: bytes) -> None:
        self.agent.answer(call, body, self._loop.time())
        self._pump_soon()

    def reject(self, call: str, status: int, reason: str, headers: Mapping[str, str] | None = None) -> None:
        self.agent.reject(call, status, reason, self._loop.time(), headers)
        self._pump_soon()

    def hang_up(self, call: str, reason: str = "") -> None:
        self.agent.hang_up(call, self._loop.time(), reason)
        self._pump_soon()

    def accept_session(self, call: str, body: bytes) -> None:
        self.agent.accept_session(call, body, self._loop.time())
        self._pump_soon()

    def refuse_session(self, call: str, status: int, reason: str) -> None:
        self.agent.refuse_session(call, status, reason, self._loop.time())
        self._pump_soon()

    def modify_session(self, call: str, offer: bytes) -> None:
        self.agent.modify_session(call, offer, self._loop.time())
        self._pump_soon()

    # --- addresses -------------------------------------------------------------------------------------------------

    def local_address(self, peer: Peer) -> tuple[str, int]:
        """Where that peer reaches us: the announced host, else the one listened at, else the one we reach it from."""
        if self.config.announce:
            return self.config.announce, self.port
        version6 = ":" in peer.host
        hosts = [host for host in self.config.hosts if (":" in host) == version6]
        host = hosts[0] if hosts else self.config.hosts[0]
        return (self._routed_from(peer, version6) if host in _WILDCARDS else host), self.port

    def _routed_from(self, peer: Peer, version6: bool) -> str:
        target = peer.host if is_address(peer.host) else ("2001:db8::1" if version6 else "192.0.2.1")
        known = self._discovered.get((version6, target))
        if known is not None:
            return known
        family = socket.AF_INET6 if version6 else socket.AF_INET
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            try:
                probe.connect((target, peer.port))
                found = str(probe.getsockname()[0])
            except OSError:
                return "::1" if version6 else "127.0.0.1"
        if len(self._discovered) >= MAX_REMEMBERED:
            self._discovered.clear()
        self._discovered[version6, target] = found
        return found

    # --- in --------------------------------------------------------------------------------------------------------

    def _receive_datagrams(self, sock: DatagramSocket, batch: list[tuple[bytes, Address]]) -> None:
        now = self._loop.time()
        remember = sock is not self._default_socket(sock.host)
        for data, address in batch:
            if remember:
                self._remember(address, sock)
            self._give(data, _datagram_peer(*address), now)
        self._pump()

    def _receive_stream(self, messages: list[bytes], peer: Peer) -> None:
        now = self._loop.time()
        for data in messages:
            self._give(data, peer, now)
        self._pump()

    def _give(self, data: bytes, peer: Peer, now: float) -> None:
        try:
            self.agent.receive(data, peer, now)
        except Exception:
            log.exception("sip.receive_failed", peer=str(peer), size=len(data))

    def _refuse_stream(self, head: bytes, reason: str, peer: Peer) -> None:
        self.agent.receive_unframed(head, reason, peer, self._loop.time())
        self._pump()

    def _connection_lost(self, peer: Peer) -> None:
        self.agent.connection_lost(peer, self._loop.time())
        self._unreachable(peer)

    def _unreachable(self, peer: Peer) -> None:
        now = self._loop.time()
        self.agent.transport_error(peer, now)
        for name in self._names.names_of(peer.host):
            self.agent.transport_error(Peer(peer.transport, name, peer.port), now)
        self._pump_soon()

    def _on_timer(self) -> None:
        # A loop may round its clock down: what it calls due is due.
        now = max(self._loop.time(), self._timer_due)
        self._timer = None
        try:
            self.agent.handle_timer(now)
        except Exception:
            log.exception("sip.timer_failed")
        self._pump()

    # --- out -------------------------------------------------------------------------------------------------------

    def _pump_soon(self) -> None:
        """Deliver after the present method has returned to its caller."""
        if not self._pump_due and not self._pumping:
            self._pump_due = True
            self._loop.call_soon(self._pump)

    def _pump(self) -> None:
        """Report and send everything the agent has, then set the timer."""
        self._pump_due = False
        if self._pumping or self._closed:
            return
        self._pumping = True
        try:
            while True:
                while (event := self.agent.next_event()) is not None:
                    self._report(event)
                messages = self.agent.to_send()
                if not messages:
                    break
                for data, peer in messages:
                    self._send(data, peer)
        finally:
            self._pumping = False
        self._set_timer()
        if self._settled is not None and self.agent.settled:
            self._settled.set()

    def _report(self, event: Event) -> None:
        for handler in self._handlers:
            try:
                handler(event)
            except Exception:
                log.exception("sip.handler_failed", event_type=type(event).__name__)

    def _set_timer(self) -> None:
        """One handle for all timers; it fires early when its cause was cancelled: cheaper than moving it each time."""
        due = self.agent.timer()
        if due is None or (self._timer is not None and self._timer_due <= due):
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_due = due
        self._timer = self._loop.call_at(due, self._on_timer)

    def _send(self, data: bytes, peer: Peer) -> None:
        if is_address(peer.host):
            self._send_to(data, peer, peer.host)
            return

        def resolved(address: str | None) -> None:
            if address is None:
                self._unreachable(peer)
            else:
                self._send_to(data, peer, address)

        self._names.lookup(peer.host, resolved)

    def _send_to(self, data: bytes, peer: Peer, host: str) -> None:
        if peer.transport == "tcp":
            self._connections.send(data, Peer("tcp", host, peer.port, peer.flow))
            return
        address = (host, peer.port)
        sock = self._by_address.get(address) or self._default_socket(host)
        if sock is None or not sock.send(data, address):
            self._unreachable(peer)

    def _default_socket(self, host: str) -> DatagramSocket | None:
        """The first socket of the address's family."""
        version6 = ":" in host
        for sock in self._sockets:
            if (":" in sock.host) == version6:
                return sock
        return None

    def _remember(self, address: Address, sock: DatagramSocket) -> None:
        """Answer through the socket that was asked: with several addresses the default one would be the wrong one."""
        self._by_address.pop(address, None)
        if len(self._by_address) >= MAX_REMEMBERED:
            self._by_address.pop(next(iter(self._by_address)))
        self._by_address[address] = sock

    # --- sockets ---------------------------------------------------------------------------------------------------

    async def _listen(self) -> None:
        port = self.config.port
        for host in self.config.hosts:
            if "udp" in self.config.transports:
                size = self.config.max_datagram
                sock = DatagramSocket(host, port, size, self._receive_datagrams, self._icmp_error)
                self._sockets.append(sock)
                port = sock.port
            if "tcp" in self.config.transports:
                port = await self._connections.listen(host, port)
        self.port = port

    def _icmp_error(self, address: Address) -> None:
        self._unreachable(Peer("udp", *address))

    def _close_sockets(self) -> None:
        for sock in self._sockets:
            sock.close()
        self._sockets.clear()

    def _sweep(self) -> None:
        self._connections.sweep(self._loop.time())
        self._sweeper = self._loop.call_later(SWEEP_SECONDS, self._sweep)
