"""Calls coming in: the UAS of RFC 3261 sections 8.2, 9.2, 12, 13.3 and 15."""

from __future__ import annotations

import pytest

from sip.agent import CallStateError
from sip.auth import DigestClient
from sip.config import SipConfig
from sip.dialog import Dialog
from sip.events import (
    CallCancelled,
    CallConfirmed,
    CallEnded,
    EndKind,
    IncomingCall,
    InfoReceived,
    RegistrationFailed,
    SessionOffered,
)
from sip.message import Request, Response
from sip.peer import Peer
from tests.sip.desk import Desk
from tests.sip.network import ANSWER, OFFER


def the_response(messages: list[Request | Response]) -> Response:
    (message,) = messages
    assert isinstance(message, Response)
    return message


def test_b3_an_invite_is_reported_with_who_calls_whom_and_the_offer() -> None:
    desk = Desk()
    invite = desk.request(
        "INVITE",
        "sip:200*4321@conf.example",
        caller='"Боб \\"B\\"" <sip:bob@elsewhere.example>;tag=far',
        headers=("X-Trunk: 7",),
        body=OFFER,
    )
    assert desk.give(invite) == []
    event = desk.last(IncomingCall)
    assert (event.user, event.from_user, event.from_name) == ("200*4321", "bob", 'Боб "B"')
    assert (event.offer, event.source, event.transport) == (OFFER, ("192.0.2.50", 5060), "udp")
    assert (event.account, event.call_id, event.headers) == (None, "call-1", {"x-trunk": "7"})


def test_ringing_and_answering_use_one_tag_and_a_contact_of_ours() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.ring(call, desk.now)
    desk.agent.answer(call, ANSWER, desk.now)
    ringing, ok = desk.responses("INVITE")
    assert (ringing.status, ok.status) == (180, 200)
    assert ringing.to.tag == ok.to.tag is not None
    assert str(ok.contacts[0].uri) == "sip:200@192.0.2.1:5060"
    assert (ok.body, ok.headers.get("Content-Type")) == (ANSWER, "application/sdp")


def test_early_media_goes_out_in_a_183() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.ring(call, desk.now, 183, ANSWER)
    (progress,) = desk.responses("INVITE")
    assert (progress.status, progress.body) == (183, ANSWER)


def test_a_phone_that_rings_long_is_told_so_every_minute() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.ring(call, desk.now)
    desk.run(130)
    assert desk.statuses() == [180, 180, 180]


def test_the_ack_confirms_the_call_once() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.give(desk.request("ACK", to_tag=tag))
    assert [event for event in desk.events if isinstance(event, CallConfirmed)] == [CallConfirmed(call, None)]
    desk.run(40)
    assert desk.statuses() == [200]


def test_an_invite_without_an_offer_is_answered_with_ours_and_the_ack_brings_the_answer() -> None:
    desk = Desk()
    call, _ = desk.incoming(offer=b"")
    assert desk.last(IncomingCall).offer is None
    desk.agent.answer(call, OFFER, desk.now)
    tag = desk.responses("INVITE")[-1].to.tag
    desk.give(desk.request("ACK", to_tag=tag, body=ANSWER))
    assert desk.last(CallConfirmed) == CallConfirmed(call, ANSWER)


def test_the_200_is_repeated_until_the_ack_and_the_call_ended_after_32_seconds() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.answer(call, ANSWER, desk.now)
    desk.run(31.6)
    assert desk.statuses() == [200] * 11
    assert not desk.requests("BYE")
    desk.run(1)
    assert desk.last(CallEnded).kind is EndKind.TIMEOUT
    desk.reply(desk.requests("BYE")[-1], 200)
    desk.run(40)
    assert desk.agent.idle


def test_a_cancel_ends_the_invite_with_487_and_is_reported() -> None:
    desk = Desk()
    call, invite = desk.incoming()
    desk.agent.ring(call, desk.now)
    cancel = desk.same_transaction(invite, "CANCEL")
    cancel.headers.add("Reason", 'SIP;cause=200;text="Call completed elsewhere"')
    answers = desk.give(cancel)
    assert [(m.status, m.cseq.method) for m in answers if isinstance(m, Response)] == [(200, "CANCEL"), (487, "INVITE")]
    assert len({response.to.tag for response in desk.responses("INVITE") + desk.responses("CANCEL")}) == 1
    assert desk.last(CallCancelled) == CallCancelled(call, "Call completed elsewhere")
    desk.agent.answer(call, ANSWER, desk.now)
    desk.run(100)
    assert desk.agent.idle


def test_a_cancel_after_the_answer_changes_nothing() -> None:
    desk = Desk()
    call, invite = desk.incoming()
    desk.agent.answer(call, ANSWER, desk.now)
    assert the_response(desk.give(desk.same_transaction(invite, "CANCEL"))).status == 200
    assert desk.agent.calls == (call,)


def test_a_cancel_of_nothing_gets_481() -> None:
    desk = Desk()
    assert the_response(desk.give(desk.request("CANCEL"))).status == 481


def test_a_refusal_carries_its_status_reason_and_header_fields_and_waits_for_its_ack() -> None:
    desk = Desk()
    call, invite = desk.incoming()
    desk.agent.reject(call, 486, 'Conference "9" is full', desk.now, {"Retry-After": "30"})
    (refusal,) = desk.responses("INVITE")
    assert (refusal.status, refusal.reason) == (486, "Busy Here")
    assert refusal.headers.get("Reason") == 'SIP;cause=486;text="Conference \\"9\\" is full"'
    assert refusal.headers.get("Retry-After") == "30"
    desk.give(desk.same_transaction(invite, "ACK", refusal.to.tag))
    desk.run(6)
    assert desk.agent.idle


def test_hanging_up_before_the_ack_waits_for_it() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.answer(call, ANSWER, desk.now)
    desk.agent.hang_up(call, desk.now, "changed our mind")
    desk.collect()
    assert desk.last(CallEnded) == CallEnded(call, EndKind.LOCAL, "changed our mind")
    assert not desk.requests("BYE")
    desk.give(desk.request("ACK", to_tag=desk.responses("INVITE")[-1].to.tag))
    assert len(desk.requests("BYE")) == 1
    assert not [event for event in desk.events if isinstance(event, CallConfirmed)]


def test_hanging_up_an_unanswered_call_refuses_it() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    assert desk.statuses() == [480]


def test_our_bye_goes_to_the_contact_with_the_reason_and_the_next_cseq() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.agent.hang_up(call, desk.now, "conference ended")
    (bye,) = desk.requests("BYE")
    assert (bye.uri, bye.from_.tag, bye.to.tag) == ("sip:bob@192.0.2.50:5060", tag, "far")
    assert bye.headers.get("Reason") == 'SIP;cause=200;text="conference ended"'
    assert desk.last(CallEnded) == CallEnded(call, EndKind.LOCAL, "conference ended")
    desk.reply(bye, 200)
    assert desk.agent.settled


def test_a_bye_is_answered_and_its_reason_reported() -> None:
    desk = Desk()
    call, tag = desk.answered()
    bye = desk.request("BYE", number=2, to_tag=tag, headers=('Reason: Q.850;cause=16;text="normal; clearing"',))
    assert the_response(desk.give(bye)).status == 200
    assert desk.last(CallEnded) == CallEnded(call, EndKind.REMOTE, "normal; clearing")
    desk.agent.hang_up(call, desk.now)
    assert the_response(desk.give(desk.request("BYE", number=3, to_tag=tag))).status == 481
    desk.run(40)
    assert desk.agent.idle


def test_byes_that_cross_are_both_answered() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    assert the_response(desk.give(desk.request("BYE", number=2, to_tag=tag))).status == 200
    assert len([event for event in desk.events if isinstance(event, CallEnded)]) == 1


def test_the_caller_may_end_an_early_dialog_with_bye() -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.ring(call, desk.now)
    tag = desk.responses("INVITE")[-1].to.tag
    desk.give(desk.request("BYE", number=2, to_tag=tag))
    assert desk.statuses() == [180, 200, 487]
    assert desk.last(CallCancelled).call == call


def test_an_invite_that_says_how_long_it_may_take_is_refused_after_that() -> None:
    desk = Desk()
    call, _ = desk.incoming(headers=("Expires: 20",))
    desk.run(21)
    assert 487 in desk.statuses()
    assert desk.last(CallCancelled).call == call


def test_a_repeated_invite_makes_no_second_call() -> None:
    desk = Desk()
    _, invite = desk.incoming()
    desk.give(invite)
    assert len([event for event in desk.events if isinstance(event, IncomingCall)]) == 1


def test_an_invite_that_came_two_ways_is_refused_with_482_the_second_time() -> None:
    desk = Desk()
    desk.incoming()
    assert the_response(desk.give(desk.request("INVITE", body=OFFER))).status == 482


@pytest.mark.parametrize("method", ["BYE", "INVITE", "UPDATE", "INFO", "OPTIONS"])
def test_a_request_in_an_unknown_dialog_gets_481(method: str) -> None:
    desk = Desk()
    desk.answered()
    assert the_response(desk.give(desk.request(method, to_tag="other", number=2))).status == 481


def test_an_ack_of_nothing_is_ignored() -> None:
    desk = Desk()
    assert desk.give(desk.request("ACK", to_tag="x")) == []
    assert desk.agent.idle


def test_a_cseq_lower_than_one_seen_gets_500() -> None:
    desk = Desk()
    _, tag = desk.answered()
    assert the_response(desk.give(desk.request("INFO", to_tag=tag, number=9))).status == 200
    assert the_response(desk.give(desk.request("INFO", to_tag=tag, number=8))).status == 500


def test_a_reinvite_is_offered_to_the_user_and_his_answer_sent_until_the_ack() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.give(desk.request("INVITE", to_tag=tag, number=2, body=OFFER))
    assert desk.last(SessionOffered) == SessionOffered(call, OFFER, "INVITE")
    desk.agent.accept_session(call, ANSWER, desk.now)
    desk.run(1)
    oks = [response for response in desk.responses("INVITE") if response.cseq.number == 2]
    assert [(ok.status, ok.body, ok.to.tag) for ok in oks] == [(200, ANSWER, tag)] * 2
    desk.give(desk.request("ACK", to_tag=tag, number=2))
    desk.run(40)
    assert len(desk.responses("INVITE")) == 3
    assert desk.agent.calls == (call,)


def test_a_reinvite_without_an_offer_is_answered_with_ours() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.give(desk.request("INVITE", to_tag=tag, number=2))
    assert desk.last(SessionOffered).offer is None
    desk.agent.accept_session(call, OFFER, desk.now)
    desk.give(desk.request("ACK", to_tag=tag, number=2, body=ANSWER))
    assert desk.last(CallConfirmed) == CallConfirmed(call, ANSWER)


def test_a_refused_reinvite_leaves_the_call_as_it_was() -> None:
    desk = Desk()
    call, tag = desk.answered()
    reinvite = desk.request("INVITE", to_tag=tag, number=2, body=OFFER)
    desk.give(reinvite)
    desk.agent.refuse_session(call, 488, "no codec in common", desk.now)
    refusal = desk.responses("INVITE")[-1]
    assert refusal.status == 488
    assert desk.give(desk.same_transaction(reinvite, "ACK")) == []
    assert desk.agent.calls == (call,)


def test_a_cancelled_reinvite_leaves_the_call_as_it_was() -> None:
    desk = Desk()
    call, tag = desk.answered()
    reinvite = desk.request("INVITE", to_tag=tag, number=2, body=OFFER)
    desk.give(reinvite)
    desk.give(desk.same_transaction(reinvite, "CANCEL"))
    assert desk.responses("INVITE")[-1].status == 487
    desk.agent.accept_session(call, ANSWER, desk.now)
    desk.collect()
    assert desk.agent.calls == (call,)


def test_a_second_reinvite_before_the_first_is_answered_gets_500_and_a_time_to_come_back() -> None:
    desk = Desk()
    _, tag = desk.answered()
    desk.give(desk.request("INVITE", to_tag=tag, number=2, body=OFFER))
    refusal = the_response(desk.give(desk.request("INVITE", to_tag=tag, number=3, body=OFFER)))
    assert refusal.status == 500
    assert 0 <= int(refusal.headers.get("Retry-After") or "-1") <= 10


def test_a_reinvite_that_meets_ours_gets_491() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.agent.modify_session(call, OFFER, desk.now)
    assert the_response(desk.give(desk.request("INVITE", to_tag=tag, number=2, body=OFFER))).status == 491


def test_a_bye_ends_the_reinvite_that_waits_with_487() -> None:
    desk = Desk()
    _, tag = desk.answered()
    desk.give(desk.request("INVITE", to_tag=tag, number=2, body=OFFER))
    desk.give(desk.request("BYE", to_tag=tag, number=3))
    assert desk.responses("INVITE")[-1].status == 487
    assert desk.responses("BYE")[-1].status == 200


def test_an_update_with_an_offer_is_answered_by_the_user() -> None:
    desk = Desk()
    call, tag = desk.answered()
    desk.give(desk.request("UPDATE", to_tag=tag, number=2, body=OFFER))
    assert desk.last(SessionOffered) == SessionOffered(call, OFFER, "UPDATE")
    desk.agent.accept_session(call, ANSWER, desk.now)
    (ok,) = desk.responses("UPDATE")
    assert (ok.status, ok.body) == (200, ANSWER)


def test_an_update_without_an_offer_only_refreshes_where_we_send() -> None:
    desk = Desk()
    call, tag = desk.answered()
    update = desk.request("UPDATE", to_tag=tag, number=2, contact="<sip:bob@192.0.2.77:5070>")
    assert the_response(desk.give(update)).status == 200
    desk.agent.hang_up(call, desk.now)
    (bye,) = desk.requests("BYE")
    assert bye.uri == "sip:bob@192.0.2.77:5070"
    assert desk.sent[-1][1] == Peer("udp", "192.0.2.77", 5070)


@pytest.mark.parametrize(("method", "status"), [("UPDATE", 500), ("INVITE", 500), ("INFO", 200), ("OPTIONS", 200)])
def test_requests_in_an_early_dialog_are_answered(method: str, status: int) -> None:
    desk = Desk()
    call, _ = desk.incoming()
    desk.agent.ring(call, desk.now)
    tag = desk.responses("INVITE")[-1].to.tag
    body = OFFER if method in ("UPDATE", "INVITE") else b""
    assert the_response(desk.give(desk.request(method, number=2, to_tag=tag, body=body))).status == status


@pytest.mark.parametrize("kind", ["application/dtmf-relay", "application/dtmf"])
def test_b34_a_keypad_digit_in_an_info_is_reported(kind: str) -> None:
    desk = Desk()
    call, tag = desk.answered()
    info = desk.request("INFO", to_tag=tag, number=2, headers=(f"Content-Type: {kind}",), body=b"Signal=5\r\n")
    assert the_response(desk.give(info)).status == 200
    assert desk.last(InfoReceived) == InfoReceived(call, kind, b"Signal=5\r\n")


def test_an_info_we_do_not_understand_gets_415_and_what_we_would() -> None:
    desk = Desk()
    _, tag = desk.answered()
    info = desk.request("INFO", to_tag=tag, number=2, headers=("Content-Type: application/xml",), body=b"<x/>")
    refusal = the_response(desk.give(info))
    assert (refusal.status, refusal.headers.get("Accept")) == (415, "application/dtmf-relay, application/dtmf")


def test_options_tells_what_we_can() -> None:
    desk = Desk()
    ok = the_response(desk.give(desk.request("OPTIONS")))
    assert ok.status == 200
    assert "INVITE" in ok.headers.get_all("Allow")
    assert ok.headers.get("Accept") == "application/sdp"


@pytest.mark.parametrize(
    ("request_", "status", "field"),
    [
        (("SUBSCRIBE", "sip:200@conf.example", ()), 405, "Allow"),
        (("NEWMETHOD", "sip:200@conf.example", ()), 501, "Allow"),
        (("INVITE", "http://conf.example/", ()), 416, None),
        (("INVITE", "sip:200@conf.example", ("Require: 100rel",)), 420, "Unsupported"),
        (("INVITE", "sip:200@conf.example", ("Content-Type: text/plain",)), 415, "Accept"),
    ],
)
def test_what_we_do_not_do_is_refused_with_what_we_do(
    request_: tuple[str, str, tuple[str, ...]], status: int, field: str | None
) -> None:
    desk = Desk()
    method, uri, headers = request_
    body = b"x" if any(header.startswith("Content-Type") for header in headers) else b""
    refusal = the_response(desk.give(desk.request(method, uri, headers=headers, body=body)))
    assert refusal.status == status
    assert refusal.to.tag
    assert field is None or field in refusal.headers


@pytest.mark.parametrize("method", ["BYE", "INFO", "UPDATE"])
def test_a_request_that_needs_a_dialog_gets_481_outside_one(method: str) -> None:
    desk = Desk()
    assert the_response(desk.give(desk.request(method))).status == 481


def test_a_session_in_a_multipart_body_is_found() -> None:
    desk = Desk()
    body = b"--b1\r\nContent-Type: text/plain\r\n\r\nhi\r\n--b1\r\nContent-Type: application/sdp\r\n\r\n" + OFFER
    desk.incoming(offer=body + b"\r\n--b1--\r\n", headers=('Content-Type: multipart/mixed;boundary="b1"',))
    assert desk.last(IncomingCall).offer == OFFER


@pytest.mark.parametrize("contact", ["<tel:+375291234567>", "<sip:a@h>, <sip:b@h>", "<sips:bob@192.0.2.50>"])
def test_an_invite_whose_contact_leads_nowhere_gets_400(contact: str) -> None:
    desk = Desk()
    assert the_response(desk.give(desk.request("INVITE", contact=contact, body=OFFER))).status == 400
    desk.run(40)
    assert desk.agent.idle


def test_a_malformed_request_gets_400_naming_the_field() -> None:
    desk = Desk()
    request = desk.request("OPTIONS").encode().replace(b"Content-Length: 0", b"Content-Length: 9")
    refusal = the_response(desk.give(request))
    assert refusal.status == 400
    assert "Content-Length" in refusal.reason


def test_a_request_without_any_via_is_dropped_as_its_sender_could_not_tell_the_answer_apart() -> None:
    desk = Desk()
    request = desk.request("OPTIONS")
    request.headers.remove("Via")
    assert desk.give(request) == []


@pytest.mark.parametrize("junk", [b"", b"\r\n\r\n", b"\0\0\0\0", b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 999 x\r\n\r\n"])
def test_what_is_no_sip_request_is_dropped(junk: bytes) -> None:
    desk = Desk()
    assert desk.give(junk) == []


def test_more_calls_than_allowed_are_refused_with_503_and_a_time_to_come_back() -> None:
    desk = Desk(SipConfig(hosts=("192.0.2.1",), domain="conf.example", max_calls=1))
    desk.incoming()
    refusal = the_response(desk.give(desk.request("INVITE", call_id="call-2", body=OFFER)))
    assert (refusal.status, refusal.headers.get("Retry-After")) == (503, "10")


def test_a_flood_of_requests_is_refused_without_being_remembered() -> None:
    desk = Desk(SipConfig(hosts=("192.0.2.1",), domain="conf.example", max_transactions=5))
    for number in range(20):
        desk.give(desk.request("OPTIONS", call_id=f"flood-{number}"))
    assert desk.statuses() == [200] * 5 + [503] * 15
    desk.run(40)
    assert desk.agent.idle
    assert the_response(desk.give(desk.request("OPTIONS", call_id="later"))).status == 200


def test_closing_says_goodbye_to_every_call_and_turns_new_ones_away() -> None:
    desk = Desk()
    answered, _ = desk.answered()
    desk.give(desk.request("INVITE", call_id="call-2", body=OFFER))
    desk.outgoing()
    desk.agent.close(desk.now)
    assert len(desk.requests("BYE")) == 1
    assert desk.responses("INVITE")[-1].status == 503
    assert desk.agent.calls == ()
    assert the_response(desk.give(desk.request("INVITE", call_id="call-3", body=OFFER))).status == 503
    assert desk.last(CallEnded).call == answered


# --- addresses -------------------------------------------------------------------------------------------------------


def test_b35_with_rport_the_answer_goes_back_where_the_request_came_from() -> None:
    desk = Desk()
    desk.give(desk.request("OPTIONS"), Peer("udp", "203.0.113.7", 31337))
    response, peer = desk.sent[-1]
    assert peer == Peer("udp", "203.0.113.7", 31337)
    assert (response.via.received, response.via.rport) == ("203.0.113.7", 31337)


def test_without_rport_the_answer_goes_to_the_source_host_at_the_port_in_via() -> None:
    desk = Desk()
    via = "SIP/2.0/UDP 10.0.0.7:5066;branch=z9hG4bKx1"
    desk.give(desk.request("OPTIONS", via=via), Peer("udp", "203.0.113.7", 31337))
    response, peer = desk.sent[-1]
    assert peer == Peer("udp", "203.0.113.7", 5066)
    assert (response.via.received, response.via.wants_rport) == ("203.0.113.7", False)


def test_only_the_top_via_is_changed() -> None:
    desk = Desk()
    request = desk.request("OPTIONS")
    request.headers.set("Via", f"{request.headers.get('Via')}, SIP/2.0/TCP 10.1.1.1;branch=z9hG4bKinner")
    ok = the_response(desk.give(request, Peer("udp", "203.0.113.7", 31337)))
    assert ok.headers.get_all("Via")[1:] == ["SIP/2.0/TCP 10.1.1.1;branch=z9hG4bKinner"]


def test_over_tcp_the_answer_goes_back_on_the_connection() -> None:
    desk = Desk()
    source = Peer("tcp", "203.0.113.7", 40001, 17)
    via = "SIP/2.0/TCP 203.0.113.7:5060;branch=z9hG4bKx1"
    desk.give(desk.request("OPTIONS", via=via), source)
    assert desk.sent[-1][1] == Peer("tcp", "203.0.113.7", 5060, 17)


def test_b35_a_phone_behind_a_nat_gets_its_bye_at_the_address_it_called_from() -> None:
    desk = Desk()
    source = Peer("udp", "203.0.113.7", 31337)
    via = "SIP/2.0/UDP 10.0.0.7:5060;branch=z9hG4bKx1;rport"
    desk.give(desk.request("INVITE", via=via, contact="<sip:bob@10.0.0.7:5060>", body=OFFER), source)
    call = desk.last(IncomingCall).call
    desk.agent.answer(call, ANSWER, desk.now)
    tag = desk.responses("INVITE")[-1].to.tag
    desk.give(desk.request("ACK", to_tag=tag), source)
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    bye, peer = desk.sent[-1]
    assert isinstance(bye, Request)
    assert (bye.uri, peer) == ("sip:bob@10.0.0.7:5060", source)


def test_over_tcp_our_requests_use_the_callers_connection() -> None:
    desk = Desk()
    source = Peer("tcp", "192.0.2.50", 40001, 17)
    via = "SIP/2.0/TCP 192.0.2.50:5060;branch=z9hG4bKx1"
    invite = desk.request("INVITE", via=via, contact="<sip:bob@192.0.2.50:5060;transport=tcp>", body=OFFER)
    desk.give(invite, source)
    call = desk.last(IncomingCall).call
    desk.agent.answer(call, ANSWER, desk.now)
    ok = desk.responses("INVITE")[-1]
    assert str(ok.contacts[0].uri) == "sip:200@192.0.2.1:5060;transport=tcp"
    desk.give(desk.request("ACK", to_tag=ok.to.tag, via=via + "2"), source)
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    assert desk.sent[-1][1].flow == 17


def test_a_caller_whose_connection_breaks_waits_no_more() -> None:
    desk = Desk()
    via = "SIP/2.0/TCP 192.0.2.50:5060;branch=z9hG4bKx1"
    desk.give(desk.request("INVITE", via=via, body=OFFER), Peer("tcp", "192.0.2.50", 40001, 17))
    desk.agent.connection_lost(Peer("tcp", "192.0.2.9", 40001, 16), desk.now)
    assert len(desk.agent.calls) == 1
    desk.agent.connection_lost(Peer("tcp", "192.0.2.50", 40001, 17), desk.now)
    desk.collect()
    assert desk.last(CallCancelled).reason == "the caller's connection was lost"
    assert len(desk.agent.calls) == 0


# --- who calls -------------------------------------------------------------------------------------------------------


def test_a_caller_at_a_registered_phones_address_is_recognised_as_its_account() -> None:
    desk = Desk()
    desk.register()
    desk.give(desk.request("INVITE", caller="<sip:100@conf.example>;tag=far", body=OFFER))
    assert desk.last(IncomingCall).account == "100"


def test_a_caller_who_only_claims_to_be_an_account_is_nobody() -> None:
    desk = Desk()
    desk.register()
    caller = "<sip:100@conf.example>;tag=far"
    desk.give(desk.request("INVITE", caller=caller, body=OFFER), Peer("udp", "198.51.100.1", 5060))
    assert desk.last(IncomingCall).account is None


def test_such_a_caller_is_challenged_when_so_configured() -> None:
    desk = Desk(SipConfig(hosts=("192.0.2.1",), domain="conf.example", challenge_accounts=True))
    caller = "<sip:100@conf.example>;tag=far"
    refusal = the_response(desk.give(desk.request("INVITE", caller=caller, body=OFFER)))
    assert refusal.status == 401
    assert "WWW-Authenticate" in refusal.headers
    assert not [event for event in desk.events if isinstance(event, IncomingCall)]
    again = desk.request("INVITE", caller=caller, number=2, body=OFFER)
    again.headers.add(*DigestClient("100", "secret").answer(again, refusal, "cn"))
    desk.give(again)
    assert desk.last(IncomingCall).account == "100"


def test_a_caller_with_a_wrong_password_is_challenged_again_and_gets_no_further() -> None:
    desk = Desk(SipConfig(hosts=("192.0.2.1",), domain="conf.example", challenge_accounts=True))
    caller = "<sip:100@conf.example>;tag=far"
    refusal = the_response(desk.give(desk.request("INVITE", caller=caller, body=OFFER)))
    again = desk.request("INVITE", caller=caller, number=2, body=OFFER)
    again.headers.add(*DigestClient("100", "guess").answer(again, refusal, "cn"))
    assert the_response(desk.give(again)).status == 401
    assert desk.last(RegistrationFailed).reason == "wrong password"
    assert not desk.agent.calls


def test_a_call_in_the_wrong_phase_is_told_apart_from_one_that_is_gone() -> None:
    desk = Desk()
    call, _ = desk.answered()
    with pytest.raises(CallStateError):
        desk.agent.answer(call, ANSWER, desk.now)
    desk.agent.answer("gone", ANSWER, desk.now)
    desk.agent.hang_up("gone", desk.now)


def test_a_dialog_is_named_by_call_id_and_both_tags() -> None:
    dialog = Dialog.of_server(Desk().request("INVITE"), "ours", 10)
    assert dialog.id == ("call-1", "ours", "far")
