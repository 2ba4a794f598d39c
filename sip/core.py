"""What the parts of the user agent share: settings, timers, transactions, the tables of calls and dialogs."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from random import Random
from typing import Protocol

from sip.config import SipConfig
from sip.dialog import DialogId
from sip.errors import ParseError, SipError
from sip.events import Event
from sip.headers import clean, parse_params, quote, unquote
from sip.message import Request, Response, response_to
from sip.peer import Peer
from sip.timers import TimerQueue
from sip.transaction import ClientTransaction, ClientUser, ServerTransaction
from sip.transactions import MAGIC_COOKIE, Transactions
from sip.uri import SipUri, format_host

DEFAULT_PORT = 5060
METHODS = ("INVITE", "ACK", "CANCEL", "BYE", "OPTIONS", "INFO", "UPDATE", "REGISTER")
ALLOW = ", ".join(METHODS)
SDP = "application/sdp"

_OWN_FIELDS = frozenset(
    ("via", "from", "to", "call-id", "cseq", "contact", "content-length", "content-type", "max-forwards",
     "record-route", "route", "authorization", "proxy-authorization")
)  # fmt: skip

LocalAddress = Callable[[Peer], tuple[str, int]]
"""Host and port to be reached at by that peer, for Via and Contact."""


class RoutingError(SipError):
    """There is no way to send a request there; ``status`` says in SIP's terms why."""

    def __init__(self, reason: str, status: int = 404) -> None:
        super().__init__(reason)
        self.status = status


class DialogUser(Protocol):
    """Who takes the requests of a dialog."""

    def handle_request(self, request: Request, transaction: ServerTransaction, now: float) -> None: ...

    def handle_ack(self, ack: Request, now: float) -> None: ...


class CallPhase(Protocol):
    """A call in any of its phases, as the user of the agent names it."""

    def hang_up(self, reason: str, now: float) -> None: ...


class Core:
    """The user agent's tables and services. ``rng`` makes tags, branches and Call-IDs: SystemRandom outside tests."""

    def __init__(self, config: SipConfig, rng: Random, local_address: LocalAddress) -> None:
        self.config = config
        self.rng = rng
        self.local_address = local_address
        self.timers = TimerQueue()
        self.transactions = Transactions(self.timers, config.max_transactions)
        self.events: deque[Event] = deque()
        self.calls: dict[str, CallPhase] = {}
        self.dialogs: dict[DialogId, DialogUser] = {}

    def emit(self, event: Event) -> None:
        self.events.append(event)

    def token(self) -> str:
        """64 random bits: unguessable names for calls, tags and branches (section 19.3 asks for 32)."""
        return f"{self.rng.getrandbits(64):016x}"

    def first_cseq(self) -> int:
        """Section 8.1.1.5: any number below 2**31; small ones leave room to count."""
        return self.rng.randrange(1, 1 << 16)

    def contact(self, peer: Peer, user: str) -> str:
        host, port = self.local_address(peer)
        uri = SipUri(user=user or None, host=host, port=port)
        return f"<{uri};transport=tcp>" if peer.transport == "tcp" else f"<{uri}>"

    def route(self, uri: SipUri | str) -> Peer:
        """The next hop of a URI (section 8.1.2; no DNS SRV). Raises RoutingError."""
        if not isinstance(uri, SipUri) or uri.scheme != "sip":
            raise RoutingError(f"no route to {uri}", 416)
        if uri.transport not in self.config.transports:
            raise RoutingError(f"transport {uri.transport} is not configured", 416)
        return Peer(uri.transport, uri.host, uri.port or DEFAULT_PORT)

    def add_via(self, request: Request, peer: Peer) -> None:
        host, port = self.local_address(peer)
        request.headers.prepend(
            "Via",
            f"SIP/2.0/{peer.transport.upper()} {format_host(host)}:{port};branch={MAGIC_COOKIE}{self.token()};rport",
        )

    def send(self, request: Request, peer: Peer, user: ClientUser, now: float) -> ClientTransaction:
        """Put our Via on and start a client transaction."""
        self.add_via(request, peer)
        request.headers.set("User-Agent", self.config.user_agent)
        return self.transactions.request(request, peer, user, now)

    def send_ack(self, ack: Request, peer: Peer) -> bytes:
        """ACK for a 2xx: no transaction of its own (section 13.2.2.4). Returns the bytes to repeat."""
        self.add_via(ack, peer)
        data = ack.encode()
        self.transactions.transmit(data, peer)
        return data

    def response(
        self,
        request: Request,
        status: int,
        reason: str | None = None,
        *,
        tag: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        content_type: str = SDP,
    ) -> Response:
        """A response as section 8.2.6 has it; a To tag is made up when neither the request nor the caller has one."""
        response = response_to(request, status, reason, to_tag=tag or self.token())
        for name, value in (headers or {}).items():
            response.headers.add(name, value)
        response.headers.add("Server", self.config.user_agent)
        if body:
            response.headers.add("Content-Type", content_type)
            response.body = body
        return response

    def retry_after(self) -> dict[str, str]:
        """For the 500 of sections 14.2 and RFC 3311: try again in 0 to 10 s."""
        return {"Retry-After": str(self.rng.randrange(11))}


def further_fields(message: Request | Response) -> dict[str, str]:
    """The header fields signalling itself has no use for, by lower-case name, the first value each."""
    fields: dict[str, str] = {}
    for name, value in message.headers:
        key = name.lower()
        if key not in _OWN_FIELDS:
            fields.setdefault(key, clean(value))
    return fields


def session_of(message: Request | Response) -> bytes | None:
    """The session description a message carries, if any (alone or first in a multipart body, RFC 5621)."""
    if not message.body:
        return None
    content = message.headers.get("Content-Type") or SDP
    kind, _, rest = content.partition(";")
    kind = kind.strip().lower()
    if kind == SDP:
        return message.body
    if kind.startswith("multipart/"):
        return _first_part(message.body, rest)
    return None


def _first_part(body: bytes, params: str) -> bytes | None:
    """The application/sdp part of a multipart body (RFC 2046 section 5.1)."""
    for param in params.split(";"):
        name, _, value = param.partition("=")
        if name.strip().lower() == "boundary":
            boundary = b"--" + value.strip().strip('"').encode("utf-8", "surrogateescape")
            break
    else:
        return None
    for part in (b"\r\n" + body).split(b"\r\n" + boundary)[1:]:
        head, separator, content = part.partition(b"\r\n\r\n")
        if separator and b"application/sdp" in head.lower():
            return content
    return None


def reason_of(message: Request | Response) -> str:
    """The text of the Reason header field (RFC 3326), or its cause, or nothing."""
    for value in message.headers.get_all("Reason"):
        try:
            params = parse_params(value[value.find(";") :])
        except ParseError:
            continue
        if params.get("text"):
            return clean(unquote(params["text"] or ""))
        if params.get("cause"):
            return f"cause {params['cause']}"
    return ""


def reason_header(status: int, text: str) -> dict[str, str]:
    """A Reason header field in our own words."""
    return {"Reason": f"SIP;cause={status};text={quote(one_line(text))}"} if text else {}


def one_line(text: str) -> str:
    """Text without line breaks and other control characters, fit for a header field."""
    return text if text.isprintable() else "".join(c if c.isprintable() else " " for c in text)
