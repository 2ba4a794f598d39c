"""Whatever bytes arrive, the SIP parsers raise their documented errors only."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sip.auth import DigestServer, HashedCredentials, parse_digest
from sip.authenticator import Authenticator, Verdict
from sip.framing import FramingError, StreamFramer
from sip.headers import CSeq, NameAddr, Via, clean, parse_params, split_list
from sip.message import Headers, ParseError, Request, Response, parse, response_to
from sip.peer import Peer
from sip.reasons import failure_kind
from sip.registrar import Registrar
from sip.uri import SipUri
from sip.validation import discard_response, validate
from tests.sip.torture import MESSAGES

FRAGMENTS = [
    b"\r\n", b"\r\n ", b"\n", b"\0", b'"', b"\\", b"<", b">", b";", b",", b":", b"@", b"%", b"%00", b"=", b"?", b"*",
    b"[", b"]", b"[::1]", b"sip:", b"SIP/2.0", b"l: 99999999999", b"Content-Length: 0\r\n", b"\xff\xfe", b" ",
    "ы".encode(), b"\t", b"99999999999999999999999", b"-1", b"\r\n\r\n", b"Via: ", b"tag=", b"Digest ",
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A torture message with pieces cut out, repeated, swapped or put in."""
    data = draw(st.sampled_from(sorted(MESSAGES.values())))
    for _ in range(draw(st.integers(1, 6))):
        at = draw(st.integers(0, len(data)))
        end = draw(st.integers(at, min(len(data), at + 40)))
        piece = draw(st.one_of(st.sampled_from(FRAGMENTS), st.binary(max_size=8), st.just(data[at:end] * 2)))
        data = data[:at] + piece + data[end:]
    return data


TEXT = st.one_of(
    st.text(max_size=60),
    st.text(alphabet='sip:@;=,<>"\\%[]0aA .*?&/\r\n\0é\udcff', max_size=60),
    st.sampled_from(sorted(MESSAGES.values())).map(lambda data: data.decode("utf-8", "surrogateescape")[:300]),
)


ACCOUNTS = {"x": HashedCredentials.of("x", "r", "p")}


class Trusting(Authenticator):
    """Takes anybody for whom he says he is, so that what lies behind the digest is reached."""

    def authenticate(self, request: Request, peer: Peer, now: float, to_tag: str | None = None) -> Verdict:
        super().authenticate(request, peer, now, to_tag)
        return Verdict(account=request.to.user)


def use(data: bytes) -> None:
    """Do to a message what a server would; ParseError is the only way out."""
    try:
        message = parse(data)
    except ParseError as error:
        if error.request is not None:
            response_to(error.request, 400, error.reason, "t").encode()
        return
    # What parse has let through can be relied on.
    assert message.via.transport
    assert message.call_id
    assert message.cseq.number < 2**31
    clean(message.from_.display + message.from_.user + message.to.user).encode()
    for name in ("Contact", "Route", "Record-Route"):
        with contextlib.suppress(ParseError):
            message.addresses(name)
    with contextlib.suppress(ParseError):
        message.number("Expires")
    again = parse(message.encode())
    assert again.encode() == message.encode()
    if isinstance(message, Response):
        discard_response(message)
        failure_kind(message.status, message.headers.get_all("Reason"))
    else:
        use_request(message)


def use_request(request: Request) -> None:
    refusal = validate(request)
    status, reason = (200, None) if refusal is None else (refusal.status, refusal.reason)
    response = response_to(request, status, reason, "t")
    assert parse(response.encode()).start_line == response.start_line
    registrar = Registrar(Trusting(DigestServer("r", ACCOUNTS.get, b"s")))
    for _ in range(2):
        registrar.receive(request, Peer("udp", "192.0.2.1", 5060), 0.0)[0].encode()
    for target in registrar.targets(request.to.user, 0.0):
        SipUri.parse(target.uri)


@given(mutated())
@settings(max_examples=1500, deadline=None)
def test_mutated_torture_messages_raise_documented_errors_only(data: bytes) -> None:
    use(data)


@given(st.binary(max_size=300))
@settings(max_examples=300, deadline=None)
def test_random_bytes_raise_documented_errors_only(data: bytes) -> None:
    use(data)
    use(b"OPTIONS sip:a SIP/2.0\r\n" + data + b"\r\n\r\n")


@pytest.mark.parametrize("parser", [Via.parse, NameAddr.parse, CSeq.parse, SipUri.parse, parse_params])
@given(text=TEXT)
@settings(max_examples=300, deadline=None)
def test_value_parsers_raise_parse_error_only(parser: Callable[[str], object], text: str) -> None:
    with contextlib.suppress(ParseError):
        value = parser(text)
        str(value)
        if isinstance(value, SipUri):
            str(value.replace(port=5070)).encode()


@given(TEXT)
def test_helpers_take_any_text(text: str) -> None:
    split_list(text)
    clean(text).encode()
    parse_digest("Digest " + text)
    failure_kind(480, [text])


@given(st.lists(st.text(max_size=20), min_size=1, max_size=5), st.text(max_size=20))
def test_a_uri_built_of_any_text_reads_back_the_same(parts: list[str], user: str) -> None:
    uri = SipUri(user=user or "u", password=parts[0], host="h", params={f"p{n}": part for n, part in enumerate(parts)})
    again = SipUri.parse(str(uri))
    assert (again.user, again.password, again.params) == (uri.user, uri.password, uri.params)


@given(st.text(max_size=30))
def test_a_display_name_of_any_text_reads_back_the_same(display: str) -> None:
    address = NameAddr(display, SipUri.parse("sip:a@b"))
    if "\r" in display or "\n" in display:
        with pytest.raises(ValueError, match="line break"):
            Headers([("From", str(address))])
    elif display == display.strip():
        assert NameAddr.parse(str(address)).display == display


@given(
    st.lists(st.one_of(mutated(), st.sampled_from(FRAGMENTS), st.binary(max_size=50)), max_size=6), st.integers(1, 200)
)
@settings(max_examples=200, deadline=None)
def test_streams_give_messages_or_a_framing_error(pieces: list[bytes], size: int) -> None:
    framer = StreamFramer(max_head=5000, max_body=5000)
    stream = b"".join(pieces)
    with contextlib.suppress(FramingError):
        for at in range(0, len(stream), size):
            for message in framer.feed(stream[at : at + size]):
                use(message)


FIELDS = st.sampled_from(["realm", "nonce", "uri", "username", "response", "qop", "nc", "cnonce", "algorithm"])


@given(st.dictionaries(FIELDS, st.one_of(TEXT, st.sampled_from(["r", "x", "MD5", "auth", "00000001"])), max_size=9))
@settings(max_examples=300, deadline=None)
def test_any_credentials_are_judged_without_an_exception(fields: dict[str, str]) -> None:
    value = "Digest " + ", ".join(f'{name}="{text}"' for name, text in fields.items())
    assert not DigestServer("r", ACCOUNTS.get, b"s").check("REGISTER", "sip:r", value, b"", 0.0).ok
