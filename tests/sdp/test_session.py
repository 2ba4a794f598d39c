"""SessionDescription: what is understood, what is refused and why (RFC 8866)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdp import SdpError, SessionDescription
from sdp.session import MAX_BYTES, Attribute, Connection, Media, Origin
from tests.sdp.offers import GOLDEN, PJSIP, STATIC_ONLY, sdp


@pytest.mark.parametrize("name", GOLDEN)
def test_a_real_offer_survives_a_round_trip(name: str) -> None:
    parsed = SessionDescription.parse(GOLDEN[name])
    assert SessionDescription.parse(parsed.encode()) == parsed
    assert sorted(parsed.encode().split(b"\r\n")) == sorted(GOLDEN[name].split(b"\r\n"))


def test_a_description_is_taken_apart_into_typed_fields() -> None:
    parsed = SessionDescription.parse(PJSIP)
    audio = parsed.media[0]
    assert parsed.origin == Origin("-", 3988275000, 3988275000, "192.0.2.10")
    assert parsed.other == (("b", "AS:84"),)
    assert (audio.kind, audio.port, audio.protocol) == ("audio", 4000, "RTP/AVP")
    assert audio.formats == ("96", "9", "8", "0", "97", "98")
    assert audio.connections == (Connection("192.0.2.10"),)
    assert audio.values("fmtp")[0] == "96 useinbandfec=1"
    assert audio.has("sendrecv")


def test_sloppy_but_clear_descriptions_are_understood() -> None:
    text = b"v=0\no=Cisco Systems 3 1 IN IP4 192.0.2.1\nc=IN IP4 192.0.2.1\ns=\xcf\xf0\xe8\nm=audio 9/2 RTP/AVP 0\n\n"
    parsed = SessionDescription.parse(text)
    assert parsed.origin.username == "Cisco Systems"
    assert parsed.times == ("0 0",)
    assert parsed.media[0].port_count == 2
    assert b"s=\xcf\xf0\xe8\r\n" in parsed.encode()


BROKEN = {
    "nothing": (b"", "description"),
    "blank lines": (b"\r\n\r\n", "description"),
    "no version": (STATIC_ONLY.removeprefix(b"v=0\r\n"), "v"),
    "other version": (STATIC_ONLY.replace(b"v=0", b"v=1"), "v"),
    "no origin": (STATIC_ONLY.replace(b"o=- 1 1 IN IP4 192.0.2.15\r\n", b""), "o"),
    "short origin": (STATIC_ONLY.replace(b"o=- 1 1 IN", b"o=- 1 IN"), "o"),
    "origin version no number": (STATIC_ONLY.replace(b"o=- 1 1", b"o=- 1 x"), "o"),
    "long number": (STATIC_ONLY.replace(b"o=- 1 1", b"o=- 1 " + b"9" * 5000), "o"),
    "superscript number": (STATIC_ONLY.replace(b"o=- 1 1", "o=- 1 ²".encode()), "o"),
    "not an address": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP4 192.0.2.500"), "c"),
    "IPv6 called IP4": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP4 ::1"), "c"),
    "zone": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP6 fe80::1%eth0"), "c"),
    "other network": (STATIC_ONLY.replace(b"c=IN", b"c=ATM"), "c"),
    "other address type": (STATIC_ONLY.replace(b"c=IN IP4", b"c=IN E164"), "c"),
    "short connection": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN 192.0.2.15"), "c"),
    "two connections": (STATIC_ONLY.replace(b"t=0 0", b"c=IN IP4 192.0.2.1\r\nt=0 0"), "c"),
    "ttl no number": (STATIC_ONLY.replace(b"192.0.2.15\r\nt", b"224.2.1.1/x\r\nt"), "c"),
    "time no number": (STATIC_ONLY.replace(b"t=0 0", b"t=now 0"), "t"),
    "half a time": (STATIC_ONLY.replace(b"t=0 0", b"t=0"), "t"),
    "port too high": (STATIC_ONLY.replace(b"5004", b"65536"), "m"),
    "negative port": (STATIC_ONLY.replace(b"5004", b"-1"), "m"),
    "no ports": (STATIC_ONLY.replace(b"5004", b"5004/0"), "m"),
    "no formats": (STATIC_ONLY.replace(b" 0 8", b""), "m"),
    "unknown letter": (STATIC_ONLY + b"y=1\r\n", "y"),
    "session letter in media": (STATIC_ONLY + b"o=- 1 1 IN IP4 192.0.2.15\r\n", "o"),
    "no equals sign": (STATIC_ONLY + b"a\r\n", "description"),
    "nameless attribute": (STATIC_ONLY + b"a=:1\r\n", "a"),
    "NUL": (STATIC_ONLY + b"a=x\0\r\n", "description"),
    "too big": (STATIC_ONLY + b"a=" + b"x" * MAX_BYTES, "description"),
    "too many lines": (STATIC_ONLY + b"a=x\n" * 3000, "description"),
    "too many media": (STATIC_ONLY + b"m=audio 0 RTP/AVP 0\r\n" * 64, "m"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_nonsense_is_refused_naming_the_field(case: str) -> None:
    data, field = BROKEN[case]
    with pytest.raises(SdpError) as caught:
        SessionDescription.parse(data)
    assert caught.value.field == field
    assert caught.value.reason


def test_a_value_cannot_smuggle_in_a_line() -> None:
    forged = SessionDescription(Origin("-", 1, 1, "192.0.2.1"), name="x\r\nm=audio 1 RTP/AVP 0")
    with pytest.raises(SdpError, match="line break"):
        forged.encode()


TEXT = st.text(st.characters(min_codepoint=33, max_codepoint=0x2FF), min_size=1, max_size=12)
NUMBER = st.integers(0, 2**64)
TOKEN = st.from_regex(r"[a-zA-Z0-9-]{1,12}", fullmatch=True)
ADDRESS = st.one_of(st.ip_addresses().map(str), st.just("conf.example.com"))
ATTRIBUTES = st.lists(st.builds(Attribute, TOKEN, st.none() | TEXT), max_size=5).map(tuple)
CONNECTION = st.builds(Connection, ADDRESS, st.sampled_from(["", "127", "127/3"]))
MEDIA = st.builds(
    Media,
    kind=TOKEN,
    port=st.integers(0, 65535),
    protocol=st.sampled_from(["RTP/AVP", "RTP/SAVPF", "udptl", "TCP/MSRP"]),
    formats=st.lists(TOKEN, min_size=1, max_size=4).map(tuple),
    port_count=st.integers(1, 9),
    connections=st.lists(CONNECTION, max_size=2).map(tuple),
    attributes=ATTRIBUTES,
    other=st.lists(st.tuples(st.just("b"), TEXT), max_size=2).map(tuple),
)
DESCRIPTION = st.builds(
    SessionDescription,
    origin=st.builds(Origin, TOKEN, NUMBER, NUMBER, ADDRESS),
    name=TEXT,
    connection=st.none() | CONNECTION,
    times=st.lists(st.sampled_from(["0 0", "1 2"]), min_size=1, max_size=2).map(tuple),
    attributes=ATTRIBUTES,
    media=st.lists(MEDIA, max_size=4).map(tuple),
    other=st.lists(st.tuples(st.just("e"), TEXT), max_size=2).map(tuple),
)


@given(DESCRIPTION)
def test_whatever_is_encoded_is_read_back_the_same(description: SessionDescription) -> None:
    assert SessionDescription.parse(description.encode()) == description


def test_a_name_longer_than_a_host_name_is_no_address() -> None:
    with pytest.raises(SdpError):
        SessionDescription.parse(sdp(f"v=0\no=- 1 1 IN IP4 {'a' * 400}"))
