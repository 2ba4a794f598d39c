"""The header fields every SIP message has, as values: Via, name-addr (From, To, Contact, Route...), CSeq.

Each has ``parse`` (raises ParseError) and ``str()``. Text is as decoded by sip.message: bytes that are not UTF-8 appear
as lone surrogates, so that they go out again unchanged; ``clean`` makes such text fit to be shown.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from sip.errors import ParseError
from sip.uri import Params, SipUri, format_host, parse_host, parse_port

TOKEN = r"[A-Za-z0-9\-.!%*_+`'~]"  # noqa: S105 (RFC 3261's word for a name, no secret)
_QUOTED = r'"(?:[^"\\]|\\[\x00-\x09\x0b\x0c\x0e-\x7f])*+"'
_VALUE = rf"(?:{_QUOTED}|[^\s;,\"<>]++)"
_PARAM = re.compile(rf"\s*+;\s*+({TOKEN}++)(\s*+=\s*+({_VALUE}))?+")
_PARAMS = re.compile(rf"(?:\s*+;\s*+{TOKEN}++(?:\s*+=\s*+{_VALUE})?+)*+\s*+")
_VIA = re.compile(
    rf"SIP\s*/\s*[0-9]+\.[0-9]+\s*/\s*({TOKEN}+)\s+(\[[0-9A-Za-z:.%]+\]|[A-Za-z0-9._-]+)(?:\s*:\s*([0-9]{{1,5}}))?+\s*+(;.*)?",
    re.IGNORECASE | re.DOTALL,
)
_NAME_ADDR = re.compile(rf'({_QUOTED}|[^"<>,;:\\@=]*+)\s*+<([^<>"\s]++)>\s*+(;.*)?', re.DOTALL)
_ADDR_SPEC = re.compile(r'([^\s<>";,?]++)\s*+(;.*)?', re.DOTALL)
_ABSOLUTE_URI = re.compile(r"[A-Za-z][A-Za-z0-9+.\-]*:[^\s<>\"]+")
_CSEQ = re.compile(rf"([0-9]{{1,30}})\s+({TOKEN}+)")
_ESCAPE = re.compile(r"\\(.)", re.DOTALL)
_QUOTE = re.compile(r'["\\]')
_TOKENS = re.compile(rf"[ {TOKEN[1:-1]}]*")

MAX_CSEQ = 2**31


def parse_params(text: str) -> Params:
    """``;name=value`` parameters by lower-case name; quoted values keep their quotes (see ``unquote``)."""
    if _PARAMS.fullmatch(text) is None:
        raise ParseError(f"bad parameters {text[:80]!r}")
    params: Params = {}
    for name, equals, value in _PARAM.findall(text):
        params.setdefault(name.lower(), value if equals else None)
    return params


def format_params(params: Params) -> str:
    """The parameters as they stand in a header field."""
    return "".join([f";{name}" if value is None else f";{name}={value}" for name, value in params.items()])


def unquote(text: str) -> str:
    """A quoted-string's content; other text as it is (RFC 3261 section 25.1)."""
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return _ESCAPE.sub(r"\1", text[1:-1]) if "\\" in text else text[1:-1]


def quote(text: str) -> str:
    """``text`` as a quoted-string."""
    return '"' + _QUOTE.sub(r"\\\g<0>", text) + '"'


def clean(text: str) -> str:
    """``text`` fit for people and JSON: bytes that were not UTF-8 and control characters become U+FFFD."""
    if text.isprintable():
        return text
    return "".join([c if c.isprintable() else "\N{REPLACEMENT CHARACTER}" for c in text])


def split_list(text: str) -> list[str]:
    """The members of a comma-separated header value; commas in quotes and angle brackets do not separate.

    Empty members are left out. An unbalanced quote runs to the end: the member's own parser refuses it.
    """
    if "," not in text:
        text = text.strip()
        return [text] if text else []
    if '"' not in text and "<" not in text:
        return [part for part in map(str.strip, text.split(",")) if part]
    members: list[str] = []
    start = at = 0
    angle = False
    size = len(text)
    while at < size:
        char = text[at]
        if char == '"' and not angle:
            at = _end_of_quote(text, at)
            continue
        if char == "<":
            angle = True
        elif char == ">":
            angle = False
        elif char == "," and not angle:
            members.append(text[start:at])
            start = at + 1
        at += 1
    members.append(text[start:])
    return [part for part in map(str.strip, members) if part]


def _end_of_quote(text: str, at: int) -> int:
    """Index after the quoted-string that begins at ``at``; the text's end when it is not closed."""
    at += 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
            continue
        if text[at] == '"':
            return at + 1
        at += 1
    return len(text)


@dataclass(frozen=True, slots=True)
class Via:
    """One Via hop (RFC 3261 section 20.42, RFC 3581). ``transport`` is upper case, ``host`` has no brackets."""

    transport: str
    host: str
    port: int | None = None
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> Via:
        match = _VIA.fullmatch(text)
        if match is None:
            raise ParseError(f"malformed {text[:80]!r}")
        transport, host, port, params = match.groups()
        return cls(
            transport.upper(),
            parse_host(host),
            parse_port(port) if port else None,
            parse_params(params) if params else {},
        )

    def __str__(self) -> str:
        port = "" if self.port is None else f":{self.port}"
        return f"SIP/2.0/{self.transport} {format_host(self.host)}{port}{format_params(self.params)}"

    @property
    def branch(self) -> str | None:
        return self.params.get("branch")

    @property
    def received(self) -> str | None:
        """The address the next hop saw, without brackets (RFC 3261 section 18.2.1)."""
        value = self.params.get("received")
        return value.strip("[]") if value else None

    @property
    def rport(self) -> int | None:
        """The port the next hop saw; None when not filled in yet (``wants_rport`` tells whether it was asked for)."""
        value = self.params.get("rport")
        return int(value) if value and value.isascii() and value.isdecimal() and len(value) < 6 else None

    @property
    def wants_rport(self) -> bool:
        return "rport" in self.params

    def with_params(self, **params: str | None) -> Via:
        """A copy with parameters set."""
        return Via(self.transport, self.host, self.port, {**self.params, **params})


@dataclass(frozen=True, slots=True)
class NameAddr:
    """A name-addr or addr-spec with header parameters: From, To, Contact, Route, Refer-To (RFC 3261 section 20.10).

    ``display`` is unquoted and as it came (``clean(display)`` for people); ``uri`` is a plain string for schemes other
    than sip and sips. In the form without angle brackets all parameters belong to the header field.
    """

    display: str
    uri: SipUri | str
    params: Params = field(default_factory=dict)

    @classmethod
    def parse(cls, text: str) -> NameAddr:
        text = text.strip()
        match = _NAME_ADDR.fullmatch(text)
        if match is not None:
            display, uri, params = match.groups()
            display = unquote(display) if display[:1] == '"' else display.strip()
        else:
            match = _ADDR_SPEC.fullmatch(text)
            if match is None:
                raise ParseError(f"malformed address {text[:80]!r}")
            display = ""
            uri, params = match.groups()
        return cls(display, parse_uri(uri), parse_params(params) if params else {})

    def __str__(self) -> str:
        display = ""
        if self.display:
            display = f"{self.display if _TOKENS.fullmatch(self.display) else quote(self.display)} "
        return f"{display}<{self.uri}>{format_params(self.params)}"

    @property
    def tag(self) -> str | None:
        return self.params.get("tag")

    @property
    def user(self) -> str:
        """The URI's user part, unescaped; of a tel URI its number; empty when there is none."""
        if isinstance(self.uri, SipUri):
            return self.uri.user or ""
        scheme, _, rest = self.uri.partition(":")
        return rest.partition(";")[0] if scheme.lower() == "tel" else ""

    @property
    def q(self) -> float:
        """The preference among contacts, 0..1; 1 when not given or malformed (RFC 3261 section 20.10)."""
        value = self.params.get("q")
        if value and re.fullmatch(r"0(\.[0-9]{0,3})?|1(\.0{0,3})?", value):
            return float(value)
        return 1.0

    def with_params(self, **params: str | None) -> NameAddr:
        """A copy with parameters set."""
        return NameAddr(self.display, self.uri, {**self.params, **params})


@dataclass(frozen=True, slots=True)
class CSeq:
    """Sequence number (below 2**31, RFC 3261 section 8.1.1.5) and method."""

    number: int
    method: str

    @classmethod
    def parse(cls, text: str) -> CSeq:
        match = _CSEQ.fullmatch(text)
        if match is None:
            raise ParseError(f"malformed {text[:60]!r}")
        number = int(match[1])
        if number >= MAX_CSEQ:
            raise ParseError(f"number {match[1]} is out of range")
        return cls(number, match[2])

    def __str__(self) -> str:
        return f"{self.number} {self.method}"


def parse_uri(text: str) -> SipUri | str:
    """A SipUri for sip: and sips:, the text itself for other schemes. Raises ParseError."""
    if text[:4].lower() in ("sip:", "sips"):
        return SipUri.parse(text)
    if _ABSOLUTE_URI.fullmatch(text) is None:
        raise ParseError(f"bad URI {text[:80]!r}")
    return text
