"""Messages out of a TCP stream."""

from __future__ import annotations

import pytest

from sip.framing import FramingError, StreamFramer

ONE = b"OPTIONS sip:a SIP/2.0\r\nContent-Length: 4\r\n\r\nbody"
TWO = b"SIP/2.0 200 OK\r\nVia: x\r\nl:\r\n 0\r\n\r\n"


@pytest.mark.parametrize("size", [1, 2, 3, 7, 50, 500])
def test_messages_come_out_whole_however_the_stream_is_cut(size: int) -> None:
    framer = StreamFramer()
    stream = b"\r\n" + ONE + b"\r\n\r\n" + TWO + ONE
    out = [m for at in range(0, len(stream), size) for m in framer.feed(stream[at : at + size])]
    assert out == [ONE, TWO, ONE]


def test_double_crlf_is_a_ping_and_a_single_one_is_not() -> None:
    framer = StreamFramer()
    assert framer.feed(b"\r\n" + ONE) == [ONE]
    assert not framer.take_ping()
    assert framer.feed(b"\r\n") == []
    assert not framer.take_ping()
    assert framer.feed(b"\r\n") == []
    assert framer.take_ping()
    assert not framer.take_ping()


def test_crlfs_in_a_body_are_no_ping() -> None:
    framer = StreamFramer()
    message = b"MESSAGE sip:a SIP/2.0\r\nL: 8\r\n\r\n\r\n\r\n\r\n\r\n"
    assert framer.feed(message) == [message]
    assert not framer.take_ping()


@pytest.mark.parametrize(
    "head",
    [b"A b SIP/2.0\r\nVia: x", b"A b SIP/2.0\r\nContent-Length: -1", b"A b SIP/2.0\r\nContent-Length: 1\r\nl: 2",
     b"A b SIP/2.0\r\nContent-Length:", b"A b SIP/2.0\r\nContent-Length: 300000"],
)  # fmt: skip
def test_a_stream_that_cannot_be_followed_ends_with_a_typed_error(head: bytes) -> None:
    framer = StreamFramer()
    with pytest.raises(FramingError) as caught:
        framer.feed(ONE + head + b"\r\n\r\n")
    assert caught.value.messages == [ONE]
    assert caught.value.head == head + b"\r\n\r\n"


def test_endless_header_fields_are_not_collected() -> None:
    framer = StreamFramer(max_head=1000)
    framer.feed(b"A b SIP/2.0\r\n" + b"X: 0123456789\r\n" * 60)
    with pytest.raises(FramingError, match="1000 bytes"):
        framer.feed(b"X: 0123456789\r\n" * 10)


def test_content_length_is_found_in_header_lines_only() -> None:
    framer = StreamFramer()
    message = b"A b SIP/2.0\r\nSubject: l: 9\r\nX-Content-Length: 7\r\nContent-Length: 2\r\n\r\nok"
    assert framer.feed(message + TWO) == [message, TWO]
