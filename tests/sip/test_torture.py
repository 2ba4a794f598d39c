"""Every message of RFC 4475: valid ones are understood, invalid ones refused or dropped as the RFC says."""

from __future__ import annotations

import pytest

from sip.auth import DigestServer
from sip.authenticator import Authenticator
from sip.events import CallConfirmed, IncomingCall
from sip.headers import Via, clean
from sip.message import ParseError, Request, Response, parse, response_to
from sip.peer import Peer
from sip.registrar import Registrar
from sip.uri import SipUri
from sip.validation import discard_response, validate
from tests.sip.desk import Desk
from tests.sip.network import ANSWER, make_agent
from tests.sip.torture import MESSAGES

METHODS = {"INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "INFO", "UPDATE"}
PEER = Peer("udp", "192.0.2.1", 5060)
ELSEWHERE = Peer("udp", "198.51.100.9", 40009)

ACCEPTED = (
    "wsinv", "esc01", "escnull", "lwsdisp", "longreq", "dblreq", "semiuri", "transports", "baddate", "badbranch",
    "zeromf", "cparam01", "cparam02", "regescrt", "unksm2", "regaut01", "inv2543",
)  # fmt: skip
REFUSED = {
    "intmeth": 501, "esc02": 501, "mpart01": 405, "badinv01": 400, "clerr": 400, "ncl": 400, "scalar02": 400,
    "quotbal": 400, "ltgtruri": 400, "lwsruri": 400, "lwsstart": 400, "trws": 400, "escruri": 400, "regbadct": 400,
    "badaspec": 400, "baddn": 400, "badvers": 505, "mismatch01": 400, "mismatch02": 400, "insuf": 400, "unkscm": 416,
    "novelsc": 416, "bext01": 420, "invut": 415, "multi01": 400, "mcl01": 400, "sdp01": 406,
}  # fmt: skip
RESPONSES = {"unreason": "taken", "noreason": "taken", "scalarlg": "dropped", "bigcode": "dropped", "bcast": "dropped"}


def answer(data: bytes) -> int:
    """The status a server answers a request with: 0 when it goes on with it, -1 when it cannot answer."""
    try:
        message = parse(data)
    except ParseError as error:
        return 400 if error.request and response_to(error.request, 400, error.reason).encode() else -1
    assert isinstance(message, Request)
    refusal = validate(message, METHODS)
    return 0 if refusal is None else refusal.status


def request(name: str) -> Request:
    message = parse(MESSAGES[name])
    assert isinstance(message, Request)
    return message


def response(name: str) -> Response:
    message = parse(MESSAGES[name])
    assert isinstance(message, Response)
    return message


def test_all_49_messages_of_rfc_4475_have_a_verdict_here() -> None:
    assert len(MESSAGES) == 49
    assert {*ACCEPTED, *REFUSED, *RESPONSES} == MESSAGES.keys()


@pytest.mark.parametrize("name", ACCEPTED)
def test_b35_valid_torture_request_is_accepted(name: str) -> None:
    assert answer(MESSAGES[name]) == 0


@pytest.mark.parametrize("name", REFUSED)
def test_b35_invalid_torture_request_is_refused_with_the_status_the_rfc_names(name: str) -> None:
    assert answer(MESSAGES[name]) == REFUSED[name]


@pytest.mark.parametrize("name", REFUSED)
def test_b35_the_agent_answers_an_invalid_torture_request_to_where_it_came_from(name: str) -> None:
    agent = make_agent("192.0.2.1")
    agent.receive(MESSAGES[name], ELSEWHERE, 1.0)
    ((refusal, peer),) = agent.to_send()
    assert (refusal.split()[1], peer.host) == (b"%d" % REFUSED[name], ELSEWHERE.host)


def test_badinv01_is_answered_to_the_very_port_it_came_from_as_its_via_names_none() -> None:
    agent = make_agent("192.0.2.1")
    agent.receive(MESSAGES["badinv01"], ELSEWHERE, 1.0)
    ((refusal, peer),) = agent.to_send()
    assert refusal.startswith(b"SIP/2.0 400 Via: ")
    assert peer == ELSEWHERE


@pytest.mark.parametrize("name", RESPONSES)
def test_b35_torture_response_is_taken_or_dropped_as_the_rfc_says(name: str) -> None:
    try:
        message = parse(MESSAGES[name])
    except ParseError as error:
        fate = "dropped" if error.request is None else "answered"
    else:
        fate = "taken" if isinstance(message, Response) and not discard_response(message) else "dropped"
    assert fate == RESPONSES[name]


@pytest.mark.parametrize("name", [*ACCEPTED, "intmeth", "esc02", "mpart01", "unreason", "noreason"])
def test_b35_valid_torture_message_says_the_same_after_a_round_trip(name: str) -> None:
    once = parse(MESSAGES[name])
    again = parse(once.encode())
    assert again.encode() == once.encode()
    assert (again.via, again.from_, again.to, again.cseq, again.body) == (
        once.via, once.from_, once.to, once.cseq, once.body,
    )  # fmt: skip


def test_wsinv_white_space_folding_and_escapes_are_seen_through() -> None:
    message = request("wsinv")
    assert message.uri == "sip:vivekg@chair-dnrc.example.com;unknownparam"
    assert (message.to.user, message.to.tag) == ("vivekg", "1918181833n")
    assert (message.from_.display, message.from_.tag) == (r"J Rosenberg \"", "98asjd8")
    assert message.number("Max-Forwards") == 68
    assert (message.cseq.number, message.cseq.method) == (9, "INVITE")
    assert message.headers.get("subject") == ""
    assert message.headers.get("NewFangledHeader") == "newfangled value continued newfangled value"
    assert message.headers.get("UnknownHeaderWithUnusualValue") == ";;,,;;,;"
    vias = message.headers.get_all("Via")
    assert len(vias) == 3
    assert (message.via.transport, message.via.host, message.via.branch) == ("UDP", "192.0.2.2", "390skdjuw")
    (contact,) = message.contacts
    assert contact.display == 'Quoted string ""'
    assert contact.params == {"newparam": "newvalue", "secondparam": None, "q": "0.33"}
    (route,) = message.addresses("Route")
    assert isinstance(route.uri, SipUri)
    assert route.uri.params == {"lr": None, "unknownwith": "value", "unknown-no-value": None}
    assert len(message.body) == 150


def test_wsinv_lower_vias_are_read_too() -> None:
    second, third = (Via.parse(value) for value in request("wsinv").headers.get_all("v")[1:])
    assert (second.transport, second.host, second.branch) == ("TCP", "spindle.example.com", "z9hG4bK9ikj8")
    assert (third.transport, third.host, third.branch) == ("UDP", "192.168.255.111", "z9hG4bK30239")


def test_intmeth_unusual_but_legal_characters_are_kept() -> None:
    message = request("intmeth")
    assert message.method == "!interesting-Method0123456789_*+`.%indeed'~" == message.cseq.method
    assert isinstance(message.target, SipUri)
    assert message.target.user == "1_unusual.URI~(to-be!sure)&isn't+it$/crazy?,/;;*"
    assert message.target.password == "&it+has=1,weird!*pas$wo~d_too.(doesn't-it)"
    assert message.to.display == "BEL:\x07 NUL:\x00 DEL:\x7f"
    assert clean(message.to.display) == "BEL:\ufffd NUL:\ufffd DEL:\ufffd"
    assert message.from_.display == "token1~` token2'+_ token3*%!.-"
    assert message.from_.params["fromparam''~+*_!.-%"] == '"работающий"'
    assert message.from_.tag == "_token~1'+`*%!-."
    assert message.headers.get("extensionHeader-!.%*+_`'~") == "\ufeff大停電"


def test_esc01_percent_escapes_are_resolved_where_they_stand_for_characters() -> None:
    message = request("esc01")
    assert isinstance(message.target, SipUri)
    assert (message.target.user, message.target.host) == ("sips:user@example.com", "example.net")
    assert message.to.uri == SipUri.parse("sip:user@example.com")
    assert message.from_.user == "I have spaces"
    (contact,) = message.contacts
    assert isinstance(contact.uri, SipUri)
    assert contact.uri == SipUri.parse("sip:caller@host5.example.net;lr;name=value%2541")
    assert contact.uri.loose_route


def test_escnull_escaped_nulls_are_characters_like_others() -> None:
    message = request("escnull")
    assert message.to.user == "null-\0-null"
    assert [contact.user for contact in message.contacts] == ["\0", "\0\0"]
    assert len({contact.uri for contact in message.contacts}) == 2


def test_esc02_percent_is_no_escape_in_methods_field_names_and_display_names() -> None:
    message = request("esc02")
    assert message.method == "RE%47IST%45R"
    assert message.to.display == "%Z%45"
    assert message.via.branch == "z9hG4bK209%fzsnel234"
    assert [contact.user for contact in message.contacts] == ["alias1", "alias3"]


def test_lwsdisp_no_space_is_needed_before_the_angle_bracket() -> None:
    assert request("lwsdisp").from_.display == "caller"


def test_longreq_long_values_are_read_whole() -> None:
    message = request("longreq")
    assert message.to.display.endswith("extreme proportion")
    assert message.from_.user == "amazinglylongcallername" * 5
    assert len(message.headers.get_all("via")) == 34
    assert message.call_id == f"longreq.one{'really' * 20}longcallid"
    assert message.via.host == "sip33.example.com"


def test_dblreq_bytes_after_the_body_are_dropped() -> None:
    message = request("dblreq")
    assert (message.method, message.body) == ("REGISTER", b"")


def test_semiuri_semicolon_and_escaped_at_belong_to_the_user() -> None:
    message = request("semiuri")
    assert isinstance(message.target, SipUri)
    assert (message.target.user, message.target.host, message.target.params) == (
        "user;par=u@example.net", "example.com", {},
    )  # fmt: skip
    assert message.headers.get_all("Accept")[-1] == "message/sipfrag"


def test_transports_unknown_ones_in_vias_below_do_not_matter() -> None:
    assert len(request("transports").headers.get_all("Via")) == 5


def test_mpart01_binary_body_is_kept_byte_by_byte() -> None:
    body = request("mpart01").body
    assert len(body) == 553
    assert body == MESSAGES["mpart01"].partition(b"\r\n\r\n")[2]


def test_unreason_reason_phrase_is_unicode() -> None:
    message = response("unreason")
    assert (message.status, message.reason) == (200, "= 2**3 * 5**2 но сто девяносто девять - простое")


def test_noreason_empty_reason_phrase_is_fine() -> None:
    assert (response("noreason").status, response("noreason").reason) == (100, "")


def test_badvers_answer_still_names_the_request() -> None:
    assert response_to(request("badvers"), 505).headers.get("Call-ID") == "badvers.31417@c.example.com"


def test_insuf_is_answered_with_what_there_is() -> None:
    with pytest.raises(ParseError) as caught:
        parse(MESSAGES["insuf"])
    assert caught.value.request is not None
    out = response_to(caught.value.request, 400, caught.value.reason)
    assert out.reason == "From missing"
    assert [name for name, _ in out.headers] == ["CSeq", "Via"]


def test_multi01_answer_has_each_field_once() -> None:
    with pytest.raises(ParseError) as caught:
        parse(MESSAGES["multi01"])
    assert caught.value.request is not None
    out = response_to(caught.value.request, 400, caught.value.reason, "t")
    assert sorted(name for name, _ in out.headers) == ["CSeq", "Call-ID", "From", "To", "Via"]


def test_bext01_answer_lists_what_is_not_supported() -> None:
    refusal = validate(request("bext01"), METHODS)
    assert refusal is not None
    assert refusal.headers == (("Unsupported", "nothingSupportsThis, nothingSupportsThisEither"),)


def test_badbranch_two_requests_with_a_bare_cookie_are_both_answered() -> None:
    desk = Desk()
    other = MESSAGES["badbranch"].replace(b"Call-ID: badbranch", b"Call-ID: another")
    for message in (MESSAGES["badbranch"], other, MESSAGES["badbranch"]):
        desk.give(message)
    assert [(m.call_id.partition(".")[0], m.status) for m in desk.responses("OPTIONS")] == [
        ("badbranch", 200), ("another", 200), ("badbranch", 200),
    ]  # fmt: skip


def test_cparam_parameters_belong_to_the_field_without_brackets_and_to_the_uri_within() -> None:
    (outside,), (inside,) = request("cparam01").contacts, request("cparam02").contacts
    assert isinstance(outside.uri, SipUri)
    assert isinstance(inside.uri, SipUri)
    assert (outside.params, outside.uri.params) == ({"unknownparam": None}, {})
    assert (inside.params, inside.uri.params) == ({}, {"unknownparam": None})
    assert outside.user == inside.user == "+19725552222"


def test_regescrt_header_part_of_a_contact_survives() -> None:
    (contact,) = request("regescrt").contacts
    assert isinstance(contact.uri, SipUri)
    assert contact.uri.headers == {"route": "<sip:sip.example.com>"}
    assert str(contact.uri) == "sip:user@example.com?Route=%3Csip:sip.example.com%3E"


def test_regaut01_unknown_authorization_scheme_is_challenged() -> None:
    registrar = Registrar(Authenticator(DigestServer("example.com", lambda user: None, b"secret")))
    out, events = registrar.receive(request("regaut01"), PEER, 0.0)
    assert (out.status, events) == (401, [])
    assert out.headers.get("WWW-Authenticate") is not None


def test_inv2543_old_syntax_is_understood() -> None:
    message = request("inv2543")
    assert (message.via.branch, message.from_.tag, message.to.params) == (None, None, {"user": "phone"})
    assert message.from_.user == "+13035551111"
    assert message.body.endswith(b"RTP/AVP 0\r\n")


def test_inv2543_is_a_call_whose_requests_go_to_the_caller_named_in_from() -> None:
    desk = Desk()
    desk.give(MESSAGES["inv2543"])
    call = desk.last(IncomingCall)
    assert (call.from_user, call.offer) == ("+13035551111", request("inv2543").body)
    desk.agent.answer(call.call, ANSWER, desk.now)
    ack = desk.same_transaction(request("inv2543"), "ACK")
    ack.headers.set("To", desk.responses("INVITE")[0].headers.get("To") or "")
    desk.give(ack)
    assert desk.last(CallConfirmed).call == call.call
    desk.agent.hang_up(call.call, desk.now)
    (bye,) = desk.requests("BYE")
    assert bye.headers.get_all("Route") == ["<sip:+13035551111@ift.client.example.net;user=phone>"]
