"""SIP URIs."""

from __future__ import annotations

import pytest

from sip.errors import ParseError
from sip.uri import SipUri


def test_all_parts_are_told_apart() -> None:
    uri = SipUri.parse("sips:alice:p%40ss@[2001:DB8::1]:5061;Transport=TCP;lr;x=%41?Subject=hi%20there&Priority=urgent")
    assert (uri.scheme, uri.user, uri.password, uri.host, uri.port) == ("sips", "alice", "p@ss", "2001:db8::1", 5061)
    assert uri.params == {"transport": "TCP", "lr": None, "x": "A"}
    assert uri.headers == {"subject": "hi there", "priority": "urgent"}
    assert (uri.transport, uri.loose_route) == ("tcp", True)


@pytest.mark.parametrize(
    "text", ["sip:h", "sip:+375291234567@h;user=phone", "sip:200*43%23@h:5062", "SIP:Ab%43@H?a=b", "sip:[::1]:5060;lr"]
)
def test_a_parsed_uri_is_written_as_it_came(text: str) -> None:
    assert str(SipUri.parse(text)) == text


def test_a_built_uri_is_escaped_and_reads_back_the_same() -> None:
    uri = SipUri(
        "sip", user="a b@c:d/é", password="p:w", host="2001:db8::1", port=5070, params={"x": "a;b", "lr": None}
    )
    assert str(uri) == "sip:a%20b%40c%3Ad/%C3%A9:p%3Aw@[2001:db8::1]:5070;x=a%3Bb;lr"
    again = SipUri.parse(str(uri))
    assert (again.user, again.password, again.params) == (uri.user, uri.password, uri.params)


def test_replace_writes_the_new_parts() -> None:
    assert str(SipUri.parse("sip:a%41@h:5062;lr").replace(port=None, params={})) == "sip:aA@h"


@pytest.mark.parametrize(
    "text",
    ["", "sip:", "sip:@h", "sip:a@", "sip:a@b@c", "sip:a b@h", "sip:a@h:0", "sip:a@h:65536", "sip:a@h:x", "sip:a@h;",
     "sip:a@h;;lr", "sip:a@h; lr", "sip:%4@h", "sip:%zz@h", "sip:a@[::1", "sip:a@[1.2.3.4]", "sip:a@[zz::1]",
     "sip:a@h?x", "sip:a@h?=y", "tel:123", "http://h", "sip:<a>@h", 'sip:"a"@h', "sip:a@h\n", "sip:a@h;x=\n"],
)  # fmt: skip
def test_what_is_no_sip_uri_is_refused(text: str) -> None:
    with pytest.raises(ParseError):
        SipUri.parse(text)


@pytest.mark.parametrize(
    ("one", "two"),
    [  # RFC 3261 section 19.1.4
        ("sip:%61lice@atlanta.com;transport=TCP", "sip:alice@AtlanTa.CoM;Transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com;newparam=5"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;newparam=5"),
        (
            "sip:biloxi.com;transport=tcp;method=REGISTER?to=sip:bob%40biloxi.com",
            "sip:biloxi.com;method=REGISTER;transport=tcp?to=sip:bob%40biloxi.com",
        ),
        ("sip:alice@atlanta.com?subject=a%20x&priority=urgent", "sip:alice@atlanta.com?priority=urgent&subject=a%20x"),
        ("sip:a@[2001:db8::1]", "sip:a@[2001:DB8:0::1]"),
    ],
)  # fmt: skip
def test_uris_that_section_19_1_4_calls_equivalent_are_equal(one: str, two: str) -> None:
    assert SipUri.parse(one) == SipUri.parse(two)
    assert hash(SipUri.parse(one)) == hash(SipUri.parse(two))


@pytest.mark.parametrize(
    ("one", "two"),
    [
        ("SIP:ALICE@AtlanTa.CoM;Transport=udp", "sip:alice@AtlanTa.CoM;Transport=UDP"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:5060"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com;transport=udp"),
        ("sip:bob@biloxi.com", "sip:bob@biloxi.com:6000;transport=tcp"),
        ("sip:carol@chicago.com", "sip:carol@chicago.com?Subject=next%20meeting"),
        ("sip:bob@phone21.boxesbybob.com", "sip:bob@192.0.2.4"),
        ("sip:carol@chicago.com;security=on", "sip:carol@chicago.com;security=off"),
        ("sip:a@h", "sips:a@h"),
        ("sip:a:x@h", "sip:a:y@h"),
    ],
)
def test_uris_that_section_19_1_4_tells_apart_are_not_equal(one: str, two: str) -> None:
    assert SipUri.parse(one) != SipUri.parse(two)
