"""Idempotency-Key: a creation asked for twice happens once and is answered twice (mission N12).

In one process duplicates wait for the first. Across a crash the claimed key stays, and the command runs again under
the same ``request_key``, by which it finds what it has made already.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from control.errors import CommandError
from control.http.problems import InvalidField, ProblemError
from control.store import Store
from control.store.records import IdempotencyRecord

KEPT = timedelta(hours=24)
MAX_KEY = 255


@dataclass(frozen=True, slots=True)
class Answer:
    """What a creation was answered with."""

    status: int
    body: dict[str, Any]
    replayed: bool = False


class Replays:
    """The keys of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store
        self._locks: dict[tuple[str, str], tuple[asyncio.Lock, int]] = {}

    async def once(self, token: str, key: str, request: bytes, work: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Do ``work(request_key)`` unless it was done under this key before; ``request`` tells requests apart.

        Raises a 422 problem for a key used with another request, and whatever ``work`` raises.
        """
        if not 1 <= len(key) <= MAX_KEY or not key.isascii() or not key.isprintable():
            raise ProblemError(
                400,
                "bad-request",
                "Bad Request",
                f"Idempotency-Key must have 1 to {MAX_KEY} printable ASCII characters",
            )
        slot = (token, key)
        lock, users = self._locks.get(slot, (asyncio.Lock(), 0))
        self._locks[slot] = (lock, users + 1)
        try:
            async with lock:
                return await self._once(token, key, self._store.sealer.fingerprint(request), work)
        finally:
            lock, users = self._locks.pop(slot)
            if users > 1:
                self._locks[slot] = (lock, users - 1)

    async def _once(self, token: str, key: str, fingerprint: str, work: Callable[[str], Awaitable[Answer]]) -> Answer:
        record = IdempotencyRecord(token=token, key=key, fingerprint=fingerprint, created=datetime.now(UTC))
        earlier = await self._store.idempotency.claim(record)
        if earlier is not None and record.created - earlier.created >= KEPT:
            await self._store.idempotency.forget(token, key)
            earlier = await self._store.idempotency.claim(record)
        if earlier is not None:
            if earlier.fingerprint != fingerprint:
                detail = "this Idempotency-Key was used with another request; use a new key for a new request"
                field = InvalidField("Idempotency-Key", detail, parameter=True)
                raise ProblemError(
                    422, "idempotency-key-reused", "The key belongs to another request", detail, fields=[field]
                )
            if earlier.status is not None:
                return Answer(earlier.status, json.loads(earlier.body), replayed=True)
            record = earlier
        name = f"{token}:{key}:{record.created.isoformat()}"
        try:
            answer = await work(self._store.sealer.fingerprint(name.encode()))
        except CommandError:
            await self._store.idempotency.forget(token, key)
            raise
        body = json.dumps(answer.body, ensure_ascii=False)
        await self._store.idempotency.finish(replace(record, status=answer.status, body=body))
        return answer

    async def purge(self) -> int:
        """Forget what is too old to be repeated. Returns how many."""
        return await self._store.idempotency.purge(datetime.now(UTC) - KEPT)
