"""HTTP digest as SIP uses it: RFC 3261 section 22, RFC 7616, RFC 8760 (SHA-256).

The server keeps nothing per challenge: a nonce carries its time and a keyed hash of it. What it keeps, bounded, is
which nonce counts of the nonces in use were seen, so that credentials overheard cannot be used again.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import struct
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sip.errors import SipError
from sip.headers import quote, unquote
from sip.message import ParseError, Request, Response
from sip.uri import SipUri

_PARAM = re.compile(r'\s*([A-Za-z0-9_*\-]+)\s*=\s*("(?:[^"\\]|\\.)*+"|[^\s,"]+)\s*(?:,|$)', re.DOTALL)
_SCHEME = re.compile(r"\s*Digest\s+", re.IGNORECASE)
_NC = re.compile(r"[0-9a-fA-F]{8}")
_HASHES = {"MD5": hashlib.md5, "SHA-256": hashlib.sha256}
_WINDOW = 64


class AuthError(SipError):
    """A challenge that cannot be answered, or credentials that the far side refused; ``reason`` says which."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class HashedCredentials:
    """What is stored of a phone account's password: HA1 (RFC 7616 section 3.4.2) in hex, bound to user and realm."""

    md5: str
    sha256: str

    @classmethod
    def of(cls, user: str, realm: str, password: str) -> HashedCredentials:
        text = f"{user}:{realm}:{password}"
        return cls(_digest("MD5", text), _digest("SHA-256", text))

    def __repr__(self) -> str:
        return "HashedCredentials(...)"


@dataclass(frozen=True, slots=True)
class Result:
    """What came of checking credentials: ``user`` is whom they name, ``account`` set only when they are right."""

    ok: bool
    account: str | None = None
    stale: bool = False
    reason: str = ""
    user: str = ""


@dataclass(slots=True)
class _Use:
    """The nonce counts seen of a nonce: the highest, and a bit for each of the ones just below it."""

    highest: int = 0
    seen: int = 0

    def take(self, count: int) -> bool:
        """True the first time a count within the window is used."""
        if count > self.highest:
            self.seen = ((self.seen << (count - self.highest)) | 1) & (2**_WINDOW - 1) if self.highest else 1
            self.highest = count
            return True
        bit = 1 << (self.highest - count)
        if self.highest - count >= _WINDOW or self.seen & bit:
            return False
        self.seen |= bit
        return True


class DigestServer:
    """Challenges and checks. ``secret`` keys the nonces: random per start, or shared by nodes that serve each other's.

    ``lookup`` gives the hashed credentials of a user in this realm, None for an unknown one.
    """

    def __init__(
        self,
        realm: str,
        lookup: Callable[[str], HashedCredentials | None],
        secret: bytes,
        lifetime: float = 300.0,
        max_nonces: int = 20000,
    ) -> None:
        self.realm = realm
        self._lookup = lookup
        self._secret = secret
        self._lifetime = lifetime
        self._max_nonces = max_nonces
        self._uses: OrderedDict[str, _Use] = OrderedDict()
        self._forgotten_until = -1.0
        self._salt = 0

    def challenge(self, now: float, stale: bool = False, algorithms: Sequence[str] = ("SHA-256", "MD5")) -> list[str]:
        """Values for WWW-Authenticate or Proxy-Authenticate, a header field each: SHA-256 first (RFC 8760)."""
        nonce = self._nonce(now)
        tail = ", stale=true" if stale else ""
        return [
            f'Digest realm={quote(self.realm)}, nonce="{nonce}", algorithm={name}, qop="auth"{tail}'
            for name in algorithms
        ]

    def claimed_user(self, authorizations: Sequence[str]) -> str | None:
        """Whom the credentials for our realm name, unchecked; None when there are no such credentials."""
        fields = self._ours(authorizations)
        return None if fields is None else fields.get("username", "")

    def check(
        self, method: str, uri: str, authorization: str | Sequence[str] | None, body: bytes, now: float
    ) -> Result:
        """Check the credentials for our realm among the values given. ``body`` is there for auth-int, not offered."""
        fields = self._ours([authorization] if isinstance(authorization, str) else authorization or [])
        if fields is None:
            return Result(False, reason="no digest credentials for this realm")
        user = fields.get("username", "")
        reason = _malformed(fields) or _other_uri(fields["uri"], uri)
        if reason:
            return Result(False, reason=reason, user=user)
        issued = self._issued(fields["nonce"])
        if issued is None:
            return Result(False, stale=True, reason="the nonce is not ours", user=user)
        algorithm = fields.get("algorithm", "MD5").upper()
        credentials = self._lookup(user)
        known = credentials or HashedCredentials.of(user, self.realm, "")
        ha1 = known.md5 if algorithm == "MD5" else known.sha256
        right = hmac.compare_digest(
            _response(algorithm, ha1, method, fields).encode(), fields["response"].lower().encode()
        )
        if credentials is None:
            return Result(False, reason="unknown account", user=user)
        if not right:
            return Result(False, reason="wrong password", user=user)
        if not 0 <= now - issued <= self._lifetime or not self._unused(fields, issued, now):
            return Result(False, stale=True, reason="the nonce is too old or was used before", user=user)
        return Result(True, account=user, user=user)

    def _ours(self, authorizations: Sequence[str]) -> dict[str, str] | None:
        parsed = [fields for fields in map(parse_digest, authorizations) if fields is not None]
        return next((fields for fields in parsed if fields.get("realm") == self.realm), None)

    def _nonce(self, now: float) -> str:
        self._salt += 1
        stamp = struct.pack("!dQ", now, self._salt)
        return base64.urlsafe_b64encode(stamp + self._seal(stamp)).decode()

    def _seal(self, stamp: bytes) -> bytes:
        return hmac.digest(self._secret, stamp + self.realm.encode(), "sha256")[:20]

    def _issued(self, nonce: str) -> float | None:
        """When we issued the nonce, None when we did not."""
        try:
            raw = base64.urlsafe_b64decode(nonce.encode("ascii"))
        except ValueError:
            return None
        if len(raw) != 36 or not hmac.compare_digest(self._seal(raw[:16]), raw[16:]):
            return None
        issued: float = struct.unpack("!d", raw[:8])[0]
        return issued

    def _unused(self, fields: dict[str, str], issued: float, now: float) -> bool:
        """Note the use of a nonce. Without qop there is no count: such a nonce is good once."""
        nonce = fields["nonce"]
        use = self._uses.get(nonce)
        if use is None:
            if issued <= self._forgotten_until:
                return False
            use = self._uses[nonce] = _Use()
        self._uses.move_to_end(nonce)
        while len(self._uses) > self._max_nonces:
            dropped = self._issued(self._uses.popitem(last=False)[0])
            # A nonce no longer watched must not become good again: nothing issued up to then counts any more.
            self._forgotten_until = max(self._forgotten_until, dropped or 0.0)
        return use.take(int(fields["nc"], 16) if "qop" in fields else 1)


class DigestClient:
    """Answers challenges for one user. Counts the uses of the newest nonce of each realm."""

    def __init__(self, user: str, password: str) -> None:
        self.user = user
        self._password = password
        self._counts: dict[str, tuple[str, int]] = {}

    def __repr__(self) -> str:
        return f"DigestClient({self.user!r})"

    def answer(self, request: Request, response: Response, cnonce: str) -> tuple[str, str]:
        """The header field (name, value) to add to ``request`` when it is sent again after a 401 or 407.

        Raises AuthError: also when the request already carried credentials for that realm and they were not stale.
        """
        proxy = response.status == 407
        name = "Proxy-Authorization" if proxy else "Authorization"
        challenges = response.headers.get_all("Proxy-Authenticate" if proxy else "WWW-Authenticate")
        chosen = _choose(challenges)
        tried = [parse_digest(value) or {} for value in request.headers.get_all(name)]
        refused = any(fields.get("realm") == chosen["realm"] for fields in tried)
        if refused and chosen.get("stale", "").lower() != "true":
            raise AuthError("the credentials were refused")
        return name, self._credentials(chosen, request.method, request.uri, cnonce)

    def authorize(self, method: str, uri: str, challenges: Sequence[str], body: bytes, cnonce: str) -> str:
        """The value of (Proxy-)Authorization for one of the challenges, SHA-256 preferred. Raises AuthError."""
        return self._credentials(_choose(challenges), method, uri, cnonce)

    def _credentials(self, challenge: dict[str, str], method: str, uri: str, cnonce: str) -> str:
        realm, nonce = challenge["realm"], challenge["nonce"]
        algorithm = challenge.get("algorithm", "MD5").upper()
        fields = {"username": self.user, "realm": realm, "nonce": nonce, "uri": uri}
        if "qop" in challenge:
            last, count = self._counts.get(realm, ("", 0))
            count = count + 1 if last == nonce else 1
            self._counts[realm] = (nonce, count)
            fields |= {"qop": "auth", "nc": f"{count:08x}", "cnonce": cnonce}
        ha1 = _digest(algorithm, f"{self.user}:{realm}:{self._password}")
        parts = [f"{name}={quote(fields[name])}" for name in ("username", "realm", "nonce", "uri")]
        parts.append(f'response="{_response(algorithm, ha1, method, fields)}"')
        if "algorithm" in challenge:
            parts.append(f"algorithm={challenge['algorithm']}")
        if "opaque" in challenge:
            parts.append(f"opaque={quote(challenge['opaque'])}")
        if "qop" in fields:
            parts.append(f"qop=auth, nc={fields['nc']}, cnonce={quote(cnonce)}")
        return "Digest " + ", ".join(parts)


def parse_digest(value: str) -> dict[str, str] | None:
    """The parameters of a Digest challenge or credentials, unquoted, by lower-case name; None for anything else."""
    match = _SCHEME.match(value)
    if match is None:
        return None
    fields: dict[str, str] = {}
    at = match.end()
    while at < len(value):
        match = _PARAM.match(value, at)
        if match is None:
            return None
        if fields.setdefault(match[1].lower(), unquote(match[2])) != unquote(match[2]):
            return None
        at = match.end()
    return fields


def _choose(challenges: Sequence[str]) -> dict[str, str]:
    """The strongest challenge we can answer."""
    usable: list[dict[str, str]] = []
    for value in challenges:
        fields = parse_digest(value)
        if fields is None or "realm" not in fields or "nonce" not in fields:
            continue
        offers = [part.strip().lower() for part in fields.get("qop", "auth").split(",")]
        if fields.get("algorithm", "MD5").upper() in _HASHES and "auth" in offers:
            usable.append(fields)
    if not usable:
        raise AuthError("no challenge with an algorithm and qop we know" if challenges else "no challenge given")
    return next((fields for fields in usable if fields.get("algorithm", "").upper() == "SHA-256"), usable[0])


def _malformed(fields: dict[str, str]) -> str:
    for name in ("username", "nonce", "uri", "response"):
        if not fields.get(name):
            return f"{name} missing"
    if fields.get("algorithm", "MD5").upper() not in _HASHES:
        return "unknown algorithm"
    if "qop" not in fields:
        return ""
    if fields["qop"].lower() != "auth":
        return "unknown qop"
    if _NC.fullmatch(fields.get("nc", "")) is None or fields["nc"] == "00000000" or not fields.get("cnonce"):
        return "nc or cnonce missing or malformed"
    return ""


def _other_uri(digest: str, request: str) -> str:
    """RFC 3261 section 22.4 wants the digest's URI to name the same resource; port and parameters often differ."""
    if digest == request:
        return ""
    try:
        one, two = SipUri.parse(digest), SipUri.parse(request)
    except ParseError:
        return "the digest is for another URI"
    same = one.user == two.user and one.host.lower() == two.host.lower()
    return "" if same else "the digest is for another URI"


def _response(algorithm: str, ha1: str, method: str, fields: dict[str, str]) -> str:
    """The request-digest of RFC 7616 section 3.4.1; without qop that of RFC 2069."""
    ha2 = _digest(algorithm, f"{method}:{fields['uri']}")
    if "qop" not in fields:
        return _digest(algorithm, f"{ha1}:{fields['nonce']}:{ha2}")
    return _digest(algorithm, f"{ha1}:{fields['nonce']}:{fields['nc']}:{fields['cnonce']}:{fields['qop']}:{ha2}")


def _digest(algorithm: str, text: str) -> str:
    return _HASHES[algorithm](text.encode("utf-8", "surrogateescape")).hexdigest()
