"""Bearer tokens of the API: made, listed, revoked, and recognised.

A token is 256 random bits, so its SHA-256 is all that is kept: nobody finds 256 bits by trying, however fast the hash,
and a slow one would only make every request slow.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterable
from datetime import UTC, datetime, timedelta
from enum import StrEnum

from control.errors import ConflictError, InvalidInputError, NotFoundError
from control.secrets import hash_token, new_token
from control.store import Store
from control.store.records import TokenRecord

MAX_NAME = 80
USED_EVERY = timedelta(minutes=1)
"""How exact ``last_used`` is: writing it at every request would cost more than the request."""


class Scope(StrEnum):
    """What a token allows."""

    ADMIN = "admin"
    """Everything."""
    OPERATOR = "operator"
    """Run conferences, see phone numbers and PINs."""
    MONITOR = "monitor"
    """Look only; phone numbers are masked, PINs hidden."""
    NUMBERS = "numbers"
    """See phone numbers; given with monitor."""


IMPLIED: dict[Scope, frozenset[Scope]] = {
    Scope.ADMIN: frozenset(Scope),
    Scope.OPERATOR: frozenset({Scope.OPERATOR, Scope.MONITOR, Scope.NUMBERS}),
    Scope.MONITOR: frozenset({Scope.MONITOR}),
    Scope.NUMBERS: frozenset({Scope.NUMBERS}),
}


def allowed(scopes: Iterable[str]) -> frozenset[str]:
    """The scopes given and all they imply."""
    return frozenset(implied for scope in scopes if scope in set(Scope) for implied in IMPLIED[Scope(scope)])


def sufficient(required: Collection[str]) -> list[str]:
    """The scopes that allow what needs one of ``required``, those that imply one included."""
    return [scope.value for scope in Scope if not IMPLIED[scope].isdisjoint(required)]


class Tokens:
    """The tokens of one server."""

    def __init__(self, store: Store) -> None:
        self._store = store

    async def create(
        self, name: str, scopes: Iterable[str], *, lifetime: timedelta | None = None
    ) -> tuple[str, TokenRecord]:
        """A new token and its record. The token itself is nowhere kept. Raises InvalidInputError."""
        name = name.strip()
        if not 1 <= len(name) <= MAX_NAME or not name.isprintable():
            raise InvalidInputError(f"must have 1 to {MAX_NAME} printable characters", field="/name")
        wanted = sorted(set(scopes))
        unknown = [scope for scope in wanted if scope not in set(Scope)]
        if unknown or not wanted:
            given = repr(unknown[0]) if unknown else "nothing"
            raise InvalidInputError(f"{given} is not a scope; scopes are {', '.join(Scope)}", field="/scopes")
        if lifetime is not None and lifetime <= timedelta():
            raise InvalidInputError("must be longer than nothing", field="/expires")
        token, now = new_token(), datetime.now(UTC)
        record = TokenRecord(
            id=uuid.uuid4().hex,
            name=name,
            hash=hash_token(token),
            scopes=tuple(wanted),
            created=now,
            expires=None if lifetime is None else now + lifetime,
        )
        await self._store.tokens.add(record)
        return token, record

    async def list(self) -> list[TokenRecord]:
        return await self._store.tokens.all()

    async def revoke(self, name: str) -> TokenRecord:
        """Revoke the token of that id or name. Raises NotFoundError, ConflictError when several have the name."""
        live = [record for record in await self._store.tokens.all() if record.revoked is None]
        found = [record for record in live if record.id == name] or [record for record in live if record.name == name]
        if not found:
            raise NotFoundError(f"there is no token {name} that is not revoked")
        if len(found) > 1:
            ids = ", ".join(record.id for record in found)
            raise ConflictError(f"{len(found)} tokens are named {name}; give the id of one: {ids}")
        await self._store.tokens.revoke(found[0].id, datetime.now(UTC))
        return found[0]

    async def recognise(self, token: str) -> TokenRecord | None:
        """The record of a token that is valid now; None otherwise."""
        record = await self._store.tokens.by_hash(hash_token(token))
        now = datetime.now(UTC)
        if record is None or record.revoked is not None or (record.expires is not None and record.expires <= now):
            return None
        if record.last_used is None or now - record.last_used >= USED_EVERY:
            record.last_used = now
            await self._store.tokens.used(record.id, now)
        return record
