"""Via, name-addr, CSeq and the text helpers."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.headers import CSeq, NameAddr, Via, clean, quote, split_list, unquote
from sip.uri import SipUri


def test_via_is_read_and_written() -> None:
    via = Via.parse("SIP/2.0/tcp [2001:db8::9]:5070;received=[2001:db8::77];rport=4711;branch=z9hG4bK1")
    assert (via.transport, via.host, via.port) == ("TCP", "2001:db8::9", 5070)
    assert (via.received, via.rport, via.branch) == ("2001:db8::77", 4711, "z9hG4bK1")
    assert str(via) == "SIP/2.0/TCP [2001:db8::9]:5070;received=[2001:db8::77];rport=4711;branch=z9hG4bK1"


def test_via_takes_received_and_rport_in() -> None:
    via = Via.parse("SIP/2.0/UDP h;rport;branch=b")
    assert str(via.with_params(received="192.0.2.1", rport="5071")) == (
        "SIP/2.0/UDP h;rport=5071;branch=b;received=192.0.2.1"
    )


@pytest.mark.parametrize(
    "text",
    ["", "SIP/2.0/UDP", "SIP/2.0 h", "SIP/2.0/UDP h:99999", "SIP/2.0/UDP h;a=;b", "SIP/2.0/UDP h x", "HTTP/1.1/TCP h",
     "SIP/2.0/UDP h;a b", 'SIP/2.0/UDP h;a="x'],
)  # fmt: skip
def test_malformed_via_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        Via.parse(text)


def test_malformed_rport_reads_as_none() -> None:
    assert Via.parse("SIP/2.0/UDP h;rport=x").rport is None
    assert Via.parse("SIP/2.0/UDP h;rport=123456").rport is None


@pytest.mark.parametrize(
    ("text", "display", "uri", "params"),
    [
        ("sip:a@b;tag=1", "", "sip:a@b", {"tag": "1"}),
        ("<sip:a@b;x=1>;tag=1", "", "sip:a@b;x=1", {"tag": "1"}),
        ('"A \\"B\\" <C>, D" <sip:a@b>', 'A "B" <C>, D', "sip:a@b", {}),
        ("Alice Smith  <sip:a@b>", "Alice Smith", "sip:a@b", {}),
        ("Кацярына <sip:a@b>", "Кацярына", "sip:a@b", {}),
        ('""<sip:a@b>;+sip.instance="<urn:uuid:1>";reg-id=1', "", "sip:a@b",
         {"+sip.instance": '"<urn:uuid:1>"', "reg-id": "1"}),
        ("<tel:+375291234567;phone-context=x>", "", "tel:+375291234567;phone-context=x", {}),
        ("sip:a@b ; Q=0.5 ; expires = 60", "", "sip:a@b", {"q": "0.5", "expires": "60"}),
    ],
)  # fmt: skip
def test_name_addr_forms_are_read(text: str, display: str, uri: str, params: dict[str, str]) -> None:
    address = NameAddr.parse(text)
    assert (address.display, str(address.uri), address.params) == (display, uri, params)
    assert NameAddr.parse(str(address)) == address


@pytest.mark.parametrize(
    "text",
    ["", "<>", "a@b", "sip:a@b?x=y", "A, B <sip:a@b>", '"A <sip:a@b>', "<sip:a@b", "sip:a@b>", "<sip:a@b> x",
     "<sip:a b>", "<sip:a@b>;=1", "<sip:a@b>;;x", "<1ttp://x>", "sip:a,b@c"],
)  # fmt: skip
def test_malformed_name_addr_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        NameAddr.parse(text)


def test_tel_number_is_the_user() -> None:
    assert NameAddr.parse("<tel:+375291234567;ext=1>").user == "+375291234567"
    assert NameAddr.parse("<isbn:123>").user == ""


@pytest.mark.parametrize(
    ("value", "q"), [("0.7", 0.7), ("0", 0.0), ("1.000", 1.0), ("2", 1.0), ("x", 1.0), ("0.1234", 1.0)]
)
def test_q_is_read_and_nonsense_counts_as_one(value: str, q: float) -> None:
    assert NameAddr.parse(f"<sip:a@b>;q={value}").q == q


def test_display_name_is_quoted_when_it_must_be() -> None:
    uri = SipUri.parse("sip:a@b")
    assert str(NameAddr("Alice", uri)) == "Alice <sip:a@b>"
    assert str(NameAddr('Bo"b\\', uri)) == '"Bo\\"b\\\\" <sip:a@b>'
    assert str(NameAddr("", uri, {"tag": "1"})) == "<sip:a@b>;tag=1"


@pytest.mark.parametrize("text", ["INVITE", "1", "-1 INVITE", "1 IN VITE", f"{2**31} INVITE", "1.0 INVITE", "١ INVITE"])
def test_malformed_cseq_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        CSeq.parse(text)


def test_cseq_up_to_the_bound_is_read() -> None:
    assert str(CSeq.parse(f"{2**31 - 1}  BYE")) == f"{2**31 - 1} BYE"


@pytest.mark.parametrize(
    ("text", "members"),
    [("", []), (" a ", ["a"]), ("a,b , c", ["a", "b", "c"]), (",a,,b,", ["a", "b"]),
     ('"x, \\" y" <sip:a,b@c>;p="1,2", <sip:d@e>', ['"x, \\" y" <sip:a,b@c>;p="1,2"', "<sip:d@e>"]),
     ('"open, a', ['"open, a']), ('a, "b\\', ["a", '"b\\'])],
)  # fmt: skip
def test_lists_are_split_outside_quotes_and_brackets(text: str, members: list[str]) -> None:
    assert split_list(text) == members


def test_quoting_goes_both_ways() -> None:
    for text in ("", "a", 'a"b', "a\\b", '\\"'):
        assert unquote(quote(text)) == text
    assert unquote('"open') == '"open'


def test_clean_text_can_be_shown_and_sent_on() -> None:
    assert clean("Кацярына") == "Кацярына"
    assert clean("a\x00\udcffb\n").encode() == "a\ufffd\ufffdb\ufffd".encode()
