"""Whatever comes in: only SdpError comes out."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given, settings
from hypothesis import strategies as st

from sdp import AudioSettings, Negotiation, SdpError, SessionDescription
from tests.sdp.offers import GOLDEN

OFFERS = list(GOLDEN.values())
LINES = sorted({line for offer in OFFERS for line in offer.split(b"\r\n") if line})
TOKENS = (
    "\r\n|a=rtpmap:|a=ptime:|a=rtcp:|a=fmtp:0 x|a=inactive|c=IN IP4 |m=audio 9 RTP/AVP 0 8 96|"
    "\0| |/|:|-1|²|::|224.0.0.1|1e9|IN"
)
PIECES = st.one_of(st.binary(max_size=12), st.sampled_from([b"9" * 50, *TOKENS.encode().split(b"|")]))


@st.composite
def mutilated(draw: st.DrawFn) -> bytes:
    """A real offer with a few pieces cut out, repeated or replaced."""
    data = draw(st.sampled_from(OFFERS))
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(data)))
        end = draw(st.integers(start, min(len(data), start + 20)))
        data = data[:start] + draw(PIECES) + data[end:]
    return data


SHUFFLED = st.lists(st.sampled_from(LINES) | PIECES, max_size=40).map(
    lambda lines: b"v=0\r\no=- 1 1 IN IP4 192.0.2.1\r\nc=IN IP4 192.0.2.1\r\n" + b"\r\n".join(lines)
)
FOREIGN = st.one_of(st.binary(max_size=300), mutilated(), SHUFFLED)


@settings(max_examples=1000)
@given(FOREIGN)
def test_parsing_raises_nothing_but_sdp_errors(data: bytes) -> None:
    with suppress(SdpError):
        parsed = SessionDescription.parse(data)
        assert SessionDescription.parse(parsed.encode()) == parsed


@settings(max_examples=1000)
@given(FOREIGN, FOREIGN)
def test_negotiating_raises_nothing_but_sdp_errors_and_answers_line_for_line(first: bytes, second: bytes) -> None:
    ours = Negotiation(AudioSettings("198.51.100.1", 40000, session_id=1))
    for offer in (first, second):
        with suppress(SdpError):
            ours.receive_offer(offer)
            answer = SessionDescription.parse(ours.answer())
            offered = SessionDescription.parse(offer)
            assert [(m.kind, m.protocol) for m in answer.media] == [(m.kind, m.protocol) for m in offered.media]
            assert sum(m.port > 0 for m in answer.media) == 1
    ours.offer()
    for answer_to_us in (second, first):
        with suppress(SdpError):
            ours.receive_answer(answer_to_us)
