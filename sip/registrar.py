"""The registrar (RFC 3261 section 10.3): REGISTER in, response and events out. No I/O, no clock."""

from __future__ import annotations

import re
from dataclasses import dataclass

from sip.authenticator import Authenticator
from sip.bindings import MAX_CONTACTS, Binding, Bindings, Target, route
from sip.events import Event, Registered
from sip.headers import NameAddr
from sip.message import ParseError, Request, Response, response_to
from sip.peer import Peer
from sip.uri import SipUri

_SECONDS = re.compile(r"[0-9]{1,10}")
_MALFORMED_EXPIRES = 3600


@dataclass(frozen=True, slots=True)
class RegistrarSettings:
    """Bounds, in seconds, on how long a binding lives; the most contacts one account may have."""

    min_expires: int = 60
    max_expires: int = 3600
    max_contacts: int = MAX_CONTACTS


class _RefusedError(Exception):
    def __init__(self, status: int, reason: str, header: tuple[str, str] | None = None) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason
        self.header = header


class Registrar:
    """Serves the phone accounts the authenticator knows. Path (RFC 3327) is not supported and ignored."""

    def __init__(self, authenticator: Authenticator, settings: RegistrarSettings | None = None) -> None:
        self.authenticator = authenticator
        self._settings = settings or RegistrarSettings()
        self._bindings = Bindings(self._settings.max_contacts)

    def receive(
        self, request: Request, peer: Peer, now: float, to_tag: str | None = None
    ) -> tuple[Response, list[Event]]:
        """Answer a REGISTER that came from ``peer`` and passed ``sip.validation.validate``."""
        verdict = self.authenticator.authenticate(request, peer, now, to_tag)
        if verdict.account is None:
            assert verdict.response is not None
            return verdict.response, [] if verdict.failure is None else [verdict.failure]
        account = verdict.account
        try:
            _check_address(request, account)
            changed = self._update(request, account, peer, now)
        except (_RefusedError, ParseError) as error:
            return _refusal(request, error, to_tag), []
        response = response_to(request, 200, None, to_tag)
        for binding in self._bindings.of(account, now):
            response.headers.add("Contact", binding.contact_value(now))
        return response, [self._registered(account, now)] if changed else []

    def targets(self, account: str, now: float) -> list[Target]:
        """How to reach the account's phones, the preferred ones first; empty when none is registered."""
        return [binding.target for binding in self._bindings.of(account, now)]

    def known_at(self, account: str, peer: Peer, now: float) -> bool:
        """Whether a phone of the account registered from this transport address: whoever calls from there is it."""
        return self._bindings.known_at(account, peer, now)

    def connection_lost(self, flow: int, now: float) -> list[Event]:
        """A TCP connection is gone: so are the phones that only it led to."""
        return [self._registered(account, now) for account in self._bindings.drop_flow(flow, now)]

    def timer(self) -> float | None:
        """When handle_timer is due."""
        return self._bindings.next_expiry()

    def handle_timer(self, now: float) -> list[Event]:
        """Drop bindings that have run out."""
        return [self._registered(account, now) for account in self._bindings.expire(now)]

    def __len__(self) -> int:
        """Bindings held."""
        return len(self._bindings)

    def _registered(self, account: str, now: float) -> Registered:
        return Registered(account, tuple(str(binding.uri) for binding in self._bindings.of(account, now)))

    def _update(self, request: Request, account: str, peer: Peer, now: float) -> bool:
        """Section 10.3, steps 6 and 7: all of the request's contacts or none. False when it only asked."""
        contacts = request.contacts
        old = self._bindings.of(account, now)
        if request.star_contact:
            if contacts or _seconds(request.headers.get("expires")) != 0:
                raise _RefusedError(400, "Contact * needs Expires: 0 and no other Contact")
            for binding in old:
                _check_order(binding, request)
            self._bindings.replace(account, [], now)
            return True
        if len(contacts) > self._settings.max_contacts:
            raise _RefusedError(403, "Too many contacts")
        bindings = old
        for contact in contacts:
            new = self._binding(request, contact, peer, now)
            for binding in old:
                if _same_place(binding, new):
                    _check_order(binding, request)
            bindings = [binding for binding in bindings if not _same_place(binding, new)] + [new]
        if contacts:
            self._bindings.replace(account, bindings, now)
        return bool(contacts)

    def _binding(self, request: Request, contact: NameAddr, peer: Peer, now: float) -> Binding:
        uri = contact.uri
        if not isinstance(uri, SipUri):
            raise _RefusedError(400, "Contact: only SIP URIs can be registered")
        instance = contact.params.get("+sip.instance")
        return Binding(
            uri=uri,
            q=contact.q,
            call_id=request.call_id,
            cseq=request.cseq.number,
            expires_at=now + self._expires(request, contact),
            peer=route(uri, request.via, peer),
            source=peer,
            instance=f"{instance};{contact.params.get('reg-id')}" if instance else None,
        )

    def _expires(self, request: Request, contact: NameAddr) -> int:
        """Seconds granted: the contact's own wish, else Expires, else the longest; within our bounds."""
        wish = contact.params.get("expires", request.headers.get("expires") or str(self._settings.max_expires))
        seconds = _seconds(wish)
        if 0 < seconds < self._settings.min_expires:
            raise _RefusedError(423, "Interval Too Brief", ("Min-Expires", str(self._settings.min_expires)))
        return min(seconds, self._settings.max_expires)


def _seconds(text: str | None) -> int:
    """delta-seconds; malformed ones count as an hour (section 20.19)."""
    return int(text) if text is not None and _SECONDS.fullmatch(text) else _MALFORMED_EXPIRES


def _check_address(request: Request, account: str) -> None:
    """Steps 4 and 5: the address-of-record must exist and be the signed-in account's own."""
    address = request.to.uri
    if not isinstance(address, SipUri) or not address.user:
        raise _RefusedError(404, "Not Found")
    if address.user != account:
        raise _RefusedError(403, "This is not your number")


def _check_order(binding: Binding, request: Request) -> None:
    """Step 7: a request of the same call must be newer than the one that made the binding."""
    if binding.call_id == request.call_id and request.cseq.number <= binding.cseq:
        raise _RefusedError(500, "CSeq is not above the last one of this Call-ID")


def _same_place(one: Binding, two: Binding) -> bool:
    return one.uri == two.uri or (one.instance is not None and one.instance == two.instance)


def _refusal(request: Request, error: _RefusedError | ParseError, to_tag: str | None) -> Response:
    if isinstance(error, ParseError):
        return response_to(request, 400, error.reason, to_tag)
    response = response_to(request, error.status, error.reason, to_tag)
    if error.header is not None:
        response.headers.add(*error.header)
    return response
