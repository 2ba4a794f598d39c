"""The endpoint on real loopback sockets: UDP, TCP, IPv4, IPv6, and sipp as the far side."""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import TypeVar

import pytest

from sip.auth import DigestClient, HashedCredentials
from sip.config import SipConfig
from sip.connections import Connection, Connections
from sip.datagrams import DSCP_CS3
from sip.endpoint import Endpoint
from sip.events import (
    CallAnswered,
    CallConfirmed,
    CallEnded,
    CallFailed,
    EndKind,
    Event,
    FailureKind,
    IncomingCall,
    Registered,
)
from sip.framing import StreamFramer
from sip.message import Request, Response, parse
from sip.trunk import Trunk
from tests.sip.network import ANSWER, OFFER

_Kind = TypeVar("_Kind", bound=Event)
CONFIG = SipConfig(port=0, domain="conf.example")
PATIENCE = 20.0


class Phone:
    """An endpoint whose user answers every call."""

    def __init__(self, config: SipConfig = CONFIG, trunks: tuple[Trunk, ...] = (), answers: bool = True) -> None:
        known = {"100": HashedCredentials.of("100", config.realm, "secret")}
        self.endpoint = Endpoint(config, known.get, trunks)
        self.events: list[Event] = []
        self._answers = answers
        self._news = asyncio.Event()
        self.endpoint.subscribe(self._handle)

    def _handle(self, event: Event) -> None:
        self.events.append(event)
        self._news.set()
        if isinstance(event, IncomingCall) and self._answers:
            self.endpoint.ring(event.call)
            self.endpoint.answer(event.call, ANSWER)

    async def wait(self, kind: type[_Kind], count: int = 1) -> _Kind:
        """The count-th event of a kind."""
        while len(found := [event for event in self.events if isinstance(event, kind)]) < count:
            await self._next()
        return found[count - 1]

    async def outcome(self, call: str) -> CallAnswered | CallFailed:
        """How a call of ours turned out."""
        while True:
            for event in self.events:
                if isinstance(event, CallAnswered | CallFailed) and event.call == call:
                    return event
            await self._next()

    async def _next(self) -> None:
        self._news.clear()
        async with asyncio.timeout(PATIENCE):
            await self._news.wait()

    def uri(self, host: str = "127.0.0.1", params: str = "") -> str:
        return f"sip:200@{host}:{self.endpoint.port}{params}"


@contextlib.asynccontextmanager
async def running(*phones: Phone) -> AsyncIterator[None]:
    for phone in phones:
        await phone.endpoint.start()
    try:
        yield
    finally:
        for phone in phones:
            await phone.endpoint.close()


@pytest.mark.parametrize(
    ("host", "params", "transport"),
    [
        ("127.0.0.1", "", "udp"),
        ("127.0.0.1", ";transport=tcp", "tcp"),
        ("[::1]", "", "udp"),
        ("[::1]", ";transport=tcp", "tcp"),
        ("localhost", "", "udp"),
    ],
)
async def test_b35_a_call_is_set_up_changed_and_ended(host: str, params: str, transport: str) -> None:
    config = replace(CONFIG, hosts=("127.0.0.1", "::1"))
    caller, called = Phone(config), Phone(config)
    async with running(caller, called):
        call = caller.endpoint.invite(called.uri(host, params), OFFER, from_user="300")
        answered = await caller.wait(CallAnswered)
        assert (answered.call, answered.body) == (call, ANSWER)
        assert (await called.wait(IncomingCall)).transport == transport
        await called.wait(CallConfirmed)
        caller.endpoint.hang_up(call, "done")
        assert (await called.wait(CallEnded)).kind is EndKind.REMOTE


async def test_events_come_only_after_the_call_has_its_name() -> None:
    phone = Phone()
    async with running(phone):
        call = phone.endpoint.invite("no such number", OFFER, from_user="300")
        assert not phone.events
        assert (await phone.wait(CallFailed)).call == call


async def test_closing_says_goodbye_to_all_calls() -> None:
    caller, called = Phone(), Phone()
    async with running(called):
        async with running(caller):
            caller.endpoint.invite(called.uri(), OFFER, from_user="300")
            await caller.wait(CallAnswered)
        assert (await called.wait(CallEnded)).kind is EndKind.REMOTE
        assert caller.endpoint.agent.settled


@pytest.mark.parametrize("params", ["", ";transport=tcp"])
async def test_n1_a_port_where_nobody_listens_is_a_network_failure_at_once(params: str) -> None:
    phone = Phone()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    async with running(phone):
        phone.endpoint.invite(f"sip:x@127.0.0.1:{port}{params}", OFFER, from_user="300")
        failed = await phone.wait(CallFailed)
    assert (failed.kind, failed.status) == (FailureKind.NETWORK, 503)


async def test_n1_a_host_name_that_does_not_exist_is_a_network_failure() -> None:
    phone = Phone()
    async with running(phone):
        phone.endpoint.invite("sip:x@nowhere.invalid", OFFER, from_user="300")
        assert (await phone.wait(CallFailed)).kind is FailureKind.NETWORK


async def test_a_handler_that_raises_does_not_stop_the_endpoint() -> None:
    caller, called = Phone(), Phone()

    def stumble(event: Event) -> None:
        raise RuntimeError("on purpose")

    called.endpoint.subscribe(stumble)
    async with running(caller, called):
        caller.endpoint.invite(called.uri(), OFFER, from_user="300")
        await caller.wait(CallAnswered)


async def test_two_endpoints_cannot_have_the_same_port() -> None:
    first = Phone()
    async with running(first):
        with pytest.raises(OSError, match="in use"):
            await Phone(replace(CONFIG, port=first.endpoint.port)).endpoint.start()


class Raw:
    """A UDP socket that speaks SIP by hand."""

    def __init__(self, host: str = "127.0.0.1") -> None:
        self.socket = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind((host, 0))
        self.socket.setblocking(False)
        self.port: int = self.socket.getsockname()[1]

    async def ask(self, data: bytes, target: tuple[str, int]) -> tuple[Request | Response, tuple[str, int]]:
        loop = asyncio.get_running_loop()
        await loop.sock_sendto(self.socket, data, target)
        async with asyncio.timeout(PATIENCE):
            answer, address = await loop.sock_recvfrom(self.socket, 65535)
        return parse(answer), address


def options(port: int, *, branch: str = "1", filler: int = 0, transport: str = "UDP", length: str = "0") -> bytes:
    return (
        "OPTIONS sip:x@conf.example SIP/2.0\r\n"
        f"Via: SIP/2.0/{transport} 127.0.0.1:{port};branch=z9hG4bK{branch};rport\r\n"
        f"From: <sip:a@h>;tag=1\r\nTo: <sip:b@h>\r\nCall-ID: {branch}\r\nCSeq: 1 OPTIONS\r\n"
        f"X-Filler: {'x' * filler}\r\n{f'Content-Length: {length}' + chr(13) + chr(10) if length else ''}\r\n"
    ).encode()


async def test_an_answer_comes_from_the_address_that_was_asked() -> None:
    phone = Phone(replace(CONFIG, hosts=("127.0.0.1", "127.0.0.2")))
    raw = Raw()
    async with running(phone):
        for host in ("127.0.0.1", "127.0.0.2"):
            answer, source = await raw.ask(options(raw.port, branch=host), (host, phone.endpoint.port))
            assert isinstance(answer, Response)
            assert (answer.status, source) == (200, (host, phone.endpoint.port))


async def test_a_datagram_larger_than_allowed_is_ignored() -> None:
    phone = Phone(replace(CONFIG, max_datagram=2000))
    raw = Raw()
    async with running(phone):
        target = ("127.0.0.1", phone.endpoint.port)
        raw.socket.sendto(options(raw.port, branch="big", filler=2000), target)
        answer, _ = await raw.ask(options(raw.port, branch="small"), target)
        assert answer.call_id == "small"


@pytest.mark.parametrize(
    ("host", "level", "wish", "mark"),
    [
        ("127.0.0.1", socket.IPPROTO_IP, socket.IP_RECVTOS, socket.IP_TOS),
        ("::1", socket.IPPROTO_IPV6, socket.IPV6_RECVTCLASS, socket.IPV6_TCLASS),
    ],
    ids=["ipv4", "ipv6"],
)
async def test_datagrams_are_marked_cs3(host: str, level: int, wish: int, mark: int) -> None:
    phone = Phone(replace(CONFIG, hosts=(host,)))
    raw = Raw(host)
    raw.socket.setsockopt(level, wish, 1)
    async with running(phone):
        raw.socket.sendto(options(raw.port), (host, phone.endpoint.port))
        readable = asyncio.Event()
        asyncio.get_running_loop().add_reader(raw.socket, readable.set)
        async with asyncio.timeout(PATIENCE):
            await readable.wait()
        _, ancillary, _, _ = raw.socket.recvmsg(4096, 512)
        asyncio.get_running_loop().remove_reader(raw.socket)
    assert [(kind, data[0]) for _, kind, data in ancillary] == [(mark, DSCP_CS3)]


@pytest.mark.parametrize(
    ("host", "level", "option"),
    [("127.0.0.1", socket.IPPROTO_IP, socket.IP_TOS), ("::1", socket.IPPROTO_IPV6, socket.IPV6_TCLASS)],
    ids=["ipv4", "ipv6"],
)
async def test_connections_made_and_accepted_are_marked_cs3(
    host: str, level: int, option: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    marked: list[int] = []
    opened = Connections.opened

    def look(connections: Connections, connection: Connection) -> None:
        assert connection._transport is not None
        marked.append(connection._transport.get_extra_info("socket").getsockopt(level, option))
        opened(connections, connection)

    monkeypatch.setattr(Connections, "opened", look)
    caller, called = (Phone(replace(CONFIG, hosts=(host,))) for _ in range(2))
    async with running(caller, called):
        caller.endpoint.invite(called.uri(f"[{host}]" if ":" in host else host, ";transport=tcp"), OFFER, from_user="3")
        await caller.wait(CallAnswered)
    assert marked == [DSCP_CS3] * 2


# --- TCP -------------------------------------------------------------------------------------------------------------


class Stream:
    """A TCP client that speaks SIP by hand."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self._framer = StreamFramer()
        self._messages: list[bytes] = []

    @classmethod
    async def open(cls, phone: Phone) -> Stream:
        return cls(*await asyncio.open_connection("127.0.0.1", phone.endpoint.port))

    @property
    def port(self) -> int:
        port: int = self.writer.get_extra_info("sockname")[1]
        return port

    async def next(self) -> Request | Response:
        async with asyncio.timeout(PATIENCE):
            while not self._messages:
                data = await self.reader.read(65536)
                assert data, "closed by the endpoint"
                self._messages += self._framer.feed(data)
        return parse(self._messages.pop(0))

    async def closed(self) -> bool:
        async with asyncio.timeout(PATIENCE):
            while await self.reader.read(65536):
                pass
        return True

    async def register(self) -> Response:
        """Sign in as 100 with this connection as the contact."""
        answer: Request | Response | None = None
        for number in (1, 2):
            request = parse(
                "REGISTER sip:conf.example SIP/2.0\r\n"
                f"Via: SIP/2.0/TCP 127.0.0.1:{self.port};branch=z9hG4bKr{number}\r\n"
                f"From: <sip:100@conf.example>;tag=1\r\nTo: <sip:100@conf.example>\r\nCall-ID: r{self.port}\r\n"
                f"CSeq: {number} REGISTER\r\nContact: <sip:100@127.0.0.1:{self.port};transport=tcp>\r\n\r\n".encode()
            )
            if isinstance(answer, Response):
                assert isinstance(request, Request)
                request.headers.add(*DigestClient("100", "secret").answer(request, answer, "cn"))
            self.writer.write(request.encode())
            answer = await self.next()
        assert isinstance(answer, Response)
        return answer


async def test_b35_a_phone_registered_over_tcp_is_called_over_its_connection_and_signed_out_when_that_ends() -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        assert (await stream.register()).status == 200
        assert len((await phone.wait(Registered)).contacts) == 1
        phone.endpoint.invite("100", OFFER, from_user="300")
        invite = await stream.next()
        assert isinstance(invite, Request)
        assert (invite.method, invite.via.transport) == ("INVITE", "TCP")
        stream.writer.close()
        assert (await phone.wait(Registered, 2)).contacts == ()


async def test_n1_a_phone_whose_connection_breaks_before_it_answers_is_a_network_failure() -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        await stream.register()
        phone.endpoint.invite("100", OFFER, from_user="300")
        await stream.next()
        stream.writer.transport.abort()
        assert (await phone.wait(CallFailed)).kind is FailureKind.NETWORK


async def test_messages_on_a_stream_may_be_cut_anywhere_and_follow_each_other() -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        data = b"\r\n" + b"".join(options(stream.port, branch=str(n), transport="TCP") for n in range(3))
        for at in range(0, len(data), 100):
            stream.writer.write(data[at : at + 100])
            await stream.writer.drain()
        assert [(await stream.next()).call_id for _ in range(3)] == ["0", "1", "2"]


async def test_a_keep_alive_ping_gets_its_pong() -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        stream.writer.write(b"\r\n\r\n")
        async with asyncio.timeout(PATIENCE):
            assert await stream.reader.readexactly(2) == b"\r\n"


@pytest.mark.parametrize("length", ["", "abc", "99999999"])
async def test_a_stream_message_without_a_usable_length_gets_400_and_the_connection_is_closed(length: str) -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        stream.writer.write(options(stream.port, transport="TCP", length=length))
        answer = await stream.next()
        assert isinstance(answer, Response)
        assert answer.status == 400
        assert await stream.closed()


async def test_a_stream_that_never_ends_a_header_is_closed() -> None:
    phone = Phone()
    async with running(phone):
        stream = await Stream.open(phone)
        stream.writer.write(b"OPTIONS sip:x SIP/2.0\r\nX: " + b"x" * 70_000)
        with contextlib.suppress(ConnectionError):
            assert await stream.closed()


async def test_more_connections_than_allowed_are_closed_at_once() -> None:
    phone = Phone(replace(CONFIG, max_connections=2))
    async with running(phone):
        first, second = await Stream.open(phone), await Stream.open(phone)
        for stream in (first, second):
            stream.writer.write(options(stream.port, transport="TCP"))
            await stream.next()
        assert await (await Stream.open(phone)).closed()


async def test_a_silent_connection_is_closed_and_a_live_one_kept() -> None:
    phone = Phone(replace(CONFIG, idle_seconds=600))
    async with running(phone):
        stream = await Stream.open(phone)
        stream.writer.write(options(stream.port, transport="TCP"))
        await stream.next()
        now = asyncio.get_running_loop().time()
        phone.endpoint._connections.sweep(now + 500)
        stream.writer.write(options(stream.port, branch="2", transport="TCP"))
        await stream.next()
        phone.endpoint._connections.sweep(now + 1200)
        assert await stream.closed()


# --- sipp ------------------------------------------------------------------------------------------------------------

needs_sipp = pytest.mark.skipif(
    shutil.which("sipp") is None, reason="sipp (Debian package sip-tester) is not installed"
)


async def sipp(folder: Path, *arguments: str) -> int:
    """Run sipp to its end; returns its exit code (0: every call as in the scenario)."""
    command = ["sipp", "-i", "127.0.0.1", "-nostdin", "-timeout", "40s", "-timeout_error", *arguments]
    process = await asyncio.create_subprocess_exec(
        *command, cwd=folder, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.DEVNULL
    )
    return await process.wait()


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


@pytest.mark.peers
@needs_sipp
@pytest.mark.parametrize("mode", ["u1", "t1"])
async def test_sipps_uac_scenario_calls_us(tmp_path: Path, mode: str) -> None:
    phone = Phone()
    async with running(phone):
        target = f"127.0.0.1:{phone.endpoint.port}"
        code = await sipp(tmp_path, "-sn", "uac", "-t", mode, "-r", "100", "-m", "100", "-d", "50", target)
        assert code == 0
        assert len([event for event in phone.events if isinstance(event, CallEnded)]) == 100


@pytest.mark.peers
@needs_sipp
async def test_sipps_uac_scenario_loses_packets_and_still_gets_through(tmp_path: Path) -> None:
    phone = Phone()
    async with running(phone):
        target = f"127.0.0.1:{phone.endpoint.port}"
        code = await sipp(tmp_path, "-sn", "uac", "-r", "20", "-m", "40", "-lost", "10", target)
        assert code == 0


@pytest.mark.peers
@needs_sipp
async def test_sipps_uas_scenario_is_called_by_us(tmp_path: Path) -> None:
    phone = Phone()
    port = free_port()
    async with running(phone):
        server = asyncio.create_task(sipp(tmp_path, "-sn", "uas", "-p", str(port), "-m", "10"))
        answered = 0
        while answered < 10:
            call = phone.endpoint.invite(f"sip:service@127.0.0.1:{port}", OFFER, from_user="300")
            # sipp may not be up yet: its closed port is a network failure, so ask again.
            if isinstance(await phone.outcome(call), CallAnswered):
                answered += 1
                phone.endpoint.hang_up(call)
        assert await server == 0


async def test_after_closing_nothing_more_is_sent_or_reported() -> None:
    phone = Phone()
    async with running(phone):
        pass
    phone.endpoint.invite("sip:x@127.0.0.1", OFFER, from_user="300")
    await asyncio.sleep(0)
    assert phone.events == []
