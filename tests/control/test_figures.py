"""The network state report: over REST, and live over the WebSocket."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import aiohttp
import pytest

from control import schemas as s
from control.errors import GoneError
from control.http import figures
from control.snapshots import leg_view
from control.store.records import LegRecord
from mixer.protocol import LegStats
from tests.control.doubles import Server
from tests.control.edge import Edge, take
from tests.control.test_service import create, room, settle


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with Edge(tmp_path) as running:
        yield running


def figures_of(server: Server, caller: str, **changed: Any) -> str:
    """A call comes in whose figures are other than usual; gives the participant's id."""
    server.phones.join("200", caller)
    (participant,) = [p for c in server.service.registry.conferences.values() for p in c.roster if p.number == caller]
    assert participant.leg is not None
    server.media.figures[participant.leg] = changed
    return participant.id


async def test_b33_a_participants_figures_are_all_that_the_mixer_measures() -> None:
    measured = {field.name for field in fields(LegStats)} - {"leg", "talking"}
    assert set(s.LegFigures.model_fields) == measured
    server = Server()
    view = await room(server)
    figures_of(server, "375291112233", mos=3.9, burst_ratio=1.7)
    (row,) = (await server.service.live(view.id)).participants
    assert row.figures is not None
    assert (row.figures.mos, row.figures.burst_ratio, row.figures.loss_fraction) == (3.9, 1.7, 0.01)


async def test_b33_a_call_record_keeps_the_closing_figures_and_an_older_one_is_still_shown() -> None:
    server = Server()
    view = await room(server)
    server.phones.bye(server.phones.join("200"))
    await settle(server)
    (cdr,) = (await server.service.legs(view.id, s.ListLegs())).items
    assert cdr.figures is not None
    assert (cdr.figures.mos, cdr.figures.rating, cdr.figures.talk_seconds) == (4.3, 90.0, 2.5)
    old = {k: v for k, v in cdr.figures.model_dump().items() if k not in {"mos", "rating", "loss_fraction"}}
    shown = leg_view(LegRecord(id="l", direction="in", started=datetime.now(UTC), media=old)).figures
    assert shown is not None
    assert (shown.mos, shown.packets_lost) == (None, 5)


async def test_s24_the_network_report_sums_up_how_everybody_is_served() -> None:
    server = Server()
    view = await room(server)
    good = figures_of(server, "375291111111", mos=4.4, loss_fraction=0.0)
    here = figures_of(server, "375292222222", mos=2.0, loss_fraction=0.05)
    there = figures_of(server, "375293333333", mos=4.1, loss_fraction=0.0, remote_lost_fraction=0.03)
    silent = figures_of(server, "375294444444", mos=4.4, packets_received=0, remote_lost_fraction=1.0)
    add = s.AddParticipant(number="375295555555", invite=True)
    ringing = (await server.service.add_participant(view.id, add, by="op")).id
    await server.service.add_participant(view.id, s.AddParticipant(number="375296666666"), by="op")
    report = await server.service.network(view.id)
    assert (report.conference_id, report.state) == (view.id, "running")
    assert report.summary == s.NetworkSummary(legs=3, worst_mos=2.0, mean_mos=3.5, lossy=[here, there])
    rows = {row.id: row for row in report.participants}
    assert list(rows) == [good, here, there, silent, ringing]
    assert (rows[good].state, rows[good].codec, rows[good].figures is None) == ("joined", "PCMA", False)
    assert (rows[ringing].state, rows[ringing].codec, rows[ringing].figures) == ("invited", None, None)


async def test_s24_a_report_without_figures_says_so_and_an_ended_conference_has_none() -> None:
    server = Server()
    view = await create(server)
    assert (await server.service.network(view.id)).summary == s.NetworkSummary(
        legs=0, worst_mos=None, mean_mos=None, lossy=[]
    )
    await server.service.end(view.id, by="op")
    with pytest.raises(GoneError):
        await server.service.network(view.id)


async def test_n6_the_report_masks_numbers_for_a_monitor(edge: Edge) -> None:
    made = await edge.make(guest_pin=None)
    edge.phones.join(made["number"], "375291234567", name="Anna")
    path = f"conferences/{made['id']}/network"
    for token, number in ((edge.operator, "375291234567"), (edge.monitor, "**********67")):
        status, report, _ = await edge.ask("GET", path, token=token)
        assert (status, report["participants"][0]["number"]) == (200, number)


# --- live ------------------------------------------------------------------------------------------------------------


async def reports(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """The next ``count`` figures; events between them are passed over."""
    found: list[dict[str, Any]] = []
    while len(found) < count:
        found += [message for message in await take(socket, 1) if message["kind"] == "conference.figures"]
    return found


async def test_s24_figures_come_live_between_the_events_and_have_no_number(
    edge: Edge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(figures, "BEAT_SECONDS", 0.01)
    made = await edge.make(guest_pin=None)
    edge.phones.join(made["number"], "375291234567")
    async with (
        edge.events(f"?conference={made['id']}&figures=1") as socket,
        edge.events(f"?conference={made['id']}&figures=1", token=edge.monitor) as masked,
    ):
        (report,) = await reports(socket, 1)
        assert report.keys() == {"kind", "time", "conference", "data"}
        assert report["conference"] == made["id"]
        assert report["data"]["summary"]["worst_mos"] == 4.3
        assert report["data"]["participants"][0]["number"] == "375291234567"
        assert (await reports(masked, 1))[0]["data"]["participants"][0]["number"] == "**********67"
        await edge.ask("POST", f"conferences/{made['id']}/lock")
        while (message := (await take(socket, 1))[0])["kind"] == "conference.figures":
            pass
        assert message["kind"] == "conference.locked"
    assert "conference.figures" not in {e["kind"] for e in (await edge.ask("GET", "events"))[1]["items"]}


async def test_s24_one_query_serves_all_clients_of_a_conference(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(figures, "BEAT_SECONDS", 0.0)
    server = Server()
    view = await room(server)
    server.phones.join("200")
    hub = figures.Figures(server.service.network)
    got: dict[str, list[Any]] = {"every": [], "third": [], "other": []}
    done = asyncio.Event()

    def third(report: figures.SharedReport) -> None:
        got["third"].append(report)
        if len(got["third"]) == 4:
            done.set()

    for name in ("every", "other"):
        hub.join(view.id, 1, got[name].append)
    hub.join(view.id, 3, third)
    await asyncio.wait_for(done.wait(), 10)
    hub.close()
    assert got["every"][2::3][:4] == got["third"]
    assert got["every"] == got["other"]
    assert server.media.queries == len(got["every"]) >= 12


async def test_figures_come_while_a_conference_runs_and_nobody_asks_once_all_clients_are_gone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(figures, "BEAT_SECONDS", 0.0)
    server = Server()
    view = await room(server)
    hub = figures.Figures(server.service.network)
    got: list[Any] = []
    hub.join(view.id, 1, got.append)

    async def pass_beats() -> None:
        for _ in range(20):
            await asyncio.sleep(0)

    await pass_beats()
    assert got == [], "nobody has been in yet"
    server.phones.join("200")
    await pass_beats()
    assert got
    hub.leave(view.id, got.append)
    queries = server.media.queries
    await pass_beats()
    assert server.media.queries == queries
    hub.join(view.id, 1, got.append)
    await server.service.end(view.id, by="op")
    await settle(server)
    got.clear()
    await pass_beats()
    assert got == []


@pytest.mark.parametrize("query", ["?figures=1", "?figures=0", "?figures=61", "?figures=x"])
async def test_figures_need_a_conference_and_a_sensible_interval(edge: Edge, query: str) -> None:
    status, problem, _ = await edge.ask("GET", f"events{query}")
    assert status == 422
    assert problem["errors"][0]["parameter"] == "figures"
    with pytest.raises(aiohttp.WSServerHandshakeError) as refusal:
        async with edge.events(query):
            pass
    assert refusal.value.status == 422
