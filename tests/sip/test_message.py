"""Requests and responses as bytes and back."""

from __future__ import annotations

import pytest

from sip.message import Headers, ParseError, Request, Response, parse, response_to
from sip.validation import validate

INVITE = (
    b"INVITE sip:200*4321@10.0.0.1;transport=udp SIP/2.0\r\n"
    b"v: SIP/2.0/UDP 192.168.1.20:5062;rport;branch=z9hG4bKPj7a1c, SIP/2.0/TCP 10.9.9.9\r\n"
    b"Max-Forwards: 70\r\n"
    b'f: "Smith, Alice" <sip:1001@10.0.0.1>;tag=abc\r\n'
    b"t: <sip:200@10.0.0.1>\r\n"
    b"m: <sip:1001@192.168.1.20:5062;ob>, sip:1001@[2001:db8::9]:5070;q=0.1\r\n"
    b"i: 8f7e6d5c@192.168.1.20\r\n"
    b"CSEQ: 20423 INVITE\r\n"
    b"k: replaces, 100rel,\r\n timer\r\n"
    b"c: application/sdp\r\n"
    b"l: 5\r\n"
    b"\r\n"
    b"v=0\r\n"
)


def with_lines(*lines: bytes, drop: bytes = b"") -> bytes:
    """INVITE with further header lines, and without those that begin with ``drop``."""
    head, _, body = INVITE.partition(b"\r\n\r\n")
    kept = [line for line in head.split(b"\r\n") if not (drop and line.startswith(drop))]
    return b"\r\n".join([*kept, *lines]) + b"\r\n\r\n" + body


def request(data: bytes = INVITE) -> Request:
    message = parse(data)
    assert isinstance(message, Request)
    return message


def reason(data: bytes) -> str:
    with pytest.raises(ParseError) as caught:
        parse(data)
    return caught.value.reason


def test_compact_names_become_full_ones() -> None:
    message = request()
    assert [name for name, _ in message.headers][:6] == ["Via", "Max-Forwards", "From", "To", "Contact", "Call-ID"]
    assert message.headers.get("call-id") == message.headers.get("i") == message.call_id == "8f7e6d5c@192.168.1.20"


def test_commas_separate_in_list_fields_and_nowhere_else() -> None:
    message = request(with_lines(b"Subject: one, two", b"Supported: x"))
    assert message.headers.get_all("Supported") == ["replaces", "100rel", "timer", "x"]
    assert message.headers.get_all("Subject") == ["one, two"]
    assert message.from_.display == "Smith, Alice"
    assert [str(contact) for contact in message.contacts] == [
        "<sip:1001@192.168.1.20:5062;ob>",
        "<sip:1001@[2001:db8::9]:5070>;q=0.1",
    ]


def test_the_topmost_via_is_the_first_of_its_list() -> None:
    via = request().via
    assert (via.host, via.port, via.branch, via.wants_rport, via.rport) == (
        "192.168.1.20", 5062, "z9hG4bKPj7a1c", True, None,
    )  # fmt: skip


def test_body_is_exact_and_ends_where_content_length_says() -> None:
    body = bytes(range(256)) + b"\r\n\r\nINVITE "
    data = with_lines(f"Content-Length: {len(body)}".encode(), drop=b"l:").partition(b"v=0")[0] + body
    assert request(data).body == body
    assert request(data + b"trailing").body == body
    assert request(request(data).encode()).body == body


def test_without_content_length_the_body_is_the_rest_of_the_datagram() -> None:
    assert request(with_lines(drop=b"l:") + b"more").body == b"v=0\r\nmore"


def test_content_length_beyond_the_datagram_is_refused() -> None:
    assert reason(INVITE.replace(b"l: 5", b"l: 6")) == "Content-Length is 6, the body has 5 bytes"


@pytest.mark.parametrize("value", [b"", b"x", b"-1", b"5, 5", b"5 5", b"1e1", "٥".encode(), b"99999999999999999999"])
def test_malformed_content_length_is_refused(value: bytes) -> None:
    assert reason(INVITE.replace(b"l: 5", b"l: " + value)) == "bad Content-Length"


@pytest.mark.parametrize(
    ("field", "name"), [(b"v", "Via"), (b"f", "From"), (b"t", "To"), (b"i", "Call-ID"), (b"CSEQ", "CSeq")]
)
def test_request_without_a_mandatory_field_names_it_and_can_still_be_answered(field: bytes, name: str) -> None:
    with pytest.raises(ParseError, match=f"{name} missing") as caught:
        parse(with_lines(drop=field + b":"))
    assert caught.value.request is not None
    assert caught.value.request.method == "INVITE"
    assert parse_status(response_to(caught.value.request, 400, caught.value.reason)) == 400


def parse_status(response: Response) -> int:
    return int(response.encode().split(b" ")[1])


def test_response_without_a_mandatory_field_cannot_be_answered() -> None:
    with pytest.raises(ParseError, match="CSeq missing") as caught:
        parse(b"SIP/2.0 200 OK\r\nVia: SIP/2.0/UDP h\r\nTo: sip:a@b\r\nFrom: sip:a@b\r\nCall-ID: x\r\n\r\n")
    assert caught.value.request is None


@pytest.mark.parametrize("line", [b"CSeq: 2 INVITE", b"From: sip:a@b", b"i: other", b"To: sip:a@b"])
def test_second_value_of_a_mandatory_single_field_is_refused(line: bytes) -> None:
    assert reason(with_lines(line)).startswith("more than one ")


@pytest.mark.parametrize("line", [b"no colon", b": no name", b"a b: c", b"X: a\nVia: b", b"X: a\rb", b"\xff: x"])
def test_malformed_header_line_is_refused(line: bytes) -> None:
    assert reason(with_lines(line)).startswith("bad header field")


@pytest.mark.parametrize(
    "data",
    [b"", b"\r\n\r\n", b"\0" * 100, b"GET / HTTP/1.1\r\n\r\n", b"SIP/2.0 0 x\r\n\r\n", b"SIP/2.0 200\tOK\r\n\r\n",
     b"SIP/3.0 200 OK\r\n\r\n", INVITE.partition(b"\r\n\r\n")[0]],
)  # fmt: skip
def test_what_is_not_sip_gives_nothing_to_answer(data: bytes) -> None:
    with pytest.raises(ParseError) as caught:
        parse(data)
    assert caught.value.request is None


def test_keep_alives_before_a_message_are_skipped() -> None:
    assert request(b"\r\n\r\n" + INVITE).method == "INVITE"


def test_status_line_without_reason_or_space_is_read() -> None:
    head = INVITE.partition(b"\r\n")[2]
    message = parse(b"SIP/2.0 486\r\n" + head)
    assert isinstance(message, Response)
    assert (message.status, message.reason) == (486, "")


def test_text_that_is_not_utf8_goes_out_as_it_came() -> None:
    data = INVITE.replace(b"Smith", "Иванов".encode("cp1251"))
    message = request(data)
    assert "Иванов".encode("cp1251") in message.encode()
    assert "Иванов".encode("cp1251") in response_to(message, 180).encode()


def test_utf8_display_name_is_read() -> None:
    assert request(INVITE.replace(b"Smith", "Кацярына".encode())).from_.display == "Кацярына, Alice"


def test_encode_writes_content_length_once_and_last() -> None:
    encoded = request().encode()
    assert encoded.count(b"Content-Length") == 1
    assert encoded.endswith(b"\r\nContent-Length: 5\r\n\r\nv=0\r\n")


def test_typed_values_follow_changes_of_the_header_fields() -> None:
    message = request()
    assert message.cseq.number == 20423
    message.headers.set("CSeq", "7 BYE")
    assert (message.cseq.number, message.cseq.method) == (7, "BYE")
    message.uri = "tel:+375291234567"
    assert message.target == "tel:+375291234567"


def test_response_copies_what_section_8_2_6_says_and_tags_to() -> None:
    data = with_lines(b"Record-Route: <sip:p1;lr>", b"Record-Route: <sip:p2;lr>", b"Timestamp: 54")
    response = response_to(request(data), 180, to_tag="ours")
    assert response.headers.get("To") == "<sip:200@10.0.0.1>;tag=ours"
    assert response.headers.get_all("Record-Route") == ["<sip:p1;lr>", "<sip:p2;lr>"]
    assert response.headers.get("Via") == request().headers.get("Via")
    assert response.reason == "Ringing"
    assert "Contact" not in response.headers
    assert "Timestamp" not in response.headers
    assert response_to(request(data), 100).headers.get("Timestamp") == "54"


def test_response_leaves_a_tag_that_is_there() -> None:
    data = INVITE.replace(b"t: <sip:200@10.0.0.1>", b't: ";tag=x" <sip:200@10.0.0.1> ; TAG = theirs')
    assert response_to(request(data), 200, to_tag="ours").headers.get("To") == request(data).headers.get("To")
    quoted = INVITE.replace(b"t: <sip:200@10.0.0.1>", b't: ";tag=x" <sip:200@10.0.0.1>')
    assert response_to(request(quoted), 200, to_tag="ours").to.tag == "ours"


def test_numbers_are_read_with_parameters_behind_them() -> None:
    message = request(with_lines(b"Retry-After: 18000;duration=3600", b"Expires: 60 (a minute)", b"Min-Expires: 1x"))
    assert message.number("Retry-After") == 18000
    assert message.number("Expires") == 60
    assert message.number("Session-Expires") is None
    with pytest.raises(ParseError, match="Min-Expires"):
        message.number("Min-Expires")


def test_headers_keep_order_and_do_not_mind_case() -> None:
    headers = Headers([("Via", "a"), ("X-Note", "1"), ("via", "b")])
    headers.prepend("v", "c")
    assert list(headers) == [("Via", "c"), ("Via", "a"), ("X-Note", "1"), ("Via", "b")]
    headers.set("x-note", "2")
    headers.set("VIA", "only")
    assert list(headers) == [("Via", "only"), ("x-note", "2")]
    copy = headers.copy()
    copy.remove("via")
    assert ("Via" in headers, "Via" in copy, len(copy)) == (True, False, 1)


@pytest.mark.parametrize(("name", "value"), [("X", "a\r\nEvil: b"), ("X", "a\nb"), ("X Y", "a"), ("", "a")])
def test_header_fields_that_would_break_the_message_are_not_taken(name: str, value: str) -> None:
    with pytest.raises(ValueError, match="header field"):
        Headers().add(name, value)


def test_require_is_checked_against_what_is_supported_but_not_in_cancel() -> None:
    message = request(with_lines(b"Require: 100rel, replaces"))
    assert validate(message, supported=("100rel", "replaces")) is None
    refusal = validate(message, supported=("100rel",))
    assert refusal is not None
    assert (refusal.status, refusal.headers) == (420, (("Unsupported", "replaces"),))
    cancel = parse(message.encode().replace(b"INVITE sip", b"CANCEL sip").replace(b"20423 INVITE", b"1 CANCEL"))
    assert isinstance(cancel, Request)
    assert validate(cancel) is None


@pytest.mark.parametrize(
    ("line", "status"),
    [(b"Max-Forwards: 3", 400), (b"Accept: text/html", 406), (b"Accept: text/html, application/*;q=0.1", 0),
     (b"Accept: */*", 0), (b"Content-Encoding: gzip", 415), (b"Contact: *", 400), (b"Route: <sip:a", 400),
     (b"Record-Route: nonsense", 400), (b"Content-Type: text/plain", 400)],
)  # fmt: skip
def test_validation_finds_what_cannot_be_acted_on(line: bytes, status: int) -> None:
    refusal = validate(request(with_lines(line)))
    assert (refusal.status if refusal else 0) == status


@pytest.mark.parametrize(("hops", "status"), [(b"0", 0), (b"255", 0), (b"256", 400), (b"-1", 400), (b"many", 400)])
def test_max_forwards_is_checked(hops: bytes, status: int) -> None:
    refusal = validate(request(INVITE.replace(b"Max-Forwards: 70", b"Max-Forwards: " + hops)))
    assert (refusal.status if refusal else 0) == status


def test_folds_may_begin_with_tabs_and_spaces() -> None:
    message = request(with_lines(b"Subject: one\r\n\ttwo \r\n \t three", b"X:\r\n\tv"))
    assert (message.headers.get("Subject"), message.headers.get("X")) == ("one two  three", "v")


def test_optional_body_of_unknown_type_is_no_reason_to_refuse() -> None:
    odd = INVITE.replace(b"application/sdp", b"application/isup")
    assert validate(request(odd)) is not None
    optional = odd.replace(b"c:", b"Content-Disposition: signal; handling=optional\r\nc:")
    assert validate(request(optional)) is None
