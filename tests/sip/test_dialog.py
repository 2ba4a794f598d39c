"""Dialogs: identity, sequence numbers, route sets and remote targets (RFC 3261 section 12)."""

from __future__ import annotations

import pytest

from sip.dialog import Dialog, contact_of
from sip.events import IncomingCall
from sip.message import Headers, ParseError, Request, Response, parse, response_to
from sip.peer import Peer
from tests.sip.desk import Desk
from tests.sip.network import ANSWER, OFFER


def invite(*headers: str) -> Request:
    lines = (
        "INVITE sip:b@example.com SIP/2.0",
        "Via: SIP/2.0/UDP 192.0.2.50;branch=z9hG4bK1",
        "From: A <sip:a@example.com>;tag=1",
        "To: <sip:b@example.com>",
        "Call-ID: c1",
        "CSeq: 7 INVITE",
        *headers,
    )
    message = parse("\r\n".join((*lines, "", "")).encode())
    assert isinstance(message, Request)
    return message


def server_dialog(*headers: str) -> Dialog:
    return Dialog.of_server(invite("Contact: <sip:a@192.0.2.50>", *headers), "2", 40)


def answer_to(request: Request, *headers: tuple[str, str]) -> Response:
    response = response_to(request, 200, to_tag="2")
    for name, value in headers:
        response.headers.add(name, value)
    return response


def test_the_called_side_keeps_the_route_set_in_order() -> None:
    bye = server_dialog("Record-Route: <sip:p1;lr>, <sip:p2;lr>", "Record-Route: <sip:p3;lr>").request("BYE")
    assert bye.headers.get_all("Route") == ["<sip:p1;lr>", "<sip:p2;lr>", "<sip:p3;lr>"]


def test_the_calling_side_turns_the_route_set_round() -> None:
    request = invite("Contact: <sip:a@192.0.2.50>")
    routes = (("Record-Route", "<sip:p1;lr>, <sip:p2;lr>"), ("Contact", "<sip:b@192.0.2.60>"))
    dialog = Dialog.of_client(request, answer_to(request, *routes))
    assert dialog.request("BYE").headers.get_all("Route") == ["<sip:p2;lr>", "<sip:p1;lr>"]
    assert str(dialog.next_hop) == "sip:p2;lr"


def test_a_request_in_the_dialog_reads_like_this() -> None:
    bye = server_dialog("Record-Route: <sip:p1;lr>").request("BYE")
    assert bye.encode() == (
        b"BYE sip:a@192.0.2.50 SIP/2.0\r\nRoute: <sip:p1;lr>\r\nMax-Forwards: 70\r\nFrom: <sip:b@example.com>;tag=2\r\n"
        b"To: A <sip:a@example.com>;tag=1\r\nCall-ID: c1\r\nCSeq: 41 BYE\r\nContent-Length: 0\r\n\r\n"
    )


def test_a_strict_router_gets_itself_as_request_uri_without_method_and_headers() -> None:
    bye = server_dialog("Record-Route: <sip:p1;method=INVITE?a=b>, <sip:p2>").request("BYE")
    assert bye.uri == "sip:p1"
    assert bye.headers.get_all("Route") == ["<sip:p2>", "<sip:a@192.0.2.50>"]


def test_each_request_takes_the_next_number_and_an_ack_that_of_its_invite() -> None:
    dialog = server_dialog()
    assert [dialog.request("INFO").cseq.number for _ in range(3)] == [41, 42, 43]
    ours = Request("INVITE", "sip:a@192.0.2.50", Headers([("CSeq", "42 INVITE")]))
    assert str(dialog.ack(ours).cseq) == "42 ACK"


def test_a_number_lower_than_one_seen_is_out_of_order_and_gaps_are_not() -> None:
    dialog = server_dialog()

    def at(number: int) -> bool:
        request = invite()
        request.headers.set("CSeq", f"{number} INFO")
        return dialog.in_order(request)

    assert [at(8), at(20), at(19), at(20), at(7)] == [True, True, False, True, False]


def test_the_caller_takes_any_first_number_of_the_called_side() -> None:
    request = invite("Contact: <sip:a@192.0.2.50>")
    dialog = Dialog.of_client(request, answer_to(request, ("Contact", "<sip:b@192.0.2.60>")))
    other = invite()
    other.headers.set("CSeq", "1 BYE")
    assert dialog.in_order(other)


def test_a_peer_of_rfc_2543_without_a_tag_has_an_empty_one() -> None:
    request = invite("Contact: <sip:a@192.0.2.50>")
    request.headers.set("From", "<sip:a@example.com>")
    assert Dialog.of_server(request, "2", 1).id == ("c1", "2", "")


def test_the_remote_target_follows_the_contact_of_a_refresh() -> None:
    dialog = server_dialog()
    assert not dialog.refresh(invite())
    assert dialog.refresh(invite("Contact: <sip:a@192.0.2.99>"))
    assert not dialog.refresh(invite("Contact: <sip:a@192.0.2.99>"))
    assert dialog.request("BYE").uri == "sip:a@192.0.2.99"


@pytest.mark.parametrize("contact", ["", "Contact: <sip:a@h>, <sip:b@h>"])
def test_a_dialog_needs_exactly_one_contact(contact: str) -> None:
    with pytest.raises(ParseError, match="Contact"):
        contact_of(invite(contact) if contact else invite())


def called_from(desk: Desk, source: Peer) -> tuple[str, str]:
    """A phone that calls itself 10.0.0.7 has called from ``source``: the call and our tag."""
    desk.give(in_nat(desk, "INVITE", 1, body=OFFER), source)
    call = desk.last(IncomingCall).call
    desk.agent.answer(call, ANSWER, desk.now)
    tag = desk.responses("INVITE")[-1].to.tag or ""
    desk.give(in_nat(desk, "ACK", 1, tag), source)
    return call, tag


def in_nat(desk: Desk, method: str, number: int, tag: str = "", body: bytes = b"") -> Request:
    via = f"SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bK{method}{number};rport"
    contact = "<sip:bob@10.0.0.7:5060>"
    return desk.request(method, number=number, to_tag=tag or None, via=via, contact=contact, body=body)


def test_b35_a_nat_that_gives_the_phone_another_port_is_followed_by_its_next_refresh() -> None:
    desk = Desk()
    call, tag = called_from(desk, Peer("udp", "203.0.113.7", 31337))
    desk.give(in_nat(desk, "UPDATE", 2, tag), Peer("udp", "203.0.113.7", 40404))
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    assert desk.sent[-1][1] == Peer("udp", "203.0.113.7", 40404)


def test_a_request_that_may_be_forwarded_no_further_is_answered_as_we_forward_nothing() -> None:
    desk = Desk()
    request = desk.request("OPTIONS")
    request.headers.set("Max-Forwards", "0")
    (ok,) = desk.give(request)
    assert isinstance(ok, Response)
    assert ok.status == 200
