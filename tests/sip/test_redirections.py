"""Where a call of ours goes that is answered with 3xx, and where not (RFC 3261 section 8.1.3.4, mission N1)."""

from __future__ import annotations

import pytest

from sip.auth import DigestServer, HashedCredentials
from sip.config import SipConfig
from sip.events import CallAnswered, FailureKind
from sip.peer import Peer
from tests.sip.desk import Desk
from tests.sip.network import ANSWER
from tests.sip.test_calls_out import TRUNK, challenge, credentials_of, failure, trunk_desk


def test_a_redirection_is_followed_in_order_of_preference() -> None:
    desk = Desk()
    _, invite = desk.outgoing()
    contacts = (("Contact", "<sip:b@192.0.2.50>;q=0.1, <sip:a@192.0.2.50:5070>;q=0.9"),)
    desk.reply(invite, 302, headers=contacts)
    assert [request.uri for request in desk.requests("INVITE")[1:]] == ["sip:a@192.0.2.50:5070"]
    again = desk.requests("INVITE")[-1]
    assert (again.call_id, str(again.to.uri), again.cseq.number) == (
        invite.call_id,
        "sip:bob@192.0.2.50",
        invite.cseq.number + 1,
    )
    desk.reply(again, 480)
    assert desk.requests("INVITE")[-1].uri == "sip:b@192.0.2.50"
    desk.reply(desk.requests("INVITE")[-1], 200, body=ANSWER)
    assert desk.last(CallAnswered)


def test_a_redirection_back_to_where_we_were_is_not_followed() -> None:
    desk = Desk()
    _, invite = desk.outgoing()
    desk.reply(invite, 302, headers=(("Contact", "<sip:a@192.0.2.50>"),))
    desk.reply(desk.requests("INVITE")[-1], 302, headers=(("Contact", "<sip:bob@192.0.2.50>"),))
    assert len(desk.requests("INVITE")) == 2
    assert (failure(desk).status, failure(desk).kind) == (302, FailureKind.UNREACHABLE)


def test_endless_redirections_are_given_up() -> None:
    desk = Desk()
    desk.outgoing()
    for number in range(50):
        desk.reply(desk.requests("INVITE")[-1], 302, headers=(("Contact", f"<sip:{number}@192.0.2.50>"),))
    assert len(desk.requests("INVITE")) == 9
    assert failure(desk).status == 302


@pytest.mark.parametrize("place", ["sip:100@conf.example", "sip:100@192.0.2.1", "sip:100@192.0.2.1:5060"])
def test_a_redirection_to_an_account_of_ours_rings_its_phone(place: str) -> None:
    desk = Desk()
    desk.register(Peer("udp", "192.0.2.51", 5060), "<sip:100@192.0.2.51:5060>")
    _, invite = desk.outgoing()
    desk.reply(invite, 302, headers=(("Contact", f"<{place}>"),))
    assert desk.requests("INVITE")[-1].uri == "sip:100@192.0.2.51:5060"


TOLL = (
    "<sip:+375291234567@conf.example>",
    "<sip:+375291234567@192.0.2.1>",
    "<tel:+375291234567>",
    "<sip:+375291234567@trunk.example>",
    "<sip:+375291234567@203.0.113.9>",
    "<sip:+375291234567@conf.example:5060>",
    "<sip:conf.example>",
)


@pytest.mark.parametrize("contact", TOLL)
def test_n1_a_phone_cannot_redirect_our_call_to_where_it_costs_us_money(contact: str) -> None:
    desk = trunk_desk()
    desk.register()
    call, invite = desk.outgoing("100")
    desk.reply(invite, 302, headers=(("Contact", contact),))
    assert desk.requests("INVITE") == [invite]
    assert (failure(desk).call, failure(desk).status, failure(desk).kind) == (call, 302, FailureKind.REJECTED)
    assert "not allowed" in failure(desk).reason
    desk.run(40)
    assert desk.agent.idle


def test_n1_what_a_phone_calls_itself_in_its_contact_opens_no_way_to_that_host() -> None:
    desk = trunk_desk()
    desk.register(contact="<sip:100@trunk.example>")
    _, invite = desk.outgoing("100")
    desk.reply(invite, 302, headers=(("Contact", "<sip:+375291234567@trunk.example>"),))
    assert failure(desk).kind is FailureKind.REJECTED


def test_of_several_redirections_those_allowed_are_followed() -> None:
    desk = trunk_desk()
    desk.register()
    _, invite = desk.outgoing("100")
    desk.reply(invite, 302, headers=(("Contact", "<tel:+375291234567>;q=1, <sip:voicemail@192.0.2.50>;q=0.5"),))
    assert [request.uri for request in desk.requests("INVITE")[1:]] == ["sip:voicemail@192.0.2.50"]
    desk.reply(desk.requests("INVITE")[-1], 200, body=ANSWER)
    assert desk.last(CallAnswered)


@pytest.mark.parametrize("contact", TOLL[:3])
def test_a_redirection_to_a_number_goes_to_the_trunk_where_the_operator_allows_it(contact: str) -> None:
    config = SipConfig(hosts=("192.0.2.1",), domain="conf.example", follow_to_numbers=True)
    desk = Desk(config, trunks=(TRUNK,))
    desk.register()
    _, invite = desk.outgoing("100")
    desk.reply(invite, 302, headers=(("Contact", contact),))
    assert desk.requests("INVITE")[-1].uri == "sip:00375291234567@trunk.example"


def test_a_trunk_may_send_a_call_to_another_door_of_its_own_with_the_same_credentials() -> None:
    desk = trunk_desk()
    server = DigestServer("trunk", {"veche": HashedCredentials.of("veche", "trunk", "pw")}.get, b"x")
    _, invite = desk.outgoing("+375291234567")
    desk.reply(invite, 302, headers=(("Contact", "<sip:00375291234567@trunk.example:5070>"),))
    other = desk.requests("INVITE")[-1]
    assert (other.uri, str(other.from_.uri)) == ("sip:00375291234567@trunk.example:5070", str(invite.from_.uri))
    desk.reply(other, 407, headers=challenge(server, desk.now))
    assert [name for name, _ in credentials_of(desk.requests("INVITE")[-1])] == ["Proxy-Authorization"]
