"""SIP and SIPS URIs (RFC 3261 section 19.1)."""

from __future__ import annotations

import ipaddress
import re
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import quote, unquote

from sip.errors import ParseError

Params = dict[str, str | None]
"""Parameters by lower-case name, in the order of the message; None is a parameter without a value."""

_URI = re.compile(
    r"""(sips?):
        (?:([^\s<>"@:]++)(?::([^\s<>"@]*+))?@)?
        (\[[0-9A-Za-z:.%]++\]|[A-Za-z0-9._-]++)
        (?::([0-9]{1,5}))?
        ((?:;[^\s<>"@;?=]++(?:=[^\s<>"@;?=]*+)?)*+)
        (?:\?([^\s<>"@?]++))?""",
    re.IGNORECASE | re.VERBOSE,
)
_BAD_ESCAPE = re.compile(r"%(?![0-9A-Fa-f]{2})")
_USER_SAFE = "-_.!~*'()&=+$,;?/"
_WORD_SAFE = "-_.!~*'()&=+$,"
_PARAM_SAFE = "-_.!~*'()[]/:&+$"
_HEADER_SAFE = "-_.!~*'()[]/?:+$"
_STRICT_PARAMS = ("transport", "user", "ttl", "method", "maddr")


@dataclass(frozen=True, slots=True, eq=False)
class SipUri:
    """One SIP URI. ``user`` and ``password`` are unescaped, ``host`` has no brackets, parameter names are lower case.

    ``str()`` gives a parsed URI back exactly as it was written; one that was built is escaped as section 19.1.2 asks.
    Two URIs are equal by section 19.1.4 (which is not transitive).
    """

    scheme: str = "sip"
    user: str | None = None
    password: str | None = None
    host: str = ""
    port: int | None = None
    params: Params = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)
    text: str = field(default="", repr=False)
    """The URI as it was written, empty for one built from parts."""

    @classmethod
    def parse(cls, text: str) -> SipUri:
        """Raises ParseError for anything but a well-formed sip: or sips: URI."""
        match = _URI.fullmatch(text)
        if match is None:
            raise ParseError(f"not a SIP URI: {text[:80]!r}")
        scheme, user, password, host, port, params, headers = match.groups()
        if "%" in text:
            if _BAD_ESCAPE.search(text):
                raise ParseError(f"bad %-escape in URI {text[:80]!r}")
            user = unquote(user) if user else user
            password = unquote(password) if password else password
        return cls(
            scheme.lower(),
            user,
            password,
            parse_host(host),
            parse_port(port) if port else None,
            _parse_params(params) if params else {},
            _parse_headers(headers) if headers else {},
            text,
        )

    def replace(self, **changes: Any) -> SipUri:
        """A copy with other parts."""
        parts = {name: getattr(self, name) for name in self.__slots__ if name != "text"}
        return SipUri(**{**parts, **changes})

    def __str__(self) -> str:
        if self.text:
            return self.text
        out = [self.scheme, ":"]
        if self.user is not None:
            out.append(_escape(self.user, _USER_SAFE))
            if self.password is not None:
                out += [":", _escape(self.password, _WORD_SAFE)]
            out.append("@")
        out.append(format_host(self.host))
        if self.port is not None:
            out.append(f":{self.port}")
        for name, value in self.params.items():
            out.append(f";{_escape(name, _PARAM_SAFE)}")
            if value is not None:
                out.append(f"={_escape(value, _PARAM_SAFE)}")
        for at, (name, value) in enumerate(self.headers.items()):
            out.append(f"{'&' if at else '?'}{_escape(name, _HEADER_SAFE)}={_escape(value, _HEADER_SAFE)}")
        return "".join(out)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, SipUri):
            return NotImplemented
        return (
            self.scheme == other.scheme
            and self.user == other.user
            and self.password == other.password
            and self.host.lower() == other.host.lower()
            and self.port == other.port
            and _same_params(self.params, other.params)
            and _same_headers(self.headers, other.headers)
        )

    def __hash__(self) -> int:
        return hash((self.scheme, self.user, self.host.lower(), self.port))

    @property
    def transport(self) -> str:
        """The ``transport`` parameter in lower case; ``udp`` when there is none (RFC 3263 section 4.1)."""
        return (self.params.get("transport") or "udp").lower()

    @property
    def loose_route(self) -> bool:
        """Whether the ``lr`` parameter is there (section 19.1.1)."""
        return "lr" in self.params


def _escape(text: str, safe: str) -> str:
    return quote(text, safe, errors="surrogateescape")


def parse_host(text: str) -> str:
    """A host name or address without brackets. Raises ParseError for a bad IPv6 reference."""
    if text[0] != "[":
        return text
    try:
        return str(ipaddress.IPv6Address(text[1:-1]))
    except ValueError:
        raise ParseError(f"bad IPv6 address {text[:60]!r}") from None


def format_host(host: str) -> str:
    """The host as it stands in a URI or Via: IPv6 addresses in brackets."""
    return f"[{host}]" if ":" in host else host


def parse_port(text: str) -> int:
    """1..65535. Raises ParseError."""
    port = int(text)
    if not 0 < port < 65536:
        raise ParseError(f"bad port {text}")
    return port


def _parse_params(text: str) -> Params:
    params: Params = {}
    for part in text.split(";")[1:]:
        name, equals, value = part.partition("=")
        params.setdefault(unquote(name).lower(), unquote(value) if equals else None)
    return params


def _parse_headers(text: str) -> dict[str, str]:
    headers: dict[str, str] = {}
    for part in text.split("&"):
        name, equals, value = part.partition("=")
        if not name or not equals:
            raise ParseError(f"bad header part in URI: {part[:60]!r}")
        headers[unquote(name).lower()] = unquote(value)
    return headers


def _same_params(one: Params, two: Params) -> bool:
    if one == two:
        return True
    for name in one.keys() | two.keys():
        if name in one and name in two:
            if (one[name] or "").lower() != (two[name] or "").lower():
                return False
        elif name in _STRICT_PARAMS:
            return False
    return True


def _same_headers(one: dict[str, str], two: dict[str, str]) -> bool:
    return one.keys() == two.keys() and all(value.lower() == two[name].lower() for name, value in one.items())
