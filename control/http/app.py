"""The HTTP edge put together: routes, events, portal, and what holds for every request."""

from __future__ import annotations

import asyncio
import contextlib
import re
import secrets
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import structlog
from aiohttp import web

from control.accounts import Accounts
from control.commands import API, COMMANDS, Command
from control.config import HttpConfig
from control.http import openapi
from control.http.feed import Feed
from control.http.pages import DIST, Pages
from control.http.problems import problem_of
from control.http.replay import Replays
from control.http.routes import Routes
from control.service import ConferenceService
from control.store import Store, StoreError
from control.tokens import Tokens

MAX_BODY = 1 << 20
REQUEST_SECONDS = 30.0
SHUTDOWN_SECONDS = 3.0
PURGE_SECONDS = 3600.0
PING_SECONDS = 2.0

_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")
_HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "geolocation=(), payment=(), usb=()",
    "Server": "Veche",
}

log = structlog.get_logger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass(frozen=True, slots=True)
class Health:
    """What /healthz tells. ``components``: by name, None when it is up, else why not."""

    components: Mapping[str, str | None]
    version: str
    sip: tuple[str, int] | None = None
    """Where phones reach us."""


class HttpServer:
    """The API, the events and the portal on one port.

    ``health`` is asked by /healthz for everything but the store. ``commands`` and ``dist`` are parameters for tests.
    """

    def __init__(
        self,
        config: HttpConfig,
        *,
        service: ConferenceService,
        store: Store,
        accounts: Accounts,
        health: Callable[[], Health],
        commands: Mapping[str, Command] = COMMANDS,
        dist: Path = DIST,
    ) -> None:
        self._config = config
        self._store = store
        self._health = health
        tokens = Tokens(store)
        self.feed = Feed(store, tokens, service.network)
        self._replays = Replays(store)
        self._purger: asyncio.Task[None] | None = None
        self._runner: web.AppRunner | None = None
        self._document = openapi.document(commands, health().version)
        self.app = web.Application(client_max_size=MAX_BODY, middlewares=[_edge])
        router = self.app.router
        Routes(commands, service, accounts, tokens, self._replays).add_to(router)
        router.add_get(f"{API}/events", self.feed.handle)
        router.add_get(f"{API}/openapi.json", self._openapi)
        router.add_get("/healthz", self._healthz)
        Pages(dist).add_to(router)

    async def start(self) -> None:
        """Listen. Raises OSError when the address cannot be had."""
        self._runner = web.AppRunner(
            self.app, access_log=None, handle_signals=False, shutdown_timeout=SHUTDOWN_SECONDS, keepalive_timeout=75
        )
        await self._runner.setup()
        await web.TCPSite(self._runner, self._config.host, self._config.port).start()
        self._purger = asyncio.create_task(self._purge(), name="idempotency purger")

    async def close(self) -> None:
        if self._purger is not None:
            self._purger.cancel()
            await asyncio.gather(self._purger, return_exceptions=True)
        await self.feed.close()
        if self._runner is not None:
            await self._runner.cleanup()

    @property
    def address(self) -> tuple[str, int]:
        """Where it listens, the real port instead of 0."""
        assert self._runner is not None, "start() first"
        host, port = self._runner.addresses[0][:2]
        return host, port

    async def _purge(self) -> None:
        while True:
            with contextlib.suppress(StoreError):
                await self._replays.purge()
            await asyncio.sleep(PURGE_SECONDS)

    async def _openapi(self, request: web.Request) -> web.StreamResponse:
        return web.json_response(self._document, headers={"Cache-Control": "no-cache"})

    async def _healthz(self, request: web.Request) -> web.StreamResponse:
        health = self._health()
        components = {"store": await self._store_failure(), **health.components}
        up = not any(components.values())
        body = {
            "status": "ok" if up else "failing",
            "version": health.version,
            "sip": None if health.sip is None else {"host": health.sip[0], "port": health.sip[1]},
            "components": {name: {"ok": failure is None, "detail": failure} for name, failure in components.items()},
        }
        return web.json_response(body, status=200 if up else 503, headers={"Cache-Control": "no-store"})

    async def _store_failure(self) -> str | None:
        if self._store.failure is not None:
            return self._store.failure
        try:
            async with asyncio.timeout(PING_SECONDS):
                await self._store.ping()
        except StoreError as error:
            return str(error)
        except TimeoutError:
            return f"the database has not answered for {PING_SECONDS:g} seconds"
        return None


@web.middleware
async def _edge(request: web.Request, handler: Handler) -> web.StreamResponse:
    """For every request: an id, a time limit, errors as problems, security headers, one line in the log."""
    given = request.headers.get("X-Request-Id", "")
    name = given if _REQUEST_ID.fullmatch(given) else secrets.token_hex(8)
    started = time.perf_counter()
    with structlog.contextvars.bound_contextvars(request=name):
        try:
            response = await _guarded(request, handler)
        except Exception as error:
            response = problem_of(error).response(name)
        if not response.prepared:
            response.headers.update(_HEADERS)
            response.headers["X-Request-Id"] = name
            if request.path.startswith(API + "/"):
                response.headers.setdefault("Cache-Control", "no-store")
        took = round((time.perf_counter() - started) * 1000, 1)
        log.info("http", method=request.method, path=request.path, status=response.status, ms=took)
    return response


async def _guarded(request: web.Request, handler: Handler) -> web.StreamResponse:
    if "Upgrade" in request.headers:
        return await handler(request)
    try:
        async with asyncio.timeout(REQUEST_SECONDS):
            return await handler(request)
    except web.HTTPMethodNotAllowed as error:
        if request.method != "OPTIONS":
            raise
        allow = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        return web.Response(status=204, headers={"Allow": allow})
