"""Accounts: names as people type them, passwords, digest credentials, changes by another process."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from pathlib import Path

import argon2
import pytest

from control import accounts as accounts_module
from control.accounts import Accounts, parse_name
from control.config import DataConfig
from control.errors import ConflictError, InvalidInputError, NotFoundError
from control.store import Store

REALM = "veche.example"
PASSWORD = "correct horse"


@pytest.fixture(autouse=True)
def quick_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """The real argon2 with little to do."""
    hasher = argon2.PasswordHasher(time_cost=1, memory_cost=64, parallelism=1)
    monkeypatch.setattr("control.secrets._hasher", hasher)


@pytest.fixture
async def store(tmp_path: Path) -> AsyncIterator[Store]:
    opened = await Store.open(DataConfig(dir=tmp_path))
    yield opened
    await opened.close()


@pytest.fixture
def accounts(store: Store) -> Accounts:
    return Accounts(store, REALM)


@pytest.mark.parametrize(
    ("typed", "name"),
    [
        ("375291234567", "375291234567"),
        ("+375 29 123-45-67", "375291234567"),
        ("+375 (29) 123 45 67", "375291234567"),
        ("00375291234567", "375291234567"),
        ("8 029 123-45-67", "375291234567"),
        (" 100 ", "100"),
        ("Anna@Example.BY", "anna@example.by"),
    ],
)
def test_s4_a_sign_in_name_is_normalised(typed: str, name: str) -> None:
    assert parse_name(typed)[1] == name


@pytest.mark.parametrize(
    "typed", ["", "37529123456", "3752912345678", "+100", "1", "1234567", "sip:a@b", "12a", "a@", "a@b"]
)
def test_s4_a_wrong_name_gets_a_clear_message(typed: str) -> None:
    with pytest.raises(InvalidInputError) as error:
        parse_name(typed)
    assert error.value.field == "/number"
    assert repr(typed.strip()) in error.value.detail


async def test_b35_a_phone_account_gives_digest_credentials_for_both_hashes(accounts: Accounts) -> None:
    await accounts.add("+375 29 123-45-67", PASSWORD)
    credentials = accounts.credentials("375291234567")
    assert credentials is not None
    text = f"375291234567:{REALM}:{PASSWORD}".encode()
    assert credentials.md5 == hashlib.md5(text).hexdigest()
    assert credentials.sha256 == hashlib.sha256(text).hexdigest()


async def test_blocked_removed_and_email_accounts_have_no_credentials(accounts: Accounts) -> None:
    await accounts.add("100", PASSWORD)
    await accounts.add("anna@example.by", PASSWORD)
    assert accounts.credentials("anna@example.by") is None
    await accounts.block("100", True)
    assert accounts.credentials("100") is None
    await accounts.block("100", False)
    assert accounts.credentials("100") is not None
    await accounts.remove("100")
    assert accounts.credentials("100") is None


async def test_credentials_are_bound_to_the_realm(store: Store, accounts: Accounts) -> None:
    await accounts.add("100", PASSWORD)
    moved = Accounts(store, "other.example")
    await moved.refresh()
    assert moved.credentials("100") is None
    await moved.set_password("100", PASSWORD)
    assert moved.credentials("100") is not None


async def test_signing_in_takes_the_right_password_of_an_account_not_blocked(accounts: Accounts) -> None:
    await accounts.add("100", PASSWORD)
    signed = await accounts.sign_in(" 100", PASSWORD)
    assert signed is not None
    assert signed.name == "100"
    assert await accounts.sign_in("100", PASSWORD + "x") is None
    assert await accounts.sign_in("101", PASSWORD) is None
    assert await accounts.sign_in("nonsense!", PASSWORD) is None
    await accounts.block("100", True)
    assert await accounts.sign_in("100", PASSWORD) is None


async def test_a_new_password_replaces_the_old_one(accounts: Accounts) -> None:
    await accounts.add("100", PASSWORD)
    before = accounts.credentials("100")
    await accounts.set_password("100", "another horse")
    assert accounts.credentials("100") != before
    assert await accounts.sign_in("100", PASSWORD) is None
    assert await accounts.sign_in("100", "another horse") is not None


async def test_what_cannot_be_an_account_is_refused_by_field(accounts: Accounts) -> None:
    await accounts.add("100", PASSWORD)
    for name, password, role, kind, field in (
        ("100", PASSWORD, "user", ConflictError, "/number"),
        ("101", "short", "user", InvalidInputError, "/password"),
        ("101", "x" * 129, "user", InvalidInputError, "/password"),
        ("101", "line\nbreak", "user", InvalidInputError, "/password"),
        ("101", PASSWORD, "king", InvalidInputError, "/role"),
    ):
        with pytest.raises(kind) as error:
            await accounts.add(name, password, role=role)
        assert error.value.field == field
    with pytest.raises(InvalidInputError) as error:
        await accounts.add("101", PASSWORD, display_name="a\nb")
    assert error.value.field == "/name"
    for name in ("101", "???"):
        with pytest.raises(NotFoundError):
            await accounts.get(name)


async def test_nothing_of_a_password_is_kept_in_plain(accounts: Accounts, store: Store, tmp_path: Path) -> None:
    await accounts.add("100", PASSWORD)
    md5 = (accounts.credentials("100") or pytest.fail("there are credentials")).md5
    await store.close()
    data = (tmp_path / "veche.db").read_bytes()
    assert b"$argon2id$" in data
    for secret in (PASSWORD, md5):
        assert secret.encode() not in data


async def test_changes_by_another_process_are_noticed(
    accounts: Accounts, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(accounts_module, "WATCH_SECONDS", 0.01)
    await accounts.start()
    other_store = await Store.open(DataConfig(dir=tmp_path))
    await Accounts(other_store, REALM).add("100", PASSWORD)
    for _ in range(500):
        if accounts.credentials("100"):
            break
        await asyncio.sleep(0.01)
    await other_store.close()
    await accounts.close()
    assert accounts.credentials("100") is not None
