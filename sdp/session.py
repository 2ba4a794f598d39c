"""Session descriptions as data: parse and encode (RFC 8866).

Strict where a guess could send media to the wrong place, lenient where real phones are sloppy: bare LF line ends, lines
out of order, missing ``s=`` and ``t=``, blanks in the user name of ``o=`` and octets that are no UTF-8 are understood.
"""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Self

from sdp.errors import SdpError

MAX_BYTES = 65_536
MAX_LINES = 2_048
MAX_MEDIA = 64
MAX_PORT = 65_535
_MAX_DIGITS = 40

_SESSION_ORDER = "vosiuepcbtrzka"
_MEDIA_ORDER = "micbka"
_LINE_END = re.compile("\r\n|\n|\r")
_TOKEN = re.compile(r"[!#-'*+\-.0-9A-Z^-~]+")
_HOST_NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,252}[A-Za-z0-9])?\.?")

Line = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Attribute:
    """An ``a=`` line; ``value`` is None for a property attribute such as ``a=sendrecv``."""

    name: str
    value: str | None = None

    def __str__(self) -> str:
        return self.name if self.value is None else f"{self.name}:{self.value}"


@dataclass(frozen=True, slots=True)
class Origin:
    """The ``o=`` line (RFC 8866 section 5.2). ``address`` is an IP address or a host name."""

    username: str
    session_id: int
    version: int
    address: str

    def __str__(self) -> str:
        return f"{self.username} {self.session_id} {self.version} {format_address(self.address)}"


@dataclass(frozen=True, slots=True)
class Connection:
    """A ``c=`` line (section 5.7). ``scope`` is what follows the slash of a multicast address (TTL, count)."""

    address: str
    scope: str = ""

    def __str__(self) -> str:
        return format_address(self.address) + (f"/{self.scope}" if self.scope else "")


class _Attributes:
    """Look-ups that both levels share."""

    __slots__ = ()
    attributes: tuple[Attribute, ...]

    def values(self, name: str) -> list[str]:
        """The values of all attributes called ``name``; a property attribute counts as an empty value."""
        return [a.value or "" for a in self.attributes if a.name == name]

    def has(self, name: str) -> bool:
        return any(a.name == name for a in self.attributes)


@dataclass(frozen=True, slots=True)
class Media(_Attributes):
    """An ``m=`` section (section 5.14). ``other`` holds its ``i=``, ``b=`` and ``k=`` lines as (letter, value)."""

    kind: str
    port: int
    protocol: str
    formats: tuple[str, ...]
    port_count: int = 1
    connections: tuple[Connection, ...] = ()
    attributes: tuple[Attribute, ...] = ()
    other: tuple[Line, ...] = ()

    def lines(self) -> Iterator[Line]:
        """The section's lines, ``m=`` first, in the order the RFC wants."""
        count = f"/{self.port_count}" if self.port_count > 1 else ""
        yield "m", f"{self.kind} {self.port}{count} {self.protocol} {' '.join(self.formats)}"
        yield from _ordered(_MEDIA_ORDER, self.other, c=self.connections, a=self.attributes)

    @classmethod
    def from_lines(cls, lines: list[Line]) -> Self:
        """The section that ``lines`` (``m=`` first) make up. Raises SdpError."""
        kind, port, count, protocol, formats = _media_line(lines[0][1])
        _check_letters(lines[1:], _MEDIA_ORDER[1:], "a media section")
        return cls(
            kind=kind,
            port=port,
            port_count=count,
            protocol=protocol,
            formats=formats,
            connections=tuple(_connection(v) for v in _all(lines, "c")),
            attributes=tuple(_attribute(v) for v in _all(lines, "a")),
            other=_others(lines, "ibk"),
        )


@dataclass(frozen=True, slots=True)
class SessionDescription(_Attributes):
    """A whole description. ``other`` holds the ``i= u= e= p= b= r= z= k=`` lines as (letter, value)."""

    origin: Origin
    name: str = "-"
    connection: Connection | None = None
    times: tuple[str, ...] = ("0 0",)
    attributes: tuple[Attribute, ...] = ()
    media: tuple[Media, ...] = ()
    other: tuple[Line, ...] = ()

    @classmethod
    def parse(cls, data: bytes) -> Self:
        """Read a description of at most MAX_BYTES. Raises SdpError."""
        lines = _split(data)
        if lines[0] != ("v", "0"):
            raise SdpError("v", "the description does not begin with v=0")
        starts = [i for i, (letter, _) in enumerate(lines) if letter == "m"]
        if len(starts) > MAX_MEDIA:
            raise SdpError("m", f"{len(starts)} media sections, at most {MAX_MEDIA} are taken")
        head = lines[1 : starts[0]] if starts else lines[1:]
        _check_letters(head, _SESSION_ORDER[1:], "the session section")
        connections = [_connection(v) for v in _all(head, "c")]
        if len(connections) > 1:
            raise SdpError("c", "more than one on session level")
        times = tuple(_time(v) for v in _all(head, "t"))
        return cls(
            origin=_origin(_all(head, "o")),
            name=next(iter(_all(head, "s")), "-"),
            connection=connections[0] if connections else None,
            times=times or ("0 0",),
            attributes=tuple(_attribute(v) for v in _all(head, "a")),
            media=tuple(Media.from_lines(lines[a:b]) for a, b in pairwise([*starts, len(lines)])),
            other=_others(head, "iuepbrzk"),
        )

    def encode(self) -> bytes:
        """The description as octets. Raises SdpError when a value would break out of its line."""
        head = _ordered(
            _SESSION_ORDER,
            self.other,
            v=(0,),
            o=(self.origin,),
            s=(self.name,),
            c=(self.connection,) if self.connection else (),
            t=self.times,
            a=self.attributes,
        )
        lines = [*head, *(line for media in self.media for line in media.lines())]
        for letter, value in lines:
            if any(c in value for c in "\r\n\0"):
                raise SdpError(letter, "a line break or NUL inside a value")
        text = "".join(f"{letter}={value}\r\n" for letter, value in lines)
        return text.encode("utf-8", "surrogateescape")


def format_address(address: str) -> str:
    """``IN IP4 192.0.2.1`` or ``IN IP6 2001:db8::1``; host names count as IP4."""
    return f"IN IP{6 if ':' in address else 4} {address}"


def parse_address(network: str, kind: str, address: str, field: str) -> str:
    """The address of a nettype/addrtype/address triple, IP addresses in canonical form. Raises SdpError."""
    if network.upper() != "IN":
        raise SdpError(field, f"network type {network!r} is not IN")
    version = {"IP4": 4, "IP6": 6}.get(kind.upper())
    if version is None:
        raise SdpError(field, f"address type {kind!r} is neither IP4 nor IP6")
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        # a name such as 999.1.2.3 is a broken address rather than a host
        if not _HOST_NAME.fullmatch(address) or address.rstrip(".").rpartition(".")[2].isdigit():
            raise SdpError(field, f"{address!r} is no address") from None
        return address
    if parsed.version != version:
        raise SdpError(field, f"{address} is not an {kind.upper()} address")
    if "%" in address:
        raise SdpError(field, f"{address!r} has a zone, which means nothing to another host")
    return str(parsed)


def number(text: str, field: str, low: int = 0, high: int | None = None) -> int:
    """A decimal number from ``low`` to ``high``. Raises SdpError."""
    if not (text.isascii() and text.isdigit() and len(text) <= _MAX_DIGITS):
        raise SdpError(field, f"{text[:_MAX_DIGITS]!r} is no number")
    value = int(text)
    if value < low or (high is not None and value > high):
        raise SdpError(field, f"{value} is not within {low}..{'' if high is None else high}")
    return value


def _split(data: bytes) -> list[Line]:
    if len(data) > MAX_BYTES:
        raise SdpError("description", f"{len(data)} octets, at most {MAX_BYTES} are taken")
    if b"\0" in data:
        raise SdpError("description", "holds a NUL")
    # octets that are no UTF-8 (an old phone's session name) survive a round trip unharmed
    raw = [line for line in _LINE_END.split(data.decode("utf-8", "surrogateescape")) if line]
    if not raw:
        raise SdpError("description", "is empty")
    if len(raw) > MAX_LINES:
        raise SdpError("description", f"{len(raw)} lines, at most {MAX_LINES} are taken")
    for line in raw:
        if line[1:2] != "=":
            raise SdpError("description", f"{line[:40]!r} is not of the form x=value")
    return [(line[0], line[2:]) for line in raw]


def _check_letters(lines: list[Line], allowed: str, where: str) -> None:
    # RFC 8866 section 5: a type letter not understood spoils the whole description
    for letter, _ in lines:
        if letter not in allowed:
            raise SdpError(letter, f"does not belong in {where}")


def _all(lines: list[Line], letter: str) -> list[str]:
    return [value for name, value in lines if name == letter]


def _others(lines: list[Line], letters: str) -> tuple[Line, ...]:
    return tuple(sorted((line for line in lines if line[0] in letters), key=lambda line: letters.index(line[0])))


def _ordered(order: str, other: tuple[Line, ...], **known: tuple[object, ...]) -> Iterator[Line]:
    for letter in order:
        yield from ((letter, str(value)) for value in known.get(letter, ()))
        yield from (line for line in other if line[0] == letter)


def _origin(values: list[str]) -> Origin:
    if len(values) != 1:
        raise SdpError("o", f"{len(values)} of them, exactly one is needed")
    parts = values[0].rsplit(maxsplit=5)
    if len(parts) != 6:
        raise SdpError("o", f"{len(parts)} of 6 fields")
    user, session_id, version, network, kind, address = parts
    return Origin(
        username=user.strip(),
        session_id=number(session_id, "o"),
        version=number(version, "o"),
        address=parse_address(network, kind, address, "o"),
    )


def _connection(value: str) -> Connection:
    parts = value.split()
    if len(parts) != 3:
        raise SdpError("c", f"{len(parts)} of 3 fields")
    address, _, scope = parts[2].partition("/")
    for part in scope.split("/") if scope else ():
        number(part, "c", high=65_535)
    return Connection(parse_address(parts[0], parts[1], address, "c"), scope)


def _time(value: str) -> str:
    parts = value.split()
    if len(parts) != 2:
        raise SdpError("t", f"{len(parts)} of 2 fields")
    for part in parts:
        number(part, "t")
    return " ".join(parts)


def _attribute(value: str) -> Attribute:
    name, colon, rest = value.partition(":")
    name = name.strip()
    if not _TOKEN.fullmatch(name):
        raise SdpError("a", f"{name[:40]!r} is no attribute name")
    return Attribute(name, rest if colon else None)


def _media_line(value: str) -> tuple[str, int, int, str, tuple[str, ...]]:
    parts = value.split()
    if len(parts) < 4:
        raise SdpError("m", f"{value[:80]!r} has {len(parts)} fields, at least 4 are needed")
    port, slash, count = parts[1].partition("/")
    return (
        parts[0],
        number(port, "m", high=MAX_PORT),
        number(count, "m", low=1, high=MAX_PORT) if slash else 1,
        parts[2],
        tuple(parts[3:]),
    )
