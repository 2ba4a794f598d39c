"""Where an outgoing call goes: a URI as it stands, a registered account's phones, or a trunk."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from sip.auth import DigestClient, HashedCredentials
from sip.core import DEFAULT_PORT, Core, RoutingError
from sip.errors import ParseError
from sip.headers import NameAddr, parse_uri
from sip.peer import Peer
from sip.registrar import Registrar
from sip.trunk import Trunks
from sip.uri import SipUri

Lookup = Callable[[str], HashedCredentials | None]
"""The hashed password of an account, None for an unknown one."""


@dataclass(frozen=True, slots=True)
class Destination:
    """One place to send an INVITE to. ``to`` is whom To names, ``caller`` replaces the user and host of From."""

    uri: SipUri
    peer: Peer
    to: SipUri
    credentials: DigestClient | None = None
    caller: SipUri | None = None


class Router:
    """Resolves what was dialled."""

    def __init__(self, core: Core, registrar: Registrar, trunks: Trunks, lookup: Lookup) -> None:
        self._core = core
        self._registrar = registrar
        self._trunks = trunks
        self._lookup = lookup

    def resolve(self, dialled: str, now: float) -> list[Destination]:
        """Destinations to ring at once, never none. Raises RoutingError with the status that fits."""
        address = self._address(dialled)
        if isinstance(address, str):
            return self._phones(address, now) or [self._outside(address)]
        return [Destination(address, self._core.route(address), address)]

    def redirect(self, contact: SipUri | str, sent: Destination, source: Peer, now: float) -> list[Destination]:
        """Where a 3xx leads that ``sent`` was answered with from ``source``. Raises RoutingError, with status 403 when
        whom we called has no say in that.

        To our own phones, and to wherever else the same host wants the call. Not to others, and not to a number unless
        the configuration allows it: any phone could have us pay for its calls.
        """
        address = self._address(contact)
        if isinstance(address, str):
            phones = self._phones(address, now)
            if not phones and not self._core.config.follow_to_numbers:
                raise RoutingError("redirected to a number, which is not allowed", 403)
            return phones or [self._outside(address)]
        if address.host.lower() not in (sent.peer.host.lower(), source.host):
            raise RoutingError("redirected to another host, which is not allowed", 403)
        return [replace(sent, uri=address, peer=self._core.route(address))]

    def is_ours(self, uri: SipUri) -> bool:
        """Whether the URI's host is our domain or the very address we listen at."""
        if uri.host.lower() == self._core.config.realm.lower() and uri.port is None:
            return True
        transport = uri.transport if uri.transport in self._core.config.transports else "udp"
        port = uri.port or DEFAULT_PORT
        return (uri.host, port) == self._core.local_address(Peer(transport, uri.host, port))

    def _address(self, dialled: SipUri | str) -> SipUri | str:
        """A number or account of ours, or a URI elsewhere. Raises RoutingError."""
        if isinstance(dialled, str) and ":" in dialled:
            try:
                dialled = parse_uri(dialled)
            except ParseError as error:
                raise RoutingError(error.reason) from None
        if isinstance(dialled, str):
            scheme, colon, rest = dialled.partition(":")
            if colon and scheme.lower() != "tel":
                raise RoutingError(f"calls to {scheme}: are not possible", 416)
            return rest.partition(";")[0] if colon else dialled
        return dialled.user if dialled.user and self.is_ours(dialled) else dialled.replace(headers={})

    def _phones(self, account: str, now: float) -> list[Destination]:
        """Where an account of ours is signed in; nothing when it is none. Raises RoutingError."""
        phones = self._registrar.targets(account, now)
        if not phones and self._lookup(account) is not None:
            # Ours, but signed out: a trunk would only send the call back to us.
            raise RoutingError(f"no phone is signed in as {account}", 480)
        to = SipUri(user=account, host=self._core.config.realm)
        return [Destination(SipUri.parse(phone.uri), phone.peer, to) for phone in phones]

    def _outside(self, number: str) -> Destination:
        """The trunk that takes a number. Raises RoutingError."""
        routes = self._trunks.routes(number)
        if not routes:
            raise RoutingError(f"{number} is neither an account nor a number a trunk takes")
        way = routes[0]
        uri = SipUri.parse(way.uri)
        # A provider that wants a sign-in wants its own subscriber in From, unless told otherwise.
        subscriber = way.from_user or way.trunk.user
        caller = SipUri(user=subscriber, host=way.trunk.host) if subscriber else None
        return Destination(uri, way.peer, uri, way.client, caller)


def caller_of(destination: Destination, caller: NameAddr) -> NameAddr:
    """From as this destination is to see it."""
    return caller if destination.caller is None else NameAddr(caller.display, destination.caller)
