"""One user agent and messages written by hand: what a scripted far side would send, in virtual time."""

from __future__ import annotations

from random import Random
from typing import TypeVar

from sip.agent import UserAgent
from sip.auth import DigestClient, HashedCredentials
from sip.config import SipConfig
from sip.events import Event
from sip.message import Request, Response, parse, response_to
from sip.peer import Peer
from sip.trunk import Trunk
from tests.sip.network import OFFER

FAR = Peer("udp", "192.0.2.50", 5060)
_Kind = TypeVar("_Kind", bound=Event)


class Desk:
    """The agent listens at 192.0.2.1:5060, domain conf.example. Account 100 has the password ``secret``."""

    def __init__(self, config: SipConfig | None = None, trunks: tuple[Trunk, ...] = ()) -> None:
        self.config = config or SipConfig(hosts=("192.0.2.1",), domain="conf.example")
        known = {"100": HashedCredentials.of("100", self.config.realm, "secret")}
        self.agent = UserAgent(self.config, known.get, trunks=trunks, rng=Random(5), secret=b"k" * 32)
        self.now = 1000.0
        self.events: list[Event] = []
        self.sent: list[tuple[Request | Response, Peer]] = []
        self._serial = 0

    # --- time and traffic ------------------------------------------------------------------------------------------

    def run(self, seconds: float) -> None:
        end = self.now + seconds
        self.collect()
        while (at := self.agent.timer()) is not None and at <= end:
            self.now = max(self.now, at)
            self.agent.handle_timer(self.now)
            self.collect()
        self.now = end

    def give(self, message: Request | Response | bytes, source: Peer = FAR) -> list[Request | Response]:
        """Let a message arrive; returns what the agent sends because of it."""
        self.collect()
        before = len(self.sent)
        self.agent.receive(message if isinstance(message, bytes) else message.encode(), source, self.now)
        self.collect()
        return [message for message, _ in self.sent[before:]]

    def collect(self) -> None:
        while (event := self.agent.next_event()) is not None:
            self.events.append(event)
        self.sent += [(parse(data), peer) for data, peer in self.agent.to_send()]

    # --- what was seen ---------------------------------------------------------------------------------------------

    def last(self, kind: type[_Kind]) -> _Kind:
        found = [event for event in self.events if isinstance(event, kind)]
        assert found, f"no {kind.__name__} among {self.events}"
        return found[-1]

    def statuses(self) -> list[int]:
        return [message.status for message, _ in self.sent if isinstance(message, Response)]

    def requests(self, method: str) -> list[Request]:
        self.collect()
        return [m for m, _ in self.sent if isinstance(m, Request) and m.method == method]

    def responses(self, method: str) -> list[Response]:
        self.collect()
        return [m for m, _ in self.sent if isinstance(m, Response) and m.cseq.method == method]

    # --- the far side's pen ----------------------------------------------------------------------------------------

    def request(
        self,
        method: str,
        uri: str = "sip:200@conf.example",
        *,
        number: int = 1,
        to_tag: str | None = None,
        call_id: str = "call-1",
        headers: tuple[str, ...] = (),
        body: bytes = b"",
        via: str | None = None,
        contact: str = "<sip:bob@192.0.2.50:5060>",
        caller: str = "<sip:bob@elsewhere.example>;tag=far",
    ) -> Request:
        self._serial += 1
        lines = [
            f"{method} {uri} SIP/2.0",
            f"Via: {via or f'SIP/2.0/UDP 192.0.2.50:5060;branch=z9hG4bKfar{self._serial};rport'}",
            "Max-Forwards: 70",
            f"From: {caller}",
            f"To: <sip:200@conf.example>{f';tag={to_tag}' if to_tag else ''}",
            f"Call-ID: {call_id}",
            f"CSeq: {number} {method}",
            f"Contact: {contact}",
            *headers,
        ]
        if body and not any(line.lower().startswith("content-type") for line in headers):
            lines.append("Content-Type: application/sdp")
        message = parse("\r\n".join(lines).encode() + b"\r\n\r\n" + body)
        assert isinstance(message, Request)
        return message

    def same_transaction(self, request: Request, method: str, to_tag: str | None = None) -> Request:
        """CANCEL or a refusal's ACK: top Via and CSeq number of the INVITE."""
        again = Request(method, request.uri, request.headers.copy())
        again.headers.set("CSeq", f"{request.cseq.number} {method}")
        if to_tag is not None:
            again.headers.set("To", f"<sip:200@conf.example>;tag={to_tag}")
        return again

    def reply(
        self,
        request: Request,
        status: int,
        *,
        tag: str = "far",
        headers: tuple[tuple[str, str], ...] = (),
        contact: str | None = "<sip:bob@192.0.2.50:5060>",
        body: bytes = b"",
        source: Peer = FAR,
    ) -> list[Request | Response]:
        """Let the far side answer a request of ours."""
        response = response_to(request, status, to_tag=tag)
        if contact is not None and 100 < status < 300:
            response.headers.add("Contact", contact)
        for name, value in headers:
            response.headers.add(name, value)
        if body:
            response.headers.add("Content-Type", "application/sdp")
            response.body = body
        return self.give(response, source)

    # --- whole steps -----------------------------------------------------------------------------------------------

    def incoming(self, *, offer: bytes = OFFER, headers: tuple[str, ...] = ()) -> tuple[str, Request]:
        """An INVITE has come: the call's name and the INVITE."""
        from sip.events import IncomingCall

        invite = self.request("INVITE", body=offer, headers=headers)
        self.give(invite)
        return self.last(IncomingCall).call, invite

    def answered(self, body: bytes = OFFER) -> tuple[str, str]:
        """An incoming call answered and acknowledged: its name and our tag."""
        call, invite = self.incoming()
        self.agent.answer(call, body, self.now)
        self.collect()
        tag = self.responses("INVITE")[-1].to.tag or ""
        self.give(self.request("ACK", "sip:200@192.0.2.1:5060", number=invite.cseq.number, to_tag=tag))
        return call, tag

    def outgoing(self, number: str = "sip:bob@192.0.2.50", **who: str) -> tuple[str, Request]:
        """We have sent an INVITE: the call's name and the INVITE."""
        call = self.agent.invite(number, OFFER, self.now, from_user=who.get("from_user", "300"))
        self.collect()
        return call, self.requests("INVITE")[-1]

    def register(self, source: Peer = FAR, contact: str = "<sip:100@192.0.2.50:5060>") -> None:
        """Account 100 signs in from ``source``."""
        request = self.request("REGISTER", "sip:conf.example", contact=contact, call_id=f"reg-{source.host}")
        request.headers.set("To", "<sip:100@conf.example>")
        (challenge,) = self.give(request, source)
        assert isinstance(challenge, Response)
        again = self.request("REGISTER", "sip:conf.example", contact=contact, call_id=f"reg-{source.host}", number=2)
        again.headers.set("To", "<sip:100@conf.example>")
        again.headers.add(*DigestClient("100", "secret").answer(again, challenge, "cn"))
        (ok,) = self.give(again, source)
        assert isinstance(ok, Response)
        assert ok.status == 200, ok
