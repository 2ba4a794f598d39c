"""The live events: resuming without gap or duplicate, filters, rights, slow clients."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import WSMsgType
from yarl import URL

from control.http import feed
from control.store.records import EventRecord
from tests.control.edge import Edge, take

NOW = datetime(2026, 11, 22, tzinfo=UTC)


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with Edge(tmp_path) as running:
        yield running


def append(edge: Edge, count: int, conference: str | None = None, **data: Any) -> list[int]:
    return [edge.store.append("test.happened", conference=conference, data={"n": n, **data}) for n in range(count)]


async def closed(socket: aiohttp.ClientWebSocketResponse) -> tuple[int | None, str]:
    """Read to the end: the close code and reason."""
    async with asyncio.timeout(10):
        while (message := await socket.receive()).type is WSMsgType.TEXT:
            pass
    assert message.type is WSMsgType.CLOSE
    return message.data, message.extra or ""


async def test_b30_every_command_is_seen_as_an_event(edge: Edge) -> None:
    async with edge.events() as socket:
        made = await edge.make(topic="x")
        await edge.ask("POST", f"conferences/{made['id']}/lock")
        events = await take(socket, 3)
    assert [event["kind"] for event in events] == ["conference.created", "conference.started", "conference.locked"]
    assert events[0].keys() == {"seq", "time", "kind", "conference", "data"}
    assert events[0]["conference"] == made["id"]
    assert events[2]["data"]["by"] == "desk"
    assert events[0]["time"].endswith("Z")


async def test_a_client_resumes_from_a_sequence_number_into_the_live_events(edge: Edge) -> None:
    before = append(edge, 5)
    await edge.store.flush()
    async with edge.events(f"?since={before[1]}") as socket:
        assert [event["seq"] for event in await take(socket, 3)] == before[2:]
        after = append(edge, 2)
        assert [event["seq"] for event in await take(socket, 2)] == after


async def test_a_client_without_since_gets_only_what_happens_from_now_on(edge: Edge) -> None:
    append(edge, 3)
    await edge.store.flush()
    async with edge.events() as socket:
        await asyncio.sleep(0)
        after = append(edge, 1)
        assert [event["seq"] for event in await take(socket, 1)] == after


async def test_no_gap_and_no_duplicate_while_events_keep_coming(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "PAGE", 7)
    sent = append(edge, 100)
    await edge.store.flush()

    async def go_on() -> None:
        for _ in range(30):
            sent.extend(append(edge, 10))
            await edge.store.flush()

    producer = asyncio.create_task(go_on())
    async with edge.events("?since=0") as socket:
        got = [event["seq"] for event in await take(socket, 400)]
    await producer
    assert got == sent


async def test_events_survive_a_restart_and_the_numbers_go_on(tmp_path: Path) -> None:
    async with Edge(tmp_path) as edge:
        first = append(edge, 3)
    async with Edge(tmp_path) as edge:
        second = append(edge, 1)
        async with edge.events(f"?since={first[0]}") as socket:
            events = await take(socket, 4)
    assert [event["seq"] for event in events if event["kind"] != "server.stopping"] == first[1:] + second
    assert second[0] > first[-1]


async def test_one_conference_can_be_watched_alone(edge: Edge) -> None:
    one, two = await edge.make(), await edge.make()
    async with edge.events(f"?since=0&conference={two['id']}") as socket:
        append(edge, 1, one["id"])
        mine = append(edge, 1, two["id"])
        events = await take(socket, 3)
    assert {event["conference"] for event in events} == {two["id"]}
    assert events[-1]["seq"] == mine[0]


async def test_n6_a_monitor_sees_masked_numbers_and_an_operator_whole_ones(edge: Edge) -> None:
    async with (
        edge.events() as whole,
        edge.events(token=edge.monitor) as masked,
        edge.events("?since=0", token=edge.monitor) as replayed,
    ):
        made = await edge.make()
        await edge.ask("POST", f"conferences/{made['id']}/participants", {"number": "375291234567"})
        for socket, number in ((whole, "375291234567"), (masked, "**********67"), (replayed, "**********67")):
            events = await take(socket, 3)
            assert events[0]["data"]["number"] == made["number"]
            assert events[2]["data"]["number"] == number
    page = (await edge.ask("GET", "events", token=edge.monitor))[1]
    assert page["items"][2]["data"]["number"] == "**********67"


# --- who may ---------------------------------------------------------------------------------------------------------


async def test_a_browser_gives_its_token_as_subprotocol(edge: Edge) -> None:
    protocols = ("veche.events.v1", f"bearer.{edge.operator}")
    async with edge.events("?since=0", token=None, protocols=protocols) as socket:
        assert socket.protocol == "veche.events.v1"
        append(edge, 1)
        assert len(await take(socket, 1)) == 1


async def test_a_browser_gives_its_token_as_first_message(edge: Edge) -> None:
    async with edge.events("?since=0", token=None) as socket:
        append(edge, 1)
        await socket.send_json({"token": edge.operator})
        assert len(await take(socket, 1)) == 1


@pytest.mark.parametrize("message", ['{"token": "wrong"}', '{"token": 7}', "[]", "nonsense"])
async def test_a_wrong_first_message_is_the_last_one(edge: Edge, message: str) -> None:
    append(edge, 1)
    async with edge.events("?since=0", token=None) as socket:
        await socket.send_str(message)
        code, reason = await closed(socket)
    assert code == 1008
    assert "token" in reason


async def test_a_client_that_never_signs_in_is_closed(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "SIGN_IN_SECONDS", 0.01)
    async with edge.events(token=None) as socket:
        assert (await closed(socket))[0] == 1008


@pytest.mark.parametrize(
    ("query", "more", "status"),
    [
        ("", {"token": "wrong"}, 401),
        ("", {"token": None, "protocols": ("veche.events.v1", "bearer.wrong")}, 401),
        ("?since=-1", {}, 422),
        ("?since=99", {}, 422),
        ("?conference=none", {}, 404),
    ],
)
async def test_a_request_that_cannot_be_served_is_refused_before_the_upgrade(
    edge: Edge, query: str, more: dict[str, Any], status: int
) -> None:
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        async with edge.events(query, **more):
            pass
    assert refusal.value.status == status


async def test_a_token_revoked_later_ends_its_events(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "RECHECK_SECONDS", 0.01)
    token, record = await edge.tokens.create("gone", ["monitor"])
    async with edge.events(token=token) as socket:
        await edge.tokens.revoke(record.id)
        code, reason = await closed(socket)
    assert code == 1008
    assert "revoked" in reason


# --- limits ----------------------------------------------------------------------------------------------------------


async def test_a_slow_client_is_closed_with_1013_and_can_resume(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "QUEUE", 10)
    async with edge.events("?since=0") as slow, edge.events() as other:
        sent = append(edge, 100)
        await edge.store.flush()
        got = []
        async with asyncio.timeout(10):
            while (message := await slow.receive()).type is WSMsgType.TEXT:
                got.append(message.json()["seq"])
        assert message.data == 1013
        assert got == sent[: len(got)]
        assert len(got) < len(sent)
        assert not other.closed
    async with edge.events(f"?since={got[-1] if got else 0}") as again:
        assert [event["seq"] for event in await take(again, len(sent) - len(got))] == sent[len(got) :]


def test_a_client_that_missed_an_event_gets_no_later_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "QUEUE", 2)
    subscriber = feed.Subscriber(None, deque(), asyncio.Event())
    events = [feed.Shared(EventRecord(seq=n, time=NOW, kind="x", conference=None, data={})) for n in range(4)]
    for event in events[:3]:
        subscriber.put(event)
    subscriber.queue.popleft()
    subscriber.put(events[3])
    assert [event.record.seq for event in subscriber.queue] == [1]
    assert subscriber.overrun


async def test_too_many_clients_are_asked_to_come_later(edge: Edge, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed, "MAX_CLIENTS", 1)
    async with edge.events():
        with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
            async with edge.events():
                pass
    assert refusal.value.status == 503


async def test_a_stopping_server_says_goodbye(edge: Edge) -> None:
    async with edge.events() as socket:
        stopping = asyncio.create_task(edge.server.close())
        assert (await closed(socket))[0] == 1001
        await stopping


async def test_a_stopping_server_tells_every_client_so_and_all_that_came_before(edge: Edge) -> None:
    made = await edge.make(guest_pin=None)
    edge.phones.join(made["number"])
    async with edge.events() as all_, edge.events(f"?conference={made['id']}") as one:
        for socket in (all_, one):  # both have caught up
            await edge.ask("POST", f"conferences/{made['id']}/lock")
            while (await take(socket, 1))[0]["kind"] != "conference.locked":
                pass
            await edge.ask("POST", f"conferences/{made['id']}/unlock")
        await edge.service.stop()
        stopping = asyncio.create_task(edge.server.close())
        for socket in (all_, one):
            kinds = []
            while "participant.left" not in kinds:
                kinds += [event["kind"] for event in await take(socket, 1)]
            assert kinds[-2:] == ["server.stopping", "participant.left"]
            assert (await closed(socket))[0] == 1001
        await stopping


async def test_a_client_that_leaves_is_forgotten(edge: Edge) -> None:
    async with edge.events("?since=0") as socket:
        append(edge, 1)
        await take(socket, 1)
        assert len(edge.server.feed.clients) == 1
    for _ in range(500):
        if not edge.server.feed.clients:
            return
        await asyncio.sleep(0.01)
    pytest.fail("the client is still there")


async def test_events_come_in_pages_too(edge: Edge) -> None:
    sent = append(edge, 5)
    await edge.store.flush()
    status, page, response = await edge.ask("GET", f"events?since={sent[0]}&limit=3")
    assert status == 200
    assert ([item["seq"] for item in page["items"]], page["total"]) == (sent[1:4], 4)
    _, page, response = await edge.ask("GET", str(URL(response.links["next"]["url"]).relative()))
    assert ([item["seq"] for item in page["items"]], page["total"], page["next_cursor"]) == (sent[4:], 4, None)
