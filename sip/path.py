"""Which way a dialog's requests go: by its route set, unless the far side is known to sit behind a NAT."""

from __future__ import annotations

from sip.core import DEFAULT_PORT, Core, RoutingError
from sip.dialog import Dialog
from sip.message import Request
from sip.peer import Peer
from sip.uri import SipUri


class Path:
    """Next hop of one dialog.

    RFC 3261 sends requests to the Contact's address, which is of no use when that is a private one. A phone that asks
    for rport (RFC 3581) and names the same address in Via and Contact is reached where its request came from; a
    phone called at its registered source address likewise.
    """

    __slots__ = ("_contact", "_core", "_dialog", "_source", "peer")

    def __init__(self, core: Core, dialog: Dialog) -> None:
        self._core = core
        self._dialog = dialog
        self._contact: tuple[str, int] | None = None
        self._source: Peer | None = None
        self.peer: Peer

    def learn_from(self, request: Request, source: Peer) -> None:
        """Take note of a request of the far side, then ``update``. Raises RoutingError."""
        via = request.via
        direct = len(request.headers.get_all("Via")) == 1 and (via.wants_rport or source.reliable)
        self.learn((via.host, via.port or DEFAULT_PORT), source) if direct else self.update()

    def learn(self, contact: tuple[str, int], source: Peer) -> None:
        """Whoever calls himself ``contact`` is reached at ``source``. Raises RoutingError."""
        self._contact = contact
        self._source = source
        self.update()

    def learn_or_trust(self, contact: tuple[str, int], source: Peer) -> None:
        """The same for an answer to our INVITE; one that names no usable way back is followed to where it came from."""
        try:
            self.learn(contact, source)
        except RoutingError:
            self.peer = source

    def update(self) -> None:
        """Find the next hop after the remote target may have changed. Raises RoutingError."""
        hop, source = self._dialog.next_hop, self._source
        direct = source is not None and not self._dialog.routes and _address(hop) == self._contact
        if source is not None and direct:
            self.peer = source
            return
        peer = self._core.route(hop)
        if source is not None and (source.transport, source.host) == (peer.transport, peer.host):
            peer = Peer(peer.transport, peer.host, peer.port, source.flow)
        self.peer = peer


def _address(uri: SipUri | str) -> tuple[str, int] | None:
    return (uri.host, uri.port or DEFAULT_PORT) if isinstance(uri, SipUri) and uri.scheme == "sip" else None
