"""Accounts: who signs in, by e-mail or telephone, and whose phone may register.

One password per account is kept in two forms: argon2id for signing in to the portal, and for telephone accounts the two
HA1 values that SIP's digest needs (RFC 7616 section 3.4.2), sealed, since they are as good as the password there.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import uuid
from datetime import UTC, datetime
from typing import Literal

import structlog

from control.errors import ConflictError, InvalidInputError, NotFoundError
from control.numbers import normalise
from control.secrets import hash_password, verify_password
from control.store import Store, StoreError
from control.store.directory import DuplicateError
from control.store.records import AccountRecord
from sip.auth import HashedCredentials

ROLES = ("user", "operator", "admin")
MIN_PASSWORD = 8
MAX_PASSWORD = 128
MAX_NAME = 80
WATCH_SECONDS = 2.0
COUNTRY = "375"

_EMAIL = re.compile(r"[^@\s\x00-\x1f\x7f]{1,64}@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+")

log = structlog.get_logger(__name__)


def parse_name(text: str) -> tuple[Literal["telephone", "email"], str]:
    """The account type a sign-in name is of, and its one spelling.

    Telephone accounts are 375XXXXXXXXX (mission S4); +375 29 123-45-67, 00375 29 1234567 and 8 029 123-45-67 are the
    same. The operator's own phones may have an extension of 2 to 6 digits. E-mail addresses compare in lower case.
    Raises InvalidInputError.
    """
    text = text.strip()
    if "@" in text and ":" not in text:
        if len(text) > 254 or not _EMAIL.fullmatch(text):
            raise InvalidInputError(f"{text!r} is not an e-mail address such as name@example.org", field="/number")
        return "email", text.lower()
    try:
        digits = normalise(text)
    except ValueError as error:
        raise InvalidInputError(f"{text!r} {error}", field="/number") from None
    if re.fullmatch(r"00375\d{9}", digits):
        digits = digits[2:]
    elif re.fullmatch(r"80\d{9}", digits):
        digits = COUNTRY + digits[2:]
    if re.fullmatch(COUNTRY + r"\d{9}", digits) or (re.fullmatch(r"\d{2,6}", digits) and not text.startswith("+")):
        return "telephone", digits
    raise InvalidInputError(
        f"{text!r} is not a telephone account: give 375 and nine digits, e.g. 375291234567, "
        "or an extension of 2 to 6 digits",
        field="/number",
    )


class Accounts:
    """The accounts of one server. ``watch()`` keeps ``credentials()`` fresh when another process changes accounts."""

    def __init__(self, store: Store, realm: str) -> None:
        self._store = store
        self._realm = realm
        self._phones: dict[str, HashedCredentials] = {}
        self._version: tuple[int, datetime | None] | None = None
        self._watcher: asyncio.Task[None] | None = None

    # --- for the SIP side --------------------------------------------------------------------------------------------

    def credentials(self, number: str) -> HashedCredentials | None:
        """What the digest of a phone account is checked against; None when it is unknown or blocked. Never waits."""
        return self._phones.get(number)

    async def start(self) -> None:
        """Read the accounts and keep watching for changes by ./veche account."""
        await self.refresh()
        self._watcher = asyncio.create_task(self._watch(), name="accounts watcher")

    async def close(self) -> None:
        if self._watcher is not None:
            self._watcher.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._watcher

    async def refresh(self) -> None:
        """Read the accounts again if any has changed."""
        version = await self._store.accounts.version()
        if version == self._version:
            return
        records = [record for record in await self._store.accounts.all() if record.kind == "telephone"]
        foreign = [record.name for record in records if record.realm != self._realm]
        if foreign:
            log.warning("phone passwords are bound to another sip.domain; set them anew", accounts=foreign[:10])
        self._phones = {
            record.name: HashedCredentials(record.ha1_md5, record.ha1_sha256)
            for record in records
            if record.realm == self._realm and not record.blocked
        }
        self._version = version

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            try:
                await self.refresh()
            except StoreError as error:
                log.error("accounts cannot be read", error=str(error))

    # --- for people --------------------------------------------------------------------------------------------------

    async def add(self, name: str, password: str, *, display_name: str = "", role: str = "user") -> AccountRecord:
        """A new account. Raises InvalidInputError, ConflictError."""
        kind, name = parse_name(name)
        if role not in ROLES:
            raise InvalidInputError(f"{role!r} is not a role; roles are {', '.join(ROLES)}", field="/role")
        now = datetime.now(UTC)
        record = AccountRecord(
            id=uuid.uuid4().hex,
            name=name,
            kind=kind,
            display_name=_check_display_name(display_name),
            role=role,
            password_hash="",
            created=now,
            changed=now,
        )
        await self._put_password(record, password)
        try:
            await self._store.accounts.add(record)
        except DuplicateError:
            raise ConflictError(f"an account {name} exists already", field="/number") from None
        await self.refresh()
        return record

    async def list(self) -> list[AccountRecord]:
        return await self._store.accounts.all()

    async def get(self, name: str) -> AccountRecord:
        """Raises NotFoundError, also for a name that no account could have."""
        with contextlib.suppress(InvalidInputError):
            record = await self._store.accounts.get(parse_name(name)[1])
            if record is not None:
                return record
        raise NotFoundError(f"there is no account {name}")

    async def block(self, name: str, blocked: bool) -> AccountRecord:
        """Refuse the account's sign-ins and registrations, or accept them again."""
        record = await self.get(name)
        record.blocked = blocked
        await self._save(record)
        return record

    async def set_password(self, name: str, password: str) -> AccountRecord:
        record = await self.get(name)
        await self._put_password(record, password)
        await self._save(record)
        return record

    async def remove(self, name: str) -> AccountRecord:
        record = await self.get(name)
        if not await self._store.accounts.remove(record.id):
            raise NotFoundError(f"there is no account {name}")
        await self.refresh()
        return record

    async def sign_in(self, name: str, password: str) -> AccountRecord | None:
        """The account whose password this is; None for a wrong one, an unknown or a blocked account, all as slow."""
        try:
            record = await self._store.accounts.get(parse_name(name)[1])
        except InvalidInputError:
            record = None
        right = await verify_password(None if record is None else record.password_hash, password)
        return record if record is not None and right and not record.blocked else None

    async def _put_password(self, record: AccountRecord, password: str) -> None:
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise InvalidInputError(f"must have {MIN_PASSWORD} to {MAX_PASSWORD} characters", field="/password")
        if not password.isprintable():
            raise InvalidInputError("must not contain control characters", field="/password")
        record.password_hash = await hash_password(password)
        if record.kind == "telephone":
            credentials = HashedCredentials.of(record.name, self._realm, password)
            record.realm, record.ha1_md5, record.ha1_sha256 = self._realm, credentials.md5, credentials.sha256

    async def _save(self, record: AccountRecord) -> None:
        record.changed = datetime.now(UTC)
        if not await self._store.accounts.save(record):
            raise NotFoundError(f"there is no account {record.name}")
        await self.refresh()


def _check_display_name(text: str) -> str:
    text = text.strip()
    if len(text) > MAX_NAME or not text.isprintable():
        raise InvalidInputError(f"must have at most {MAX_NAME} characters, all printable", field="/name")
    return text
