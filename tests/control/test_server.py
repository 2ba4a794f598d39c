"""The whole server in this process: real store, real mixer, SIP over loopback and REST."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import aiohttp
import pytest

from control import server as server_module
from control.config import Config, load_config
from control.schemas import AddParticipant, CreateConference
from control.server import Server, StartError, run, running
from control.store import Store
from control.tokens import Tokens
from tests.control.doubles import sdp
from tests.peers.process import free_port, free_udp_range

PATIENCE = 15.0


def configure(folder: Path, **more: str) -> Config:
    settings = {
        "VECHE_HTTP__PORT": str(free_port()),
        "VECHE_SIP__PORT": str(free_sip_port()),
        "VECHE_MEDIA__PORTS": free_udp_range(2),
        "VECHE_DATA__DIR": str(folder),
        **more,
    }
    return load_config(None, settings)


def free_sip_port() -> int:
    """A port that is free over UDP and TCP, as SIP needs it."""
    while True:
        port = free_port(socket.SOCK_DGRAM)
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe, contextlib.suppress(OSError):
            probe.bind(("127.0.0.1", port))
            return port


class Caller(asyncio.DatagramProtocol):
    """A phone that says what it is told to and knows no retransmission."""

    def __init__(self, target: tuple[str, int]) -> None:
        self._target = target
        self._inbox: asyncio.Queue[str] = asyncio.Queue()
        self._to = ""

    @classmethod
    async def open(cls, server: Server) -> Self:
        target = ("127.0.0.1", server.endpoint.port)
        loop = asyncio.get_running_loop()
        transport, phone = await loop.create_datagram_endpoint(lambda: cls(target), local_addr=("127.0.0.1", 0))
        phone._transport = transport
        return phone

    _transport: asyncio.DatagramTransport

    def datagram_received(self, data: bytes, addr: Any) -> None:
        if data[0] & 0xC0 != 0x80:  # its media comes to the same port
            self._inbox.put_nowait(data.decode())

    async def next(self, start: str) -> str:
        """The next message that begins so; others before it are passed over."""
        async with asyncio.timeout(PATIENCE):
            while not (message := await self._inbox.get()).startswith(start):
                pass
        return message

    @property
    def port(self) -> int:
        return int(self._transport.get_extra_info("sockname")[1])

    def answer(self, request: str, body: bytes) -> None:
        """200 with a session description."""
        kept = [
            line for line in request.split("\r\n") if line.startswith(("Via:", "From:", "To:", "Call-ID:", "CSeq:"))
        ]
        lines = [
            "SIP/2.0 200 OK",
            *kept,
            f"Contact: <sip:anna@127.0.0.1:{self.port}>",
            "Content-Type: application/sdp",
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        self._transport.sendto("\r\n".join(lines).encode() + body, self._target)

    def say(self, method: str, user: str, sequence: int, body: bytes = b"") -> None:
        host, port = self._transport.get_extra_info("sockname")
        lines = [
            f"{method} sip:{user}@{self._target[0]}:{self._target[1]} SIP/2.0",
            f"Via: SIP/2.0/UDP {host}:{port};branch=z9hG4bK{method}{sequence};rport",
            "Max-Forwards: 70",
            f"From: Anna <sip:375291112233@{host}>;tag=a1",
            f"To: <sip:{user}@{self._target[0]}>{self._to}",
            f"Call-ID: {port}@{host}",
            f"CSeq: {sequence} {method}",
            f"Contact: <sip:anna@{host}:{port}>",
            *(["Content-Type: application/sdp"] if body else []),
            f"Content-Length: {len(body)}",
            "",
            "",
        ]
        self._transport.sendto("\r\n".join(lines).encode() + body, self._target)

    async def call(self, user: str, offer: bytes | None = b"", answer: bytes = b"", sequence: int = 1) -> str:
        """Invite and acknowledge; gives the 200. ``offer`` b"" stands for PCMU; None makes room for ``answer``."""
        self.say(
            "INVITE", user, sequence, sdp("127.0.0.1", self.port, payload="0 101") if offer == b"" else offer or b""
        )
        ok = await self.next("SIP/2.0 200")
        tag = re.search(r"^To: .*(;tag=\S+)", ok, re.MULTILINE)
        assert tag is not None
        self._to = tag[1]
        self.say("ACK", user, sequence, answer)
        return ok


class Rest:
    """A client of the server's API with an operator's token."""

    def __init__(self, server: Server) -> None:
        self._server = server

    async def __aenter__(self) -> Self:
        token, _ = await Tokens(self._server.store).create("tests", ["operator"])
        host, port = self._server.http.address
        headers = {"Authorization": f"Bearer {token}"}
        self.http = aiohttp.ClientSession(f"http://{host}:{port}", headers=headers)
        return self

    async def __aexit__(self, *error: object) -> None:
        await self.http.close()

    async def get(self, path: str) -> Any:
        async with self.http.get(path) as response:
            assert response.status == 200, await response.text()
            return await response.json()

    async def post(self, path: str, body: Any) -> Any:
        async with self.http.post(path, json=body) as response:
            assert response.status in {200, 201}, await response.text()
            return await response.json()


async def eventually(probe: Callable[[], Awaitable[Any]]) -> Any:
    async with asyncio.timeout(PATIENCE):
        while not (found := await probe()):  # noqa: ASYNC110 the server tells no event that a client could await
            await asyncio.sleep(0.02)
    return found


async def test_a_call_to_a_conference_made_by_rest_is_in_and_leaves_its_record_and_the_rest_get_bye_at_the_stop(
    tmp_path: Path,
) -> None:
    config = configure(tmp_path)
    async with running(config) as server, Rest(server) as rest:
        assert (await rest.get("/healthz"))["status"] == "ok"
        room = await rest.post("/api/v1/conferences", {"topic": "Harvest", "guest_pin": None})
        assert room["uri"] == f"sip:{room['number']}@127.0.0.1:{config.sip.port}"
        path = f"/api/v1/conferences/{room['id']}"

        phone = await Caller.open(server)
        answer = await phone.call(room["number"])
        assert int(re.findall(r"m=audio (\d+)", answer)[0]) in config.media.ports.numbers

        async def joined() -> Any:
            return [p for p in (await rest.get(path + "/participants"))["items"] if p["state"] == "joined"]

        (anna,) = await eventually(joined)
        assert (anna["number"], anna["name"]) == ("375291112233", "Anna")
        phone.say("BYE", room["number"], 2)
        await phone.next("SIP/2.0 200")

        async def ended() -> Any:
            return [leg for leg in (await rest.get(path + "/legs"))["items"] if leg["ended"]]

        (leg,) = await eventually(ended)
        assert (leg["end_kind"], leg["codec"], leg["participant_id"]) == ("remote", "PCMU", anna["id"])
        assert leg["figures"]["packets_sent"] >= 0
        last = await Caller.open(server)
        await last.call(room["number"])
        await eventually(lambda: _joined(server, room["id"]))
    goodbye = await last.next("BYE")
    assert 'text="The server is being stopped"' in goodbye
    store = await Store.open(config.data)
    assert await store.unfinished_legs() == []
    assert [r.end_kind for r in (await store.legs(conference_id=room["id"])).items] == ["server_stopped", "remote"]
    await store.close()


async def _joined(server: Server, conference: str) -> bool:
    people = (await server.service.participants(conference)).items
    return any(p.state == "joined" for p in people)


async def test_the_record_of_a_call_that_we_made_has_its_call_id_and_transport(tmp_path: Path) -> None:
    async with running(configure(tmp_path)) as server:
        room = await server.service.create(CreateConference(), by="op")
        phone = await Caller.open(server)
        add = AddParticipant(number=f"sip:anna@127.0.0.1:{phone.port}", invite=True)
        await server.service.add_participant(room.id, add, by="op")
        invite = await phone.next("INVITE ")
        phone.answer(invite, sdp("127.0.0.1", phone.port, payload="0 101"))
        await phone.next("ACK ")
        await server.service.end(room.id, by="op")
        await phone.next("BYE ")

        async def ended() -> Any:
            return [leg for leg in (await server.store.legs(conference_id=room.id)).items if leg.ended]

        (leg,) = await eventually(ended)
    assert leg.transport == "udp"
    assert f"Call-ID: {leg.call_id}\r\n" in invite


async def test_a_full_mixer_refuses_calls_and_invitations_with_retry_after_and_status_says_so(tmp_path: Path) -> None:
    config = configure(tmp_path, VECHE_MEDIA__MIXERS="1")
    async with running(config, mixer_capacity=1) as server, Rest(server) as rest:
        room = await rest.post("/api/v1/conferences", {"guest_pin": None})
        path = f"/api/v1/conferences/{room['id']}"
        anna, boris = await Caller.open(server), await Caller.open(server)
        await anna.call(room["number"])
        boris.say("INVITE", room["number"], 1, sdp("127.0.0.1", boris.port, payload="0 101"))
        refusal = await boris.next("SIP/2.0 503")
        assert re.search(r"^Retry-After: \d+", refusal, re.MULTILINE)
        assert re.search(r'^Reason: SIP ?;cause=503 ?;text="No room for another call', refusal, re.MULTILINE)
        async with rest.http.post(path + "/participants", json={"number": "101", "invite": True}) as response:
            assert (response.status, response.content_type) == (503, "application/problem+json")
            assert int(response.headers["Retry-After"]) > 0

        async def mixers(taking: bool) -> Any:
            found = (await rest.get("/api/v1/status"))["mixers"]
            return [mixer for mixer in found if mixer["takes_legs"] is taking]

        (full,) = await eventually(lambda: mixers(False))
        assert full["up"]
        assert 0 < full["share"] < 1
        anna.say("BYE", room["number"], 2)
        await eventually(lambda: mixers(True))
        await boris.call(room["number"], sequence=2)


async def test_an_ipv6_offer_without_ipv6_media_is_488(tmp_path: Path) -> None:
    async with running(configure(tmp_path)) as server:
        room = await server.service.create(CreateConference(guest_pin=None), by="op")
        phone = await Caller.open(server)
        phone.say("INVITE", room.number, 1, sdp("::1", phone.port, payload="0 101"))
        refusal = await phone.next("SIP/2.0 4")
        assert refusal.startswith("SIP/2.0 488")
        assert "Warning: 301 " in refusal


async def test_a_deploy_is_announced_and_planned_conferences_start_with_the_next_server(tmp_path: Path) -> None:
    config = configure(tmp_path)
    kinds: list[str] = []

    async def listen(socket: aiohttp.ClientWebSocketResponse) -> int | None:
        kinds.extend([message.json()["kind"] async for message in socket])
        return socket.close_code

    async with contextlib.AsyncExitStack() as clients:
        async with running(config) as server:
            rest = await clients.enter_async_context(Rest(server))
            room = await rest.post("/api/v1/conferences", {"guest_pin": None})
            now = datetime.now(UTC)
            missed, later = [
                (await rest.post("/api/v1/conferences", {"start": (now + timedelta(seconds=ahead)).isoformat()}))["id"]
                for ahead in (0.5, 4)
            ]
            phone = await Caller.open(server)
            await phone.call(room["number"])
            await eventually(lambda: _joined(server, room["id"]))
            first = server.store.committed_seq
            socket = await rest.http.ws_connect(f"/api/v1/events?since={first}")
            listener = asyncio.create_task(listen(socket))
        assert await listener == 1001
    assert kinds.index("server.stopping") < kinds.index("participant.left")
    assert 'text="The server is being stopped"' in await phone.next("BYE")
    await asyncio.sleep((now + timedelta(seconds=0.5) - datetime.now(UTC)).total_seconds())
    async with running(config) as server, Rest(server) as rest:
        assert (await rest.get(f"/api/v1/conferences/{missed}"))["state"] == "waiting"

        async def started() -> Any:
            return (await rest.get(f"/api/v1/conferences/{later}"))["state"] == "waiting"

        await eventually(started)
        events = await server.store.events(after=first, conference_id=later)
        assert [event.kind for event in events] == ["conference.started"]
        assert events[0].time >= now + timedelta(seconds=4)


async def test_a_phone_that_answers_with_several_codecs_is_bound_to_one_by_a_reinvite(tmp_path: Path) -> None:
    async with running(configure(tmp_path)) as server:
        room = await server.service.create(CreateConference(guest_pin=None), by="op")
        phone = await Caller.open(server)
        await phone.call(room.number, None, sdp("127.0.0.1", phone.port, payload="8 0 101"))
        reinvite = await phone.next("INVITE ")
        audio = re.findall(r"m=audio \d+ RTP/AVP (.*)\r", reinvite)[0].split()
        assert [number for number in audio if f"a=rtpmap:{number} telephone-event" not in reinvite] == ["8"]
        phone.answer(reinvite, sdp("127.0.0.1", phone.port, payload="8 101", version=2))
        await phone.next("ACK ")
        (leg,) = server.service.calls.legs.values()
        assert leg.negotiation.session is not None
        assert (leg.negotiation.session.codec, leg.negotiation.session.several) == ("PCMA", False)


@pytest.mark.parametrize(
    ("setting", "kind", "key"),
    [
        ("VECHE_HTTP__PORT", socket.SOCK_STREAM, "http.port"),
        ("VECHE_SIP__PORT", socket.SOCK_DGRAM, "sip.port"),
        ("VECHE_MEDIA__PORTS", socket.SOCK_DGRAM, "media.ports"),
    ],
)
async def test_a_port_in_use_stops_the_start_with_one_line_naming_the_setting(
    tmp_path: Path, setting: str, kind: socket.SocketKind, key: str
) -> None:
    with socket.socket(socket.AF_INET, kind) as other:
        other.bind(("127.0.0.1", 0))
        if kind is socket.SOCK_STREAM:
            other.listen()
        port = str(other.getsockname()[1])
        with pytest.raises(StartError) as caught:
            async with running(configure(tmp_path, **{setting: port})):
                raise AssertionError("it started")
    line = str(caught.value)
    assert line.startswith(f"{key}: ")
    assert port in line
    assert "in use" in line
    assert "\n" not in line


def test_a_start_that_fails_ends_with_status_2_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    async def refuse(config: Config) -> None:
        raise StartError("sip.port: cannot listen on 127.0.0.1 port 5060: Address already in use")

    monkeypatch.setattr(server_module, "_serve", refuse)
    monkeypatch.setattr("control.logging.configure", lambda config: None)
    with pytest.raises(SystemExit) as caught:
        run(Config())
    assert caught.value.code == 2
    assert capsys.readouterr().err == (
        "veche: sip.port: cannot listen on 127.0.0.1 port 5060: Address already in use\n"
    )
