"""Calls going out: the UAC of RFC 3261 sections 8.1, 9.1, 13.2, 14.1 and 22.2."""

from __future__ import annotations

import pytest

from sip.auth import DigestServer, HashedCredentials
from sip.config import SipConfig
from sip.events import (
    CallAnswered,
    CallEnded,
    CallFailed,
    CallProgress,
    EndKind,
    FailureKind,
    InfoReceived,
    SessionAnswered,
    SessionRefused,
)
from sip.message import Request, Response
from sip.peer import Peer
from sip.trunk import PrefixRule, Trunk
from tests.sip.desk import FAR, Desk
from tests.sip.network import ANSWER, OFFER

TRUNK = Trunk("t", "trunk.example", user="veche", password="pw", prefixes=(PrefixRule("+375", 1, "00"),))


def established(desk: Desk, **reply: tuple[tuple[str, str], ...]) -> tuple[str, Request]:
    """An outgoing call answered by the far side."""
    call, invite = desk.outgoing()
    desk.reply(invite, 200, body=ANSWER, **reply)  # type: ignore[arg-type]
    return call, invite


def failure(desk: Desk) -> CallFailed:
    (event,) = [event for event in desk.events if isinstance(event, CallFailed)]
    return event


def in_dialog(desk: Desk, invite: Request, method: str, number: int = 1, body: bytes = b"") -> Request:
    """A request of the far side in the dialog our INVITE made."""
    request = desk.request(method, "sip:300@192.0.2.1:5060", number=number, call_id=invite.call_id, body=body)
    request.headers.set("From", "<sip:bob@192.0.2.50>;tag=far")
    request.headers.set("To", f"<sip:300@conf.example>;tag={invite.from_.tag}")
    return request


# --- the good way ----------------------------------------------------------------------------------------------------


def test_b9_an_invite_says_who_calls_and_offers_a_session() -> None:
    desk = Desk()
    desk.agent.invite("sip:bob@192.0.2.50", OFFER, desk.now, from_user="300", from_name='Планёрка "A"')
    (invite,) = desk.requests("INVITE")
    assert (invite.uri, invite.body) == ("sip:bob@192.0.2.50", OFFER)
    assert (invite.from_.display, str(invite.from_.uri)) == ('Планёрка "A"', "sip:300@conf.example")
    assert (str(invite.to.uri), invite.to.tag, invite.headers.get("Max-Forwards")) == ("sip:bob@192.0.2.50", None, "70")
    assert str(invite.contacts[0].uri) == "sip:300@192.0.2.1:5060"
    assert desk.sent[0][1] == FAR


def test_a_line_break_in_a_name_or_reason_does_not_break_the_message() -> None:
    desk = Desk()
    call = desk.agent.invite("sip:bob@192.0.2.50", OFFER, desk.now, from_user="3\r\n00", from_name="A\r\nVia: x")
    (invite,) = desk.requests("INVITE")
    assert (invite.from_.display, invite.from_.user) == ("A  Via: x", "3\r\n00")
    desk.reply(invite, 200, body=ANSWER)
    desk.agent.hang_up(call, desk.now, 'over\r\nVia: x"')
    assert desk.requests("BYE")[0].headers.get("Reason") == 'SIP;cause=200;text="over  Via: x\\""'


def test_ringing_and_early_media_are_reported_and_100_is_not() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    for status, body in ((100, b""), (180, b""), (183, ANSWER)):
        desk.reply(invite, status, body=body)
    progress = [event for event in desk.events if isinstance(event, CallProgress)]
    assert [(p.call, p.status, p.body) for p in progress] == [(call, 180, None), (call, 183, ANSWER)]


def test_the_answer_is_acknowledged_each_time_it_comes_and_reported_once() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    first = desk.reply(invite, 200, body=ANSWER)
    second = desk.reply(invite, 200, body=ANSWER)
    assert [message.encode() for message in first] == [message.encode() for message in second]
    (ack,) = first
    assert isinstance(ack, Request)
    assert (ack.method, ack.uri, ack.cseq.number) == ("ACK", "sip:bob@192.0.2.50:5060", invite.cseq.number)
    assert ack.via.branch != invite.via.branch
    (answered,) = [event for event in desk.events if isinstance(event, CallAnswered)]
    assert (answered.call, answered.body, answered.source) == (call, ANSWER, ("192.0.2.50", 5060))


def test_an_answered_call_takes_info_and_bye_from_the_far_side() -> None:
    desk = Desk()
    call, invite = established(desk)
    info = in_dialog(desk, invite, "INFO", 1, b"Signal=1\r\n")
    info.headers.set("Content-Type", "application/dtmf-relay")
    desk.give(info)
    assert desk.last(InfoReceived).call == call
    desk.give(in_dialog(desk, invite, "BYE", 2))
    assert desk.last(CallEnded) == CallEnded(call, EndKind.REMOTE, "")
    desk.run(40)
    assert desk.agent.idle


def test_requests_follow_the_route_set_of_the_answer_backwards() -> None:
    desk = Desk()
    routes = (("Record-Route", "<sip:192.0.2.61;lr>"), ("Record-Route", "<sip:192.0.2.62:5070;lr>"))
    call, _ = established(desk, headers=routes)
    desk.agent.hang_up(call, desk.now)
    (bye,) = desk.requests("BYE")
    assert bye.uri == "sip:bob@192.0.2.50:5060"
    assert bye.headers.get_all("Route") == ["<sip:192.0.2.62:5070;lr>", "<sip:192.0.2.61;lr>"]
    assert desk.sent[-1][1] == Peer("udp", "192.0.2.62", 5070)


def test_a_strict_router_is_given_itself_as_request_uri_and_the_target_as_last_route() -> None:
    desk = Desk()
    call, _ = established(desk, headers=(("Record-Route", "<sip:192.0.2.61>"), ("Record-Route", "<sip:192.0.2.62>")))
    desk.agent.hang_up(call, desk.now)
    (bye,) = desk.requests("BYE")
    assert bye.uri == "sip:192.0.2.62"
    assert bye.headers.get_all("Route") == ["<sip:192.0.2.61>", "<sip:bob@192.0.2.50:5060>"]


def test_an_answer_without_a_contact_is_still_acknowledged_and_ended() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, 200, contact=None, body=ANSWER)
    desk.agent.hang_up(call, desk.now)
    assert [request.uri for request in desk.requests("ACK") + desk.requests("BYE")] == ["sip:bob@192.0.2.50"] * 2


# --- failures --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (486, FailureKind.BUSY),
        (600, FailureKind.BUSY),
        (603, FailureKind.REJECTED),
        (404, FailureKind.WRONG_NUMBER),
        (484, FailureKind.WRONG_NUMBER),
        (480, FailureKind.UNREACHABLE),
        (403, FailureKind.FORBIDDEN),
        (488, FailureKind.UNSUPPORTED),
        (408, FailureKind.NO_ANSWER),
        (500, FailureKind.NETWORK),
        (401, FailureKind.FORBIDDEN),
    ],
)
def test_n1_a_refusal_is_told_in_words_a_person_understands(status: int, kind: FailureKind) -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, status)
    assert (failure(desk).call, failure(desk).status, failure(desk).kind) == (call, status, kind)
    desk.run(40)
    assert desk.agent.idle


def test_n1_a_503_tells_when_to_come_back() -> None:
    desk = Desk()
    _, invite = desk.outgoing()
    desk.reply(invite, 503, headers=(("Retry-After", "120 (busy hour)"),))
    assert (failure(desk).kind, failure(desk).retry_after) == (FailureKind.NETWORK, 120)


def test_n1_a_phone_that_never_answers_the_invite_at_all_is_unreachable() -> None:
    desk = Desk()
    desk.outgoing()
    desk.run(33)
    assert (failure(desk).kind, failure(desk).status) == (FailureKind.UNREACHABLE, 408)
    assert len(desk.requests("INVITE")) == 7
    assert desk.agent.idle


def test_n1_an_address_that_nothing_can_be_sent_to_is_a_network_failure() -> None:
    desk = Desk()
    desk.outgoing()
    desk.agent.transport_error(FAR, desk.now)
    desk.collect()
    assert (failure(desk).kind, failure(desk).status) == (FailureKind.NETWORK, 503)
    assert desk.agent.idle


def test_n1_ringing_longer_than_allowed_is_no_answer_and_cancelled() -> None:
    desk = Desk(SipConfig(hosts=("192.0.2.1",), domain="conf.example", ring_seconds=20))
    _, invite = desk.outgoing()
    desk.reply(invite, 180)
    desk.run(21)
    assert (failure(desk).kind, failure(desk).status) == (FailureKind.NO_ANSWER, 408)
    desk.reply(desk.requests("CANCEL")[0], 200)
    desk.reply(invite, 487)
    desk.run(40)
    assert desk.agent.idle


@pytest.mark.parametrize("number", ["999", "mailto:a@b", "http://x/", "sips:bob@192.0.2.50", "sip:<>", "", "abc"])
def test_n1_a_number_that_leads_nowhere_is_a_wrong_number(number: str) -> None:
    desk = Desk()
    call = desk.agent.invite(number, OFFER, desk.now, from_user="300")
    desk.collect()
    assert (failure(desk).call, failure(desk).kind) == (call, FailureKind.WRONG_NUMBER)
    assert not desk.sent
    assert desk.agent.idle


# --- giving up -------------------------------------------------------------------------------------------------------


def test_hanging_up_while_it_rings_cancels_with_the_invites_branch() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, 180)
    desk.agent.hang_up(call, desk.now, "not needed any more")
    (cancel,) = desk.requests("CANCEL")
    assert (cancel.uri, cancel.via, cancel.cseq.number) == (invite.uri, invite.via, invite.cseq.number)
    assert cancel.headers.get("Reason") == 'SIP;cause=487;text="not needed any more"'
    assert (failure(desk).kind, failure(desk).reason) == (FailureKind.CANCELLED, "not needed any more")


def test_before_any_provisional_response_the_cancel_waits_for_one() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.agent.hang_up(call, desk.now)
    assert not desk.requests("CANCEL")
    desk.reply(invite, 100)
    assert len(desk.requests("CANCEL")) == 1
    desk.reply(invite, 180)
    assert len(desk.requests("CANCEL")) == 1


def test_an_answer_that_crosses_the_cancel_is_acknowledged_and_ended() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, 180)
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    ack, bye = desk.reply(invite, 200, body=ANSWER)
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert (ack.method, bye.method) == ("ACK", "BYE")
    assert not [event for event in desk.events if isinstance(event, CallAnswered)]
    desk.reply(bye, 200)
    desk.reply(desk.requests("CANCEL")[0], 200)
    desk.run(70)
    assert desk.agent.idle


def test_a_cancel_that_is_never_heeded_is_forgotten_after_32_seconds() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, 180)
    desk.agent.hang_up(call, desk.now)
    desk.run(33)
    assert desk.agent.idle


# --- digest ----------------------------------------------------------------------------------------------------------


def trunk_desk() -> Desk:
    return Desk(trunks=(TRUNK,))


def challenge(server: DigestServer, now: float, *, stale: bool = False) -> tuple[tuple[str, str], ...]:
    return tuple(("Proxy-Authenticate", value) for value in server.challenge(now, stale))


def test_b35_a_number_goes_to_the_trunk_by_its_prefix_and_signs_in_when_challenged() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    _, invite = desk.outgoing("+375291234567")
    assert (invite.uri, str(invite.to.uri)) == ("sip:00375291234567@trunk.example",) * 2
    assert desk.sent[0][1] == Peer("udp", "trunk.example", 5060)
    desk.reply(invite, 407, headers=challenge(server, desk.now))
    again = desk.requests("INVITE")[-1]
    assert again.cseq.number == invite.cseq.number + 1
    assert (again.call_id, again.from_.tag, again.to.tag) == (invite.call_id, invite.from_.tag, None)
    assert again.via.branch != invite.via.branch
    credentials = again.headers.get("Proxy-Authorization") or ""
    assert server.check("INVITE", again.uri, credentials, again.body, desk.now).ok
    desk.reply(again, 200, body=ANSWER)
    assert desk.last(CallAnswered)


def credentials_of(request: Request) -> list[tuple[str, str]]:
    return [(name, value) for name, value in request.headers if name.endswith("Authorization")]


def test_b35_the_ack_of_an_answer_carries_the_credentials_of_its_invite() -> None:
    desk = trunk_desk()
    known = {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get
    proxy, registrar = DigestServer("trunk", known, b"x"), DigestServer("pbx", known, b"y")
    _, invite = desk.outgoing("+375291234567")
    desk.reply(invite, 407, headers=challenge(proxy, desk.now))
    wanted = tuple(("WWW-Authenticate", value) for value in registrar.challenge(desk.now))
    desk.reply(desk.requests("INVITE")[-1], 401, headers=wanted)
    again = desk.requests("INVITE")[-1]
    assert [name for name, _ in credentials_of(again)] == ["Proxy-Authorization", "Authorization"]
    (ack,) = desk.reply(again, 200, body=ANSWER)
    assert isinstance(ack, Request)
    assert sorted(credentials_of(ack)) == sorted(credentials_of(again))


@pytest.mark.parametrize(
    ("user", "from_user", "shown"),
    [
        ("", "", "sip:300@conf.example"),
        ("veche", "", "sip:veche@trunk.example"),
        ("veche", "375170000000", "sip:375170000000@trunk.example"),
    ],
)
def test_a_trunk_sees_its_subscriber_or_the_number_configured_else_the_caller(
    user: str, from_user: str, shown: str
) -> None:
    desk = Desk(trunks=(Trunk("t", "trunk.example", user=user, from_user=from_user),))
    _, invite = desk.outgoing("+375291234567")
    assert str(invite.from_.uri) == shown


def test_a_stale_nonce_is_answered_once_more_and_refused_credentials_are_not() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    _, invite = desk.outgoing("+375291234567")
    desk.reply(invite, 407, headers=challenge(server, desk.now))
    desk.reply(desk.requests("INVITE")[-1], 407, headers=challenge(server, desk.now, stale=True))
    assert len(desk.requests("INVITE")) == 3
    desk.reply(desk.requests("INVITE")[-1], 407, headers=challenge(server, desk.now))
    assert len(desk.requests("INVITE")) == 3
    assert failure(desk).kind is FailureKind.FORBIDDEN


def test_a_trunk_that_always_says_stale_is_given_up() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    desk.outgoing("+375291234567")
    for _ in range(10):
        desk.reply(desk.requests("INVITE")[-1], 407, headers=challenge(server, desk.now, stale=True))
    assert len(desk.requests("INVITE")) == 4
    assert failure(desk).status == 407


def test_a_challenged_bye_is_sent_again_with_credentials() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    call, invite = desk.outgoing("+375291234567")
    desk.reply(invite, 200, body=ANSWER)
    desk.agent.hang_up(call, desk.now)
    (bye,) = desk.requests("BYE")
    desk.reply(bye, 407, headers=challenge(server, desk.now))
    again = desk.requests("BYE")[-1]
    assert again.cseq.number == bye.cseq.number + 1
    assert "Proxy-Authorization" in again.headers
    desk.reply(again, 200)
    assert desk.agent.settled


# --- forks ----------------------------------------------------------------------------------------------------------


def test_a_number_with_several_phones_rings_them_all_and_the_first_to_answer_wins() -> None:
    desk = Desk()
    desk.register()
    desk.register(Peer("udp", "192.0.2.51", 5060), "<sip:100@192.0.2.51:5060>")
    call, _ = desk.outgoing("100")
    one, two = desk.requests("INVITE")
    assert {one.uri, two.uri} == {"sip:100@192.0.2.50:5060", "sip:100@192.0.2.51:5060"}
    assert (one.call_id, one.from_.tag, one.cseq) == (two.call_id, two.from_.tag, two.cseq)
    assert one.via.branch != two.via.branch
    desk.reply(one, 180, tag="one")
    desk.reply(two, 180, tag="two")
    desk.reply(two, 200, tag="two", body=ANSWER)
    (cancel,) = desk.requests("CANCEL")
    assert cancel.uri == one.uri
    assert cancel.headers.get("Reason") == 'SIP;cause=200;text="Call completed elsewhere"'
    desk.reply(cancel, 200)
    desk.reply(one, 487, tag="one")
    assert desk.last(CallAnswered).call == call
    assert desk.agent.calls == (call,)


def test_when_all_phones_refuse_the_most_telling_refusal_is_reported() -> None:
    desk = Desk()
    desk.register()
    desk.register(Peer("udp", "192.0.2.51", 5060), "<sip:100@192.0.2.51:5060>")
    desk.outgoing("100")
    one, two = desk.requests("INVITE")
    desk.reply(one, 486, tag="one")
    assert not [event for event in desk.events if isinstance(event, CallFailed)]
    desk.reply(two, 480, tag="two")
    assert failure(desk).kind is FailureKind.BUSY


def test_a_6xx_from_one_phone_silences_the_others() -> None:
    desk = Desk()
    desk.register()
    desk.register(Peer("udp", "192.0.2.51", 5060), "<sip:100@192.0.2.51:5060>")
    desk.outgoing("100")
    one, two = desk.requests("INVITE")
    desk.reply(two, 180, tag="two")
    desk.reply(one, 603, tag="one")
    assert failure(desk).kind is FailureKind.REJECTED
    assert len(desk.requests("CANCEL")) == 1


def test_an_account_with_no_phone_signed_in_is_unreachable_and_not_sent_to_the_trunk() -> None:
    desk = Desk(trunks=(Trunk("t", "trunk.example"),))
    desk.agent.invite("100", OFFER, desk.now, from_user="300")
    desk.collect()
    assert (failure(desk).kind, failure(desk).status) == (FailureKind.UNREACHABLE, 480)
    assert not desk.sent


def test_a_uri_in_our_own_domain_means_the_account() -> None:
    desk = Desk()
    desk.register()
    desk.outgoing("sip:100@conf.example")
    assert desk.requests("INVITE")[-1].uri == "sip:100@192.0.2.50:5060"


def test_b35_a_phone_behind_a_nat_is_called_at_the_address_it_registered_from() -> None:
    desk = Desk()
    source = Peer("udp", "203.0.113.7", 31337)
    desk.register(source, "<sip:100@10.0.0.7:5060>")
    call, invite = desk.outgoing("100")
    assert (invite.uri, desk.sent[-1][1]) == ("sip:100@10.0.0.7:5060", source)
    desk.reply(invite, 200, contact="<sip:100@10.0.0.7:5060>", body=ANSWER, source=source)
    desk.agent.hang_up(call, desk.now)
    desk.collect()
    assert [peer for _, peer in desk.sent[-2:]] == [source, source]


def test_a_second_answer_of_a_fork_is_acknowledged_and_ended() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    desk.reply(invite, 180, tag="one")
    desk.reply(invite, 180, tag="two")
    desk.reply(invite, 200, tag="one", body=ANSWER)
    ack, bye = desk.reply(invite, 200, tag="two", body=ANSWER, contact="<sip:bob@192.0.2.52>")
    assert isinstance(ack, Request)
    assert isinstance(bye, Request)
    assert [(m.method, m.uri, m.to.tag) for m in (ack, bye)] == [
        ("ACK", "sip:bob@192.0.2.52", "two"),
        ("BYE", "sip:bob@192.0.2.52", "two"),
    ]
    assert desk.agent.calls == (call,)
    assert len([event for event in desk.events if isinstance(event, CallAnswered)]) == 1


def test_a_far_side_that_answers_with_ever_new_tags_is_heard_only_so_often() -> None:
    desk = Desk()
    call, invite = desk.outgoing()
    for number in range(100):
        desk.reply(invite, 180, tag=f"early-{number}")
    for number in range(100):
        desk.reply(invite, 200, tag=f"fork-{number}", body=ANSWER)
    assert len(desk.requests("ACK")) == 20
    assert desk.agent.calls == (call,)


# --- sessions changed ------------------------------------------------------------------------------------------------


def reinvite(desk: Desk) -> Request:
    request = desk.requests("INVITE")[-1]
    assert request.to.tag is not None
    return request


def test_a_reinvite_of_ours_is_acknowledged_and_its_answer_reported() -> None:
    desk = Desk()
    call, invite = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    request = reinvite(desk)
    assert request.cseq.number == invite.cseq.number + 1
    (ack,) = desk.reply(request, 200, body=ANSWER)
    assert isinstance(ack, Request)
    assert (ack.method, ack.cseq.number) == ("ACK", request.cseq.number)
    assert desk.last(SessionAnswered) == SessionAnswered(call, ANSWER)
    assert desk.reply(request, 200, body=ANSWER)[0].encode() == ack.encode()


def test_the_ack_of_a_challenged_reinvite_carries_its_credentials() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    call, invite = desk.outgoing("+375291234567")
    desk.reply(invite, 200, body=ANSWER)
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.reply(reinvite(desk), 407, headers=challenge(server, desk.now))
    (ack,) = desk.reply(reinvite(desk), 200, body=ANSWER)
    assert isinstance(ack, Request)
    assert credentials_of(ack) == credentials_of(reinvite(desk)) != []


def test_a_refused_reinvite_of_ours_is_reported_and_the_call_goes_on() -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.reply(reinvite(desk), 488)
    assert desk.last(SessionRefused) == SessionRefused(call, 488, "Not Acceptable Here")
    assert desk.agent.calls == (call,)


def test_glare_is_retried_after_two_to_four_seconds_by_the_one_who_made_the_call() -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.reply(reinvite(desk), 491)
    desk.run(2.05)
    assert len(desk.requests("INVITE")) == 2
    desk.run(2.0)
    assert len({request.cseq.number for request in desk.requests("INVITE")}) == 3
    desk.reply(reinvite(desk), 200, body=ANSWER)
    assert desk.last(SessionAnswered).call == call


def test_glare_is_retried_within_two_seconds_by_the_one_who_was_called() -> None:
    desk = Desk()
    call, _ = desk.answered()
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.reply(reinvite(desk), 491)
    assert len(desk.requests("INVITE")) == 1
    desk.run(2.05)
    assert len({request.cseq.number for request in desk.requests("INVITE")}) == 2


def test_proposals_made_while_one_is_open_wait_and_only_the_newest_is_sent() -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    first = reinvite(desk)
    desk.agent.modify_session(call, b"v=2", desk.now)
    desk.agent.modify_session(call, b"v=3", desk.now)
    assert reinvite(desk) is first
    desk.reply(first, 200, body=ANSWER)
    assert reinvite(desk).body == b"v=3"


@pytest.mark.parametrize(("status", "byes"), [(481, 0), (408, 1)])
def test_a_reinvite_answered_with_481_or_408_ends_the_call(status: int, byes: int) -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.reply(reinvite(desk), status)
    assert desk.last(CallEnded).call == call
    assert desk.last(CallEnded).kind is EndKind.TIMEOUT
    assert len(desk.requests("BYE")) == byes


def test_a_reinvite_that_nobody_answers_ends_the_call() -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.modify_session(call, OFFER, desk.now)
    desk.run(33)
    assert (desk.last(CallEnded).call, desk.last(CallEnded).kind) == (call, EndKind.TIMEOUT)
    desk.run(70)
    assert desk.agent.idle


def test_an_update_before_the_answer_gets_491_as_our_offer_is_still_open() -> None:
    desk = Desk()
    _, invite = desk.outgoing()
    desk.reply(invite, 180)
    (refusal,) = desk.give(in_dialog(desk, invite, "UPDATE", body=OFFER))
    assert isinstance(refusal, Response)
    assert refusal.status == 491
    (ok,) = desk.give(in_dialog(desk, invite, "UPDATE", 2))
    assert isinstance(ok, Response)
    assert ok.status == 200


def test_a_bye_nobody_answers_is_forgotten_after_32_seconds() -> None:
    desk = Desk()
    call, _ = established(desk)
    desk.agent.hang_up(call, desk.now)
    desk.run(40)
    assert len(desk.requests("BYE")) == 11
    assert desk.agent.idle


def test_a_response_meant_for_another_hop_is_dropped() -> None:
    desk = Desk()
    _, invite = desk.outgoing()
    desk.reply(invite, 200, headers=(("Via", "SIP/2.0/UDP 198.51.100.1;branch=z9hG4bKz"),), body=ANSWER)
    assert not [event for event in desk.events if isinstance(event, CallAnswered)]
