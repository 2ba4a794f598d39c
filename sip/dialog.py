"""A dialog: the relation of two user agents that holds between requests (RFC 3261 section 12)."""

from __future__ import annotations

from sip.errors import ParseError
from sip.headers import NameAddr
from sip.message import Headers, Request, Response
from sip.uri import SipUri

DialogId = tuple[str, str, str]
"""Call-ID, local tag, remote tag (empty for an RFC 2543 peer, section 12.1.1)."""


class Dialog:
    """Call-ID, tags, sequence numbers, route set and remote target of one dialog.

    ``local`` and ``remote`` are the From and To values, tags included, as they go into our requests.
    """

    __slots__ = ("call_id", "id", "local", "local_seq", "remote", "remote_seq", "routes", "target")

    def __init__(
        self,
        id_: DialogId,
        local: str,
        remote: str,
        local_seq: int,
        remote_seq: int | None,
        target: SipUri | str,
        routes: list[NameAddr],
    ) -> None:
        self.id = id_
        self.call_id = id_[0]
        self.local = local
        self.remote = remote
        self.local_seq = local_seq
        self.remote_seq = remote_seq
        self.target = target
        self.routes = routes

    @classmethod
    def of_server(cls, request: Request, tag: str, local_seq: int) -> Dialog:
        """The UAS's side (section 12.1.1). Raises ParseError when Contact or Record-Route cannot be used.

        An RFC 2543 caller may leave Contact out and is then reached at his From (RFC 4475 section 3.4.1).
        """
        return cls(
            (request.call_id, tag, request.from_.tag or ""),
            f"{request.headers.get('To')};tag={tag}",
            request.headers.get("From") or "",
            local_seq,
            request.cseq.number,
            contact_of(request) if "Contact" in request.headers else request.from_.uri,
            request.addresses("Record-Route"),
        )

    @classmethod
    def of_client(cls, request: Request, response: Response) -> Dialog:
        """The UAC's side (section 12.1.2). A response without a usable Contact or Record-Route must still be
        acknowledged: the dialog then goes where the INVITE went."""
        try:
            target, routes = contact_of(response), response.addresses("Record-Route")[::-1]
        except ParseError:
            target, routes = request.target, []
        return cls(
            (request.call_id, request.from_.tag or "", response.to.tag or ""),
            request.headers.get("From") or "",
            response.headers.get("To") or "",
            request.cseq.number,
            None,
            target,
            routes,
        )

    @property
    def next_hop(self) -> SipUri | str:
        """Where requests go: the first route, else the remote target (section 8.1.2)."""
        return self.routes[0].uri if self.routes else self.target

    def request(self, method: str) -> Request:
        """The next request, without Via: section 12.2.1.1."""
        self.local_seq += 1
        return self._build(method, self.local_seq)

    def ack(self, invite: Request) -> Request:
        """The ACK for a 2xx to that INVITE, with its CSeq number and its credentials (section 13.2.2.4)."""
        ack = self._build("ACK", invite.cseq.number)
        for name in ("Authorization", "Proxy-Authorization"):
            for value in invite.headers.get_all(name):
                ack.headers.add(name, value)
        return ack

    def in_order(self, request: Request) -> bool:
        """Take note of a request's CSeq; False when it is lower than one already seen (section 12.2.2)."""
        number = request.cseq.number
        if self.remote_seq is not None and number < self.remote_seq:
            return False
        self.remote_seq = number
        return True

    def refresh(self, message: Request | Response) -> bool:
        """Take the remote target from a target refresh request or its 2xx; True when it changed."""
        try:
            target = contact_of(message)
        except ParseError:
            return False
        if str(target) == str(self.target):
            return False
        self.target = target
        return True

    def _build(self, method: str, number: int) -> Request:
        uri, routes = str(self.target), [f"<{route.uri}>" for route in self.routes]
        first = self.routes[0].uri if self.routes else None
        if isinstance(first, SipUri) and not first.loose_route:
            # A strict router wants itself in the Request-URI and the target at the end of the routes.
            uri = str(first.replace(headers={}, params={k: v for k, v in first.params.items() if k != "method"}))
            routes = [*routes[1:], f"<{self.target}>"]
        headers = Headers()
        for route in routes:
            headers.add("Route", route)
        headers.add("Max-Forwards", "70")
        headers.add("From", self.local)
        headers.add("To", self.remote)
        headers.add("Call-ID", self.call_id)
        headers.add("CSeq", f"{number} {method}")
        return Request(method, uri, headers)


def contact_of(message: Request | Response) -> SipUri | str:
    """The one Contact that makes or refreshes a dialog (section 12.1). Raises ParseError."""
    contacts = message.contacts
    if len(contacts) != 1:
        raise ParseError(f"Contact: one address wanted, {len(contacts)} given")
    return contacts[0].uri
