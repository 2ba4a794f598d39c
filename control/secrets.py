"""Secrets: passwords as argon2id hashes, what must be shown again sealed with AES-256-GCM, tokens as SHA-256.

A seal binds the text to its purpose (table, row and column), so that a sealed value copied into another row does not
open there. Why PINs are sealed and not hashed: docs/decisions/010-sealed-pins.md.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

import argon2
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from control.config import DataConfig, decode_key

KEY_FILE = "secret.key"
TOKEN_PREFIX = "veche_"  # noqa: S105 the mark, not a token
_VERSION = "v1."
_NONCE = 12

_hasher = argon2.PasswordHasher()
_NOBODY = _hasher.hash(secrets.token_hex(16))


class SealError(Exception):
    """A sealed value does not open: another key, another place, or damaged."""


class KeyFileError(Exception):
    """secret.key cannot be read, written or understood; ``str()`` is one line that says why."""


async def hash_password(password: str) -> str:
    """The argon2id hash as a PHC string. Runs in a thread: it takes tens of milliseconds on purpose."""
    return await asyncio.to_thread(_hasher.hash, password)


async def verify_password(hashed: str | None, password: str) -> bool:
    """True when ``password`` is the one ``hashed`` was made of; None (no such account) takes just as long."""
    return await asyncio.to_thread(_verify, hashed, password)


def _verify(hashed: str | None, password: str) -> bool:
    try:
        _hasher.verify(hashed or _NOBODY, password)
    except (argon2.exceptions.VerificationError, argon2.exceptions.InvalidHashError):
        return False
    return hashed is not None


def new_token() -> str:
    """A bearer token: 256 random bits behind a prefix that leak scanners recognise."""
    return TOKEN_PREFIX + secrets.token_urlsafe(32)


def hash_token(token: str) -> str:
    """SHA-256 in hex. Right for a token of 256 random bits; a password needs argon2, this does not."""
    return hashlib.sha256(token.encode("utf-8", "surrogateescape")).hexdigest()


class Sealer:
    """Seals and opens short texts with one 32-byte key."""

    def __init__(self, key: bytes) -> None:
        self._cipher = AESGCM(key)
        self._fingerprint_key = hashlib.sha256(b"veche fingerprint" + key).digest()

    def seal(self, text: str, purpose: str) -> str:
        nonce = os.urandom(_NONCE)
        sealed = nonce + self._cipher.encrypt(nonce, text.encode(), purpose.encode())
        return _VERSION + base64.urlsafe_b64encode(sealed).decode("ascii")

    def open(self, sealed: str, purpose: str) -> str:
        """The text sealed for ``purpose``. Raises SealError."""
        try:
            if not sealed.startswith(_VERSION):
                raise ValueError("unknown version")
            data = base64.urlsafe_b64decode(sealed[len(_VERSION) :])
            return self._cipher.decrypt(data[:_NONCE], data[_NONCE:], purpose.encode()).decode()
        except (ValueError, InvalidTag) as error:
            raise SealError(f"the sealed {purpose.partition(':')[0]} value does not open with this key") from error

    def fingerprint(self, data: bytes) -> str:
        """A keyed hash (HMAC-SHA-256, hex): equal data can be recognised, but not found by trying."""
        return hmac.new(self._fingerprint_key, data, hashlib.sha256).hexdigest()


def load_sealer(data: DataConfig) -> Sealer:
    """The sealer with the configured key, else that of secret.key, made at the first start. Raises KeyFileError."""
    configured = data.key.get_secret_value()
    if configured:
        return Sealer(decode_key(configured))
    path = data.folder / KEY_FILE
    try:
        text = _read_or_make(path)
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error
    try:
        return Sealer(decode_key(text))
    except ValueError as error:
        raise KeyFileError(f"{path}: {error}") from error


def _read_or_make(path: Path) -> str:
    if not path.exists():
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        draft = path.with_name(f"{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        with os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(base64.b64encode(os.urandom(32)).decode("ascii") + "\n")
        try:
            # link, not rename: of two processes that start together the first one's key stays
            path.hardlink_to(draft)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text("ascii")
