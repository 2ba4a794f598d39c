"""SIP messages: one datagram or framed message in, Request or Response out, and back (RFC 3261 section 7).

``parse`` checks what every layer relies on: the start line, the shape of each header field, the body's length, and the
five fields no message may lack (Via, From, To, Call-ID, CSeq), whose typed accessors therefore never raise on a parsed
message. Everything else is parsed when it is asked for.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeVar

from sip.errors import ParseError, SipError
from sip.headers import TOKEN, CSeq, NameAddr, Via, parse_uri, split_list
from sip.reasons import phrase
from sip.uri import SipUri

__all__ = ["Headers", "Message", "ParseError", "Request", "Response", "SipError", "parse", "response_to"]

_T = TypeVar("_T")

_COMPACT = {
    "a": "Accept-Contact",
    "b": "Referred-By",
    "c": "Content-Type",
    "d": "Request-Disposition",
    "e": "Content-Encoding",
    "f": "From",
    "i": "Call-ID",
    "j": "Reject-Contact",
    "k": "Supported",
    "l": "Content-Length",
    "m": "Contact",
    "n": "Identity-Info",
    "o": "Event",
    "r": "Refer-To",
    "s": "Subject",
    "t": "To",
    "u": "Allow-Events",
    "v": "Via",
    "x": "Session-Expires",
    "y": "Identity",
}
"""The compact forms of IANA's registry (RFC 3261 section 7.3.3 and later RFCs)."""

_LISTS = (
    "Accept", "Accept-Contact", "Accept-Encoding", "Accept-Language", "Alert-Info", "Allow", "Allow-Events",
    "Call-Info", "Contact", "Content-Encoding", "Content-Language", "Diversion", "Error-Info", "History-Info",
    "In-Reply-To", "P-Asserted-Identity", "P-Preferred-Identity", "Path", "Privacy", "Proxy-Require", "Reason",
    "Record-Route", "Reject-Contact", "Require", "Route", "Service-Route", "Supported", "Unsupported", "Via",
    "Warning",
)  # fmt: skip
"""Fields whose grammar is a comma-separated list (RFC 3261 section 7.3.1)."""

_SINGLES = (
    "Authorization", "Call-ID", "Content-Disposition", "Content-Length", "Content-Type", "CSeq", "Date", "Event",
    "Expires", "From", "Max-Forwards", "MIME-Version", "Min-Expires", "Min-SE", "Organization", "P-Access-Network-Info",
    "Priority", "Proxy-Authenticate", "Proxy-Authorization", "RAck", "Referred-By", "Refer-To", "Replaces", "Reply-To",
    "Retry-After", "RSeq", "Server", "Session-Expires", "Subject", "Subscription-State", "Timestamp", "To",
    "User-Agent", "WWW-Authenticate",
)  # fmt: skip

_LIST_KEYS = frozenset(name.lower() for name in _LISTS)

_NAMES: dict[str, tuple[str, str]] = {}
"""A field name as spelled -> (key, full name), for the spellings met in practice."""
for _name in (*_LISTS, *_SINGLES):
    for _spelling in (_name, _name.lower(), _name.upper()):
        _NAMES[_spelling] = (_name.lower(), _name)
for _short, _name in _COMPACT.items():
    _NAMES[_short] = _NAMES[_short.upper()] = (_name.lower(), _name)

_TOKEN = re.compile(f"{TOKEN}+")
_FOLD = re.compile(r"\r\n[ \t]+")
_REQUEST_LINE = re.compile(rf"({TOKEN}+) ([^\s<>\"]+) (SIP/[0-9]+\.[0-9]+)", re.IGNORECASE)
_STATUS_LINE = re.compile(r"SIP/2\.0 ([1-6][0-9][0-9])(?: ([^\r\n]*))?", re.IGNORECASE)
_DIGITS = re.compile(r"[0-9]{1,10}")
_WORD = re.compile(r"[^\s]+")


class Headers:
    """Header fields in order, names without regard to case; compact forms are known by their full names.

    Values have no line folds and no outer white space. ValueError for a name or value that would break a message.
    """

    __slots__ = ("_items",)

    def __init__(self, items: Iterable[tuple[str, str]] = ()) -> None:
        self._items: list[tuple[str, str, str]] = []
        for name, value in items:
            self.add(name, value)

    def get(self, name: str) -> str | None:
        """The first value as it stands, or None."""
        key = name_key(name)
        for item in self._items:
            if item[0] == key:
                return item[2]
        return None

    def get_all(self, name: str) -> list[str]:
        """All values in order; the members of comma-separated lists one by one."""
        key = name_key(name)
        values = [item[2] for item in self._items if item[0] == key]
        if key not in _LIST_KEYS:
            return values
        return [member for value in values for member in split_list(value)]

    def add(self, name: str, value: str) -> None:
        """Append a field."""
        self._items.append(_item(name, value))

    def prepend(self, name: str, value: str) -> None:
        """Put a field before all others."""
        self._items.insert(0, _item(name, value))

    def set(self, name: str, value: str) -> None:
        """Replace the field: the first one of that name keeps its place, further ones go."""
        item = _item(name, value)
        place = next((at for at, old in enumerate(self._items) if old[0] == item[0]), None)
        if place is None:
            self._items.append(item)
            return
        rest = [old for old in self._items[place + 1 :] if old[0] != item[0]]
        self._items[place:] = [item, *rest]

    def remove(self, name: str) -> None:
        """Drop every field of that name."""
        key = name_key(name)
        self._items = [item for item in self._items if item[0] != key]

    def copy(self) -> Headers:
        new = Headers()
        new._items = self._items.copy()
        return new

    def __contains__(self, name: str) -> bool:
        return self.get(name) is not None

    def __iter__(self) -> Iterator[tuple[str, str]]:
        return ((name, value) for _, name, value in self._items)

    def __len__(self) -> int:
        return len(self._items)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._items == other._items

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return f"Headers({list(self)!r})"


def name_key(name: str) -> str:
    """The lower-case full name a field is found by."""
    known = _NAMES.get(name)
    return known[0] if known is not None else name.lower()


def _item(name: str, value: str) -> tuple[str, str, str]:
    known = _NAMES.get(name)
    if known is None:
        if _TOKEN.fullmatch(name) is None:
            raise ValueError(f"bad header field name {name!r}")
        known = _NAMES.get(name.lower(), (name.lower(), name))
    if "\r" in value or "\n" in value:
        raise ValueError(f"line break in header field {name}")
    return (*known, value)


class Message:
    """What requests and responses share. Header fields may be changed; the typed accessors follow."""

    __slots__ = ("_typed", "body", "headers")

    def __init__(self, headers: Headers | None = None, body: bytes = b"") -> None:
        self.headers = Headers() if headers is None else headers
        self.body = body
        self._typed: dict[str, tuple[str, Any]] = {}

    @property
    def start_line(self) -> str:
        raise NotImplementedError

    @property
    def via(self) -> Via:
        """The topmost Via. Raises ParseError when a message built by hand lacks it, like all accessors."""
        return self._parsed("via", _first_via)

    @property
    def from_(self) -> NameAddr:
        return self._parsed("from", NameAddr.parse)

    @property
    def to(self) -> NameAddr:
        return self._parsed("to", NameAddr.parse)

    @property
    def cseq(self) -> CSeq:
        return self._parsed("cseq", CSeq.parse)

    @property
    def call_id(self) -> str:
        value = self.headers.get("call-id")
        if value is None:
            raise ParseError("Call-ID missing")
        return value

    @property
    def contacts(self) -> list[NameAddr]:
        """The Contact addresses; ``*`` (section 10.2.2) is not an address: see ``star_contact``. Raises ParseError."""
        return [_named("Contact", NameAddr.parse, value) for value in self.headers.get_all("contact") if value != "*"]

    @property
    def star_contact(self) -> bool:
        return "*" in self.headers.get_all("contact")

    def addresses(self, name: str) -> list[NameAddr]:
        """All addresses of a field such as Route or Record-Route. Raises ParseError."""
        return [_named(name, NameAddr.parse, value) for value in self.headers.get_all(name)]

    def number(self, name: str) -> int | None:
        """A field that is a count or a number of seconds (parameters and comments after it ignored), or None.

        Raises ParseError when it is there and no number.
        """
        value = self.headers.get(name)
        if value is None:
            return None
        match = _DIGITS.match(value)
        rest = value[match.end() :].lstrip() if match else "?"
        if match is None or (rest and rest[0] not in ";("):
            raise ParseError(f"bad {name} {value[:40]!r}")
        return int(match[0])

    def encode(self) -> bytes:
        """The bytes on the wire. Content-Length is always written, last, from the body (section 20.14)."""
        lines = [self.start_line]
        lines += [f"{name}: {value}" for key, name, value in self.headers._items if key != "content-length"]
        lines.append(f"Content-Length: {len(self.body)}\r\n\r\n")
        return "\r\n".join(lines).encode("utf-8", "surrogateescape") + self.body

    def _parsed(self, key: str, parser: Callable[[str], _T]) -> _T:
        text = self.headers.get(key)
        if text is None:
            raise ParseError(f"{_NAMES[key][1]} missing")
        typed = self._typed.get(key)
        if typed is None or typed[0] is not text:
            typed = (text, _named(_NAMES[key][1], parser, text))
            self._typed[key] = typed
        value: _T = typed[1]
        return value


class Request(Message):
    """A SIP request. ``uri`` is the Request-URI as written, ``version`` anything but ``SIP/2.0`` calls for a 505."""

    __slots__ = ("method", "uri", "version")

    def __init__(
        self, method: str, uri: str, headers: Headers | None = None, body: bytes = b"", version: str = "SIP/2.0"
    ) -> None:
        super().__init__(headers, body)
        self.method = method
        self.uri = uri
        self.version = version

    @property
    def start_line(self) -> str:
        return f"{self.method} {self.uri} {self.version}"

    @property
    def target(self) -> SipUri | str:
        """The Request-URI parsed; a plain string for schemes other than sip and sips. Raises ParseError."""
        typed = self._typed.get("uri")
        if typed is None or typed[0] is not self.uri:
            typed = (self.uri, _named("Request-URI", parse_uri, self.uri))
            self._typed["uri"] = typed
        value: SipUri | str = typed[1]
        return value

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.uri}>"


class Response(Message):
    """A SIP response, ``status`` 100..699."""

    __slots__ = ("reason", "status")

    def __init__(self, status: int, reason: str = "", headers: Headers | None = None, body: bytes = b"") -> None:
        super().__init__(headers, body)
        self.status = status
        self.reason = reason or phrase(status)

    @property
    def start_line(self) -> str:
        return f"SIP/2.0 {self.status} {self.reason}"

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.reason}>"


def parse(data: bytes) -> Request | Response:
    """One datagram or framed message.

    Bytes after Content-Length are dropped, a body shorter than it is an error (section 18.3). Raises ParseError.
    """
    data = data.lstrip(b"\r\n")
    head, end, body = data.partition(b"\r\n\r\n")
    if not end:
        raise ParseError("no empty line after the header fields")
    text = head.decode("utf-8", "surrogateescape")
    if "\r\n " in text or "\r\n\t" in text:
        text = _FOLD.sub(" ", text)
    lines = text.split("\r\n")
    message, reason = _start(lines[0])
    items = message.headers._items
    for line in lines[1:]:
        name, colon, value = line.partition(":")
        known = _NAMES.get(name) or _unusual_name(name)
        if known is None or not colon or "\n" in value or "\r" in value:
            reason = reason or f"bad header field {line[:60]!r}"
            continue
        items.append((*known, value.strip(" \t")))
    message.body = body
    reason = reason or _check_length(message) or _check_core(message)
    if reason:
        raise ParseError(reason, message if isinstance(message, Request) else None)
    return message


def _unusual_name(name: str) -> tuple[str, str] | None:
    name = name.rstrip(" \t")
    known = _NAMES.get(name) or _NAMES.get(name.lower())
    if known is None and _TOKEN.fullmatch(name):
        known = (name.lower(), name)
    return known


def _start(line: str) -> tuple[Request | Response, str]:
    """The message a start line begins, and what is wrong with the line. Raises ParseError when it is no start line."""
    match = _REQUEST_LINE.fullmatch(line)
    if match is not None:
        return Request(match[1], match[2], version=match[3].upper()), ""
    match = _STATUS_LINE.fullmatch(line)
    if match is not None:
        response = Response(int(match[1]))
        response.reason = match[2] or ""
        return response, ""
    words = _WORD.findall(line)
    if len(words) < 2 or words[0][:4].upper() == "SIP/" or words[-1][:4].upper() != "SIP/":
        raise ParseError(f"bad start line {line[:80]!r}")
    return Request(words[0], " ".join(words[1:-1])), "bad request line"


def _check_length(message: Message) -> str:
    values = {item[2] for item in message.headers._items if item[0] == "content-length"}
    if not values:
        return ""
    value = values.pop()
    if values or _DIGITS.fullmatch(value) is None:
        return "bad Content-Length"
    length = int(value)
    if length > len(message.body):
        return f"Content-Length is {length}, the body has {len(message.body)} bytes"
    if length < len(message.body):
        message.body = message.body[:length]
    return ""


def _check_core(message: Request | Response) -> str:
    keys = [item[0] for item in message.headers._items]
    for key in ("from", "to", "call-id", "cseq"):
        if keys.count(key) > 1:
            return f"more than one {_NAMES[key][1]}"
    try:
        _ = message.via, message.from_, message.to
        call_id, cseq = message.call_id, message.cseq
    except ParseError as error:
        return error.reason
    if _WORD.fullmatch(call_id) is None:
        return "bad Call-ID"
    if isinstance(message, Request) and cseq.method != message.method:
        return f"CSeq says {cseq.method}, the request line {message.method}"
    return ""


def _first_via(text: str) -> Via:
    return Via.parse(text if "," not in text else (split_list(text) or [""])[0])


def _named(name: str, parser: Callable[[str], _T], text: str) -> _T:
    """``parser(text)``, its error naming the field."""
    try:
        return parser(text)
    except ParseError as error:
        raise ParseError(f"{name}: {error.reason}") from None


def response_to(request: Request, status: int, reason: str | None = None, to_tag: str | None = None) -> Response:
    """A response by RFC 3261 section 8.2.6.2: Via, From, To, Call-ID, CSeq and Record-Route copied from the request.

    ``to_tag`` is added to a To that has none. Works on the half-read request of a ParseError too.
    """
    response = Response(status, reason or "")
    items = response.headers._items
    seen: set[str] = set()
    for item in request.headers._items:
        key = item[0]
        if key in _COPIED_ALL:
            items.append(item)
        elif (key in _COPIED or (key == "timestamp" and status == 100)) and key not in seen:
            seen.add(key)
            if key == "to" and to_tag is not None and not _has_tag(item[2]):
                item = (key, item[1], f"{item[2]};tag={to_tag}")
            items.append(item)
    return response


_COPIED_ALL = frozenset(("via", "record-route"))
_COPIED = frozenset(("from", "to", "call-id", "cseq"))
_TAG = re.compile(r";\s*tag\s*=", re.IGNORECASE)


def _has_tag(value: str) -> bool:
    if _TAG.search(value) is None:
        return False
    try:
        return NameAddr.parse(value).tag is not None
    except ParseError:
        return True
