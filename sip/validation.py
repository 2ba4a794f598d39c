"""Whether a request that parsed can be acted on: RFC 3261 section 8.2, in the order that section asks for.

The answers are those RFC 4475 expects of a user agent or registrar. ACK is never answered; the caller sees to that.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import NamedTuple

from sip.message import Headers, ParseError, Request, Response
from sip.uri import SipUri

KNOWN_METHODS = frozenset(
    (
        "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE", "PRACK",
        "SUBSCRIBE", "NOTIFY", "REFER", "MESSAGE", "PUBLISH",
    )
)  # fmt: skip
"""Methods of IANA's registry: unsupported ones get 405, all others 501."""

_ONCE = (
    "Max-Forwards",
    "Content-Type",
    "Content-Encoding",
    "Expires",
    "Date",
    "Event",
    "Session-Expires",
    "MIME-Version",
)
_ONE_VALUE = frozenset(name.lower() for name in _ONCE if name != "Content-Encoding")
_SESSION_METHODS = frozenset(("INVITE", "UPDATE", "PRACK", "ACK"))
_DIALOG_ADDRESSES = ("Contact", "Record-Route", "Route")


class Refusal(NamedTuple):
    """Why a request is refused: status, reason phrase, and the header fields the response needs."""

    status: int
    reason: str
    headers: tuple[tuple[str, str], ...] = ()


def validate(
    request: Request,
    methods: Collection[str] = KNOWN_METHODS,
    supported: Collection[str] = (),
    accept: Collection[str] = ("application/sdp",),
) -> Refusal | None:
    """None when the request may be acted on.

    ``methods`` are those we serve (405, 501), ``supported`` our option tags (420), ``accept`` the body types that
    INVITE, UPDATE, PRACK and ACK may carry (415).
    """
    return (
        _check_version(request)
        or _check_method(request, methods)
        or _check_uri(request)
        or _check_fields(request)
        or _check_require(request, supported)
        or _check_body(request, accept)
    )


def discard_response(response: Response) -> bool:
    """True for a response that is not for a user agent: more than one Via (RFC 3261 section 8.1.3.3)."""
    return len(response.headers.get_all("via")) > 1


def _check_version(request: Request) -> Refusal | None:
    return None if request.version == "SIP/2.0" else Refusal(505, "Version Not Supported")


def _check_method(request: Request, methods: Collection[str]) -> Refusal | None:
    if request.method in methods:
        return None
    allow = (("Allow", ", ".join(sorted(methods))),)
    if request.method in KNOWN_METHODS:
        return Refusal(405, "Method Not Allowed", allow)
    return Refusal(501, "Not Implemented", allow)


def _check_uri(request: Request) -> Refusal | None:
    try:
        target = request.target
    except ParseError as error:
        return Refusal(400, error.reason)
    if not isinstance(target, SipUri):
        return Refusal(416, "Unsupported URI Scheme")
    if target.headers:
        return Refusal(400, "Request-URI: header fields are not allowed there")
    return None


def _check_fields(request: Request) -> Refusal | None:
    name = _repeated(request.headers)
    if name:
        return Refusal(400, f"more than one {name}")
    try:
        hops = request.number("Max-Forwards")
        for name in _DIALOG_ADDRESSES:
            request.addresses(name) if name != "Contact" else request.contacts
    except ParseError as error:
        return Refusal(400, error.reason)
    if hops is not None and hops > 255:
        return Refusal(400, "Max-Forwards: more than 255")
    if request.star_contact and request.method != "REGISTER":
        return Refusal(400, "Contact: * is for REGISTER only")
    return None


def _repeated(headers: Headers) -> str | None:
    seen: set[str] = set()
    for name, _ in headers:
        key = name.lower()
        if key in _ONE_VALUE:
            if key in seen:
                return name
            seen.add(key)
    return None


def _check_require(request: Request, supported: Collection[str]) -> Refusal | None:
    if request.method in ("ACK", "CANCEL") or "require" not in request.headers:
        return None
    unknown = [tag for tag in request.headers.get_all("require") if tag not in supported]
    return Refusal(420, "Bad Extension", (("Unsupported", ", ".join(unknown)),)) if unknown else None


def _check_body(request: Request, accept: Collection[str]) -> Refusal | None:
    if request.method not in _SESSION_METHODS:
        return None
    accepted = request.headers.get_all("accept")
    if request.method == "INVITE" and "accept" in request.headers and not _covers(accepted, accept):
        return Refusal(406, "Not Acceptable")
    if not request.body or "handling=optional" in (request.headers.get("content-disposition") or "").lower():
        return None
    encoding = (request.headers.get("content-encoding") or "identity").lower()
    if encoding != "identity":
        return Refusal(415, "Unsupported Media Type", (("Accept-Encoding", "identity"),))
    if media_type(request.headers.get("content-type") or "") not in accept:
        return Refusal(415, "Unsupported Media Type", (("Accept", ", ".join(accept)),))
    return None


def media_type(value: str) -> str:
    """``type/subtype`` of a Content-Type or Accept value, lower case, without parameters."""
    return value.partition(";")[0].strip().lower()


def _covers(accepted: list[str], types: Collection[str]) -> bool:
    ranges = {media_type(value) for value in accepted}
    return any(candidate in ranges for kind in types for candidate in (kind, f"{kind.partition('/')[0]}/*", "*/*"))
