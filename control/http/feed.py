"""The events as clients get them: pages over GET, and a live WebSocket that resumes where the client left off.

A WebSocket client first gets what the store holds after its ``since``, then is subscribed at the very moment it has
caught up with the newest committed event: nothing is missed, nothing comes twice. A client that cannot keep up is
closed with 1013 (RFC 6455 registry, "try again later") and resumes from the store; it never holds up the others.

A client that asks for ``figures`` gets its conference's network reports in between (control.http.figures); they are not
events, have no number, and one that was not taken in time is replaced by the next.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

import structlog
from aiohttp import WSCloseCode, WSMsgType, web
from pydantic import BaseModel, ConfigDict, Field

from control.http.bearer import Caller, recognise, token_in
from control.http.figures import Figures, MakeReport, SharedReport
from control.http.privacy import event_view
from control.http.problems import ProblemError, invalid_parameter
from control.http.query import check, read
from control.store import Store, StoreError
from control.store.records import EventRecord
from control.tokens import Scope, Tokens

PROTOCOL = "veche.events.v1"
BEARER_PROTOCOL = "bearer."
SCOPES = frozenset({Scope.OPERATOR, Scope.MONITOR})
QUEUE = 1000
MAX_CLIENTS = 1000
PAGE = 500
SIGN_IN_SECONDS = 10.0
SEND_SECONDS = 20.0
RECHECK_SECONDS = 30.0
HEARTBEAT_SECONDS = 20.0
CLOSE_SECONDS = 3.0

log = structlog.get_logger(__name__)


class EventQuery(BaseModel):
    """Which events to give."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    since: int | None = Field(None, ge=0, le=2**63 - 1, description="Only events after this sequence number")
    conference: str | None = Field(
        None, max_length=64, description="Only events of this conference (its id), and live those of the server"
    )
    figures: int | None = Field(
        None,
        ge=1,
        le=60,
        description="Over a WebSocket, and with ``conference``: a ``conference.figures`` message every so many seconds",
    )
    limit: int = Field(100, ge=1, le=PAGE, description="Page size; of no meaning for a WebSocket")
    cursor: str | None = Field(None, pattern=r"^\d{1,18}$", description="``next_cursor`` of the page before")


class EventView(BaseModel):
    """Something that happened."""

    seq: int = Field(description="Rises over all conferences; numbers need not be consecutive")
    time: datetime
    kind: str
    conference: str | None
    data: dict[str, Any]


class EventPage(BaseModel):
    """One page of events."""

    items: list[EventView]
    next_cursor: str | None = Field(description="Give it as ``cursor`` for the next page; null on the last one")
    total: int = Field(description="How many there are after ``since``, on all pages")


class Shared:
    """An event with its JSON made once for all clients that may see the same of it."""

    def __init__(self, record: EventRecord) -> None:
        self.record = record

    @cached_property
    def full(self) -> str:
        return _json(self.record, numbers=True)

    @cached_property
    def masked(self) -> str:
        return _json(self.record, numbers=False)


def _json(record: EventRecord, *, numbers: bool) -> str:
    return json.dumps(event_view(record, numbers=numbers), ensure_ascii=False)


@dataclass(slots=True, eq=False)
class Subscriber:
    """One live client: its bounded queue."""

    conference: str | None
    queue: deque[Shared]
    filled: asyncio.Event
    sent: asyncio.Event = field(default_factory=asyncio.Event)
    """Nothing waits to be sent."""
    overrun: bool = False
    report: SharedReport | None = None
    """The newest one, if it has not been sent yet."""

    def put(self, event: Shared) -> None:
        if self.conference is not None and event.record.conference not in {self.conference, None}:
            return
        if self.overrun or len(self.queue) >= QUEUE:
            # from the first one left out on nothing more, else the client would resume after a gap
            self.overrun = True
        else:
            self.queue.append(event)
        self.sent.clear()
        self.filled.set()

    def put_report(self, report: SharedReport) -> None:
        self.report = report
        self.filled.set()


class TooSlowError(Exception):
    """A client did not take its events in time."""


class Feed:
    """The events of one store for all clients."""

    def __init__(self, store: Store, tokens: Tokens, report: MakeReport) -> None:
        self._store = store
        self._tokens = tokens
        self._subscribers: set[Subscriber] = set()
        self._figures = Figures(report)
        self.clients: set[web.WebSocketResponse] = set()
        """Those connected now."""
        self._unsubscribe: Callable[[], None] = store.subscribe(self._published)

    async def close(self) -> None:
        """Say goodbye to all clients once they got what is theirs."""
        self._unsubscribe()
        self._figures.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.gather(*(subscriber.sent.wait() for subscriber in tuple(self._subscribers)))
        await asyncio.gather(
            *(_close(socket, WSCloseCode.GOING_AWAY, "the server is being stopped") for socket in tuple(self.clients))
        )

    def _published(self, records: list[EventRecord]) -> None:
        if self._subscribers:
            for event in map(Shared, records):
                for subscriber in self._subscribers:
                    subscriber.put(event)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """GET /api/v1/events, as a page or as a WebSocket."""
        if request.headers.get("Upgrade", "").lower() == "websocket":
            return await self._serve(request)
        caller = await recognise(self._tokens, token_in(request))
        caller.require(SCOPES)
        return await self._page(request, await self._query(request), caller)

    async def _query(self, request: web.Request) -> EventQuery:
        query = check(EventQuery, read(request))
        if query.since is not None and query.since > self._store.committed_seq:
            newest = self._store.committed_seq
            raise invalid_parameter("since", f"is ahead of the newest event, {newest}: this server does not know it")
        if query.conference is not None and await self._store.conference(query.conference) is None:
            raise ProblemError(404, "not-found", "Not found", f"there is no conference {query.conference}")
        if query.figures is not None and query.conference is None:
            raise invalid_parameter("figures", "needs conference: the figures are those of one conference")
        return query

    # --- pages -------------------------------------------------------------------------------------------------------

    async def _page(self, request: web.Request, query: EventQuery, caller: Caller) -> web.Response:
        since = query.since or 0
        after = since if query.cursor is None else max(since, int(query.cursor))
        records = await self._store.events(after=after, conference_id=query.conference, limit=query.limit + 1)
        more = len(records) > query.limit
        items = records[: query.limit]
        numbers = Scope.NUMBERS in caller.scopes
        cursor = str(items[-1].seq) if more else None
        response = web.json_response(
            {
                "items": [event_view(record, numbers=numbers) for record in items],
                "next_cursor": cursor,
                "total": await self._store.count_events(after=since, conference_id=query.conference),
            }
        )
        if cursor is not None:
            target = request.rel_url.update_query(cursor=cursor)
            response.headers["Link"] = f'<{target}>; rel="next"'
        return response

    # --- live --------------------------------------------------------------------------------------------------------

    async def _serve(self, request: web.Request) -> web.StreamResponse:
        offered = [part.strip() for part in request.headers.get("Sec-WebSocket-Protocol", "").split(",")]
        in_protocol = next((p.removeprefix(BEARER_PROTOCOL) for p in offered if p.startswith(BEARER_PROTOCOL)), None)
        token = token_in(request) or in_protocol
        caller = None
        if token is not None:
            caller = await recognise(self._tokens, token)
            caller.require(SCOPES)
        query = await self._query(request) if caller is not None else None
        if len(self.clients) >= MAX_CLIENTS:
            detail = f"{MAX_CLIENTS} clients are connected already"
            raise ProblemError(503, "unavailable", "Not available now", detail, headers={"Retry-After": "10"})
        socket = web.WebSocketResponse(
            heartbeat=HEARTBEAT_SECONDS, timeout=CLOSE_SECONDS, protocols=(PROTOCOL,), max_msg_size=4096, compress=False
        )
        await socket.prepare(request)
        self.clients.add(socket)
        try:
            if caller is None:
                token, caller = await self._sign_in(socket)
            await self._stream(socket, query or await self._query(request), caller, token or "")
        except ProblemError as problem:
            await _close(socket, WSCloseCode.POLICY_VIOLATION, problem.detail)
        except TooSlowError:
            await _close(socket, WSCloseCode.TRY_AGAIN_LATER, "too slow; go on with since = the last seq you got")
        except StoreError:
            await _close(socket, WSCloseCode.INTERNAL_ERROR, "the store does not answer")
        except ConnectionError:
            log.debug("event client gone")
        finally:
            self.clients.discard(socket)
        return socket

    async def _sign_in(self, socket: web.WebSocketResponse) -> tuple[str, Caller]:
        """The token out of the client's first message. Raises a problem."""
        token: Any = None
        with contextlib.suppress(TimeoutError, TypeError, ValueError, KeyError):
            token = json.loads(await socket.receive_str(timeout=SIGN_IN_SECONDS))["token"]
        caller = await recognise(self._tokens, token if isinstance(token, str) else None)
        caller.require(SCOPES)
        return str(token), caller

    async def _stream(self, socket: web.WebSocketResponse, query: EventQuery, caller: Caller, token: str) -> None:
        """Send until the client goes, is too slow, or its token is not valid any more."""
        reader = asyncio.create_task(_read(socket), name="event client reader")
        subscriber = Subscriber(query.conference, deque(), asyncio.Event())
        numbers = Scope.NUMBERS in caller.scopes
        writer = asyncio.create_task(self._send(socket, query, subscriber, numbers=numbers), name="event client writer")
        try:
            while True:
                done, _ = await asyncio.wait({reader, writer}, timeout=RECHECK_SECONDS, return_when="FIRST_COMPLETED")
                if writer in done:
                    writer.result()
                if done:
                    return
                await recognise(self._tokens, token)
        finally:
            self._subscribers.discard(subscriber)
            if query.conference is not None:
                self._figures.leave(query.conference, subscriber.put_report)
            for task in (reader, writer):
                task.cancel()
            await asyncio.gather(reader, writer, return_exceptions=True)

    async def _send(
        self, socket: web.WebSocketResponse, query: EventQuery, subscriber: Subscriber, *, numbers: bool
    ) -> None:
        position = self._store.committed_seq if query.since is None else query.since
        while position < self._store.committed_seq:
            upto = self._store.committed_seq
            records = await self._store.events(after=position, upto=upto, conference_id=query.conference, limit=PAGE)
            for record in records:
                await _send(socket, _json(record, numbers=numbers))
            position = records[-1].seq if len(records) == PAGE else upto
        # no await since position was compared: from here on every commit reaches the queue
        self._subscribers.add(subscriber)
        if query.conference is not None and query.figures is not None:
            self._figures.join(query.conference, query.figures, subscriber.put_report)
        while True:
            if not subscriber.filled.is_set():
                subscriber.sent.set()
            await subscriber.filled.wait()
            subscriber.filled.clear()
            while subscriber.queue:
                event = subscriber.queue.popleft()
                await _send(socket, event.full if numbers else event.masked)
            if subscriber.report is not None:
                report, subscriber.report = subscriber.report, None
                await _send(socket, report.full if numbers else report.masked)
            if subscriber.overrun:
                raise TooSlowError


async def _send(socket: web.WebSocketResponse, text: str) -> None:
    try:
        async with asyncio.timeout(SEND_SECONDS):
            await socket.send_str(text)
    except TimeoutError:
        raise TooSlowError from None


async def _read(socket: web.WebSocketResponse) -> None:
    """Take what the client sends, which is of no interest, until it closes; pings are answered meanwhile."""
    while (await socket.receive()).type not in {WSMsgType.CLOSE, WSMsgType.CLOSING, WSMsgType.CLOSED, WSMsgType.ERROR}:
        pass


async def _close(socket: web.WebSocketResponse, code: int, reason: str) -> None:
    """Close without waiting for a client that reads nothing; a reason has at most 123 bytes (RFC 6455 section 5.5)."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async with asyncio.timeout(CLOSE_SECONDS):
            await socket.close(code=code, message=reason.encode()[:123])
