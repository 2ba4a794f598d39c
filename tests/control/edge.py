"""A whole HTTP edge for tests: real aiohttp on a loopback port, real SQLite file, real service between doubles."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import aiohttp

from control.accounts import Accounts
from control.commands import COMMANDS
from control.config import ConferenceConfig, DataConfig, HttpConfig
from control.http.app import Health, HttpServer
from control.service import ConferenceService
from control.store import Store
from control.tokens import Tokens
from tests.control.doubles import Media, Phones

REALM = "127.0.0.1"


class Edge:
    """``ask`` is a client of the running server; ``operator`` and ``monitor`` are tokens."""

    def __init__(self, folder: Path, dist: Path | None = None) -> None:
        self._folder = folder
        self._dist = dist or folder / "no-portal"
        self.components: dict[str, str | None] = {"mixer": None, "sip": None}
        self.commands = dict(COMMANDS)

    async def __aenter__(self) -> Self:
        self.store = await Store.open(DataConfig(dir=self._folder), exclusive=True)
        self.phones, self.media = Phones(), Media()
        self.service = ConferenceService(
            self.store, self.phones, self.media, ConferenceConfig(), sip_host="127.0.0.1", clock=time.time
        )
        await self.service.start()
        self.accounts = Accounts(self.store, REALM)
        self.tokens = Tokens(self.store)
        self.operator, _ = await self.tokens.create("desk", ["operator"])
        self.monitor, _ = await self.tokens.create("wall", ["monitor"])
        self.server = HttpServer(
            HttpConfig(port=0),
            service=self.service,
            store=self.store,
            accounts=self.accounts,
            health=lambda: Health(self.components, "1.2.3", ("127.0.0.1", 5060)),
            commands=self.commands,
            dist=self._dist,
        )
        await self.server.start()
        host, port = self.server.address
        self.url = f"http://{host}:{port}"
        self.client = aiohttp.ClientSession(self.url)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.client.close()
        await self.server.close()
        await self.service.stop()
        await self.store.close()

    async def ask(
        self, method: str, path: str, body: Any = None, *, token: str | None = "", **more: Any
    ) -> tuple[int, Any, aiohttp.ClientResponse]:
        """(status, JSON or text, response). ``token`` "" stands for the operator's, None for none."""
        headers = dict(more.pop("headers", {}))
        if token is not None:
            headers["Authorization"] = f"Bearer {token or self.operator}"
        if body is not None:
            more["json"] = body
        path = path if path.startswith("/") else f"/api/v1/{path}"
        async with self.client.request(method, path, headers=headers, **more) as response:
            text = await response.text()
            is_json = "json" in response.content_type and text
            return response.status, await response.json(content_type=None) if is_json else text, response

    async def make(self, **fields: Any) -> dict[str, Any]:
        """A conference made over the API."""
        status, conference, _ = await self.ask("POST", "conferences", fields)
        assert status == 201, conference
        return dict(conference)

    @asynccontextmanager
    async def events(
        self, query: str = "", token: str | None = "", **more: Any
    ) -> AsyncIterator[aiohttp.ClientWebSocketResponse]:
        """The live events."""
        headers = {} if token is None else {"Authorization": f"Bearer {token or self.operator}"}
        async with self.client.ws_connect(f"/api/v1/events{query}", headers=headers, **more) as socket:
            yield socket


async def take(socket: aiohttp.ClientWebSocketResponse, count: int) -> list[dict[str, Any]]:
    """The next ``count`` events."""
    async with asyncio.timeout(10):
        return [await socket.receive_json() for _ in range(count)]
