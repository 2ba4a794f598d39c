"""Bearer tokens: made once, kept hashed, recognised until revoked or expired."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from control import tokens as tokens_module
from control.config import DataConfig
from control.errors import ConflictError, InvalidInputError, NotFoundError
from control.store import Store
from control.tokens import Tokens, allowed, sufficient


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(DataConfig(dir=tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
def tokens(store: Store) -> Tokens:
    return Tokens(store)


async def test_a_token_is_recognised_by_its_hash_only(tokens: Tokens, store: Store, tmp_path: Path) -> None:
    token, record = await tokens.create("desk", ["operator", "operator"])
    assert record.scopes == ("operator",)
    assert token not in repr(record)
    assert record.hash not in repr(record)
    found = await tokens.recognise(token)
    assert found is not None
    assert found.id == record.id
    for wrong in ("", token[:-1], token + "x", "\udcff"):
        assert await tokens.recognise(wrong) is None
    await store.close()
    assert token.encode() not in (tmp_path / "veche.db").read_bytes()


async def test_tokens_differ_and_hold_256_bits(tokens: Tokens) -> None:
    made = {(await tokens.create("same name", ["monitor"]))[0] for _ in range(5)}
    assert len(made) == 5
    assert all(len(token.removeprefix("veche_")) == 43 for token in made)


async def test_a_token_ends_with_its_time_or_when_revoked(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token, record = await tokens.create("short", ["operator"], lifetime=timedelta(hours=1))
    assert await tokens.recognise(token) is not None

    class Later(datetime):
        @classmethod
        def now(cls, tz: object = None) -> Later:
            return cls.fromtimestamp(datetime.now(UTC).timestamp() + 3601, UTC)

    with monkeypatch.context() as patch:
        patch.setattr(tokens_module, "datetime", Later)
        assert await tokens.recognise(token) is None
    await tokens.revoke("short")
    assert await tokens.recognise(token) is None
    assert [found.id for found in await tokens.list() if found.revoked] == [record.id]


async def test_the_last_use_is_noted(tokens: Tokens) -> None:
    token, _ = await tokens.create("desk", ["operator"])
    await tokens.recognise(token)
    [record] = await tokens.list()
    assert record.last_used is not None


async def test_only_a_token_that_is_named_clearly_is_revoked(tokens: Tokens) -> None:
    _, one = await tokens.create("desk", ["operator"])
    await tokens.create("desk", ["operator"])
    with pytest.raises(ConflictError, match=one.id):
        await tokens.revoke("desk")
    await tokens.revoke(one.id)
    await tokens.revoke("desk")
    with pytest.raises(NotFoundError):
        await tokens.revoke("desk")


async def test_wrong_names_scopes_and_lifetimes_are_refused(tokens: Tokens) -> None:
    for name, scopes, lifetime, field in (
        ("", ["operator"], None, "/name"),
        ("a\nb", ["operator"], None, "/name"),
        ("x" * 81, ["operator"], None, "/name"),
        ("desk", [], None, "/scopes"),
        ("desk", ["king"], None, "/scopes"),
        ("desk", ["operator"], timedelta(0), "/expires"),
    ):
        with pytest.raises(InvalidInputError) as error:
            await tokens.create(name, scopes, lifetime=lifetime)
        assert error.value.field == field


def test_scopes_imply_one_another() -> None:
    assert allowed(["operator"]) == {"operator", "monitor", "numbers"}
    assert allowed(["admin"]) == {"admin", "operator", "monitor", "numbers"}
    assert allowed(["monitor", "numbers"]) == {"monitor", "numbers"}
    assert allowed(["unknown"]) == frozenset()
    assert sufficient({"monitor"}) == ["admin", "operator", "monitor"]
