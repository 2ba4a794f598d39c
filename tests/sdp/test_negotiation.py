"""Negotiation: offers answered as RFC 3264 says, seen from the conference's side."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdp import (
    AudioSession,
    AudioSettings,
    Negotiation,
    NoCommonCodecError,
    NoUsableMediaError,
    SdpError,
    SessionDescription,
    media_family,
)
from sdp.codec import KNOWN, codecs
from tests.sdp.offers import ASTERISK, BARESIP, BROWSER, CISCO, LINPHONE, PJSIP, STATIC_ONLY, sdp

SETTINGS = AudioSettings("198.51.100.1", 40002, session_id=77)


def negotiation(**changes: object) -> Negotiation:
    return Negotiation(replace(SETTINGS, **changes))  # type: ignore[arg-type]


def answered(offer: bytes, **changes: object) -> tuple[AudioSession, SessionDescription]:
    ours = negotiation(**changes)
    ours.receive_offer(offer)
    answer = SessionDescription.parse(ours.answer())
    assert ours.session is not None
    return ours.session, answer


def version(description: bytes) -> int:
    return SessionDescription.parse(description).origin.version


@pytest.mark.parametrize(
    ("offer", "codec", "pt", "event", "remote", "rtcp"),
    [
        (PJSIP, "OPUS", 96, 97, ("192.0.2.10", 4000), ("192.0.2.10", 4001)),
        (BARESIP, "PCMA", 8, 101, ("192.0.2.11", 10022), ("192.0.2.11", 10023)),
        (LINPHONE, "OPUS", 96, 101, ("2001:db8::77", 7078), ("2001:db8::77", 7079)),
        (CISCO, "PCMA", 8, 101, ("192.0.2.13", 16550), ("192.0.2.13", 16551)),
        (ASTERISK, "PCMA", 8, 101, ("192.0.2.14", 18442), ("192.0.2.14", 18443)),
        (STATIC_ONLY, "PCMU", 0, None, ("192.0.2.15", 5004), ("192.0.2.15", 5005)),
    ],
    ids=["pjsip", "baresip", "linphone", "cisco", "asterisk", "static"],
)
def test_b32_real_phones_offers_are_answered_in_kind(
    offer: bytes, codec: str, pt: int, event: int | None, remote: tuple[str, int], rtcp: tuple[str, int]
) -> None:
    session, answer = answered(offer)
    assert (session.codec, session.send_pt, session.receive_pts) == (codec, pt, (pt,))
    assert (session.event_pt, session.send_event_pt) == (event, event)
    assert (session.remote, session.remote_rtcp, session.rtcp_mux) == (remote, rtcp, False)
    assert (session.send, session.receive, session.on_hold) == (True, True, False)
    audio = answer.media[0]
    assert (audio.port, audio.formats) == (40002, (str(pt),) if event is None else (str(pt), str(event)))
    assert answer.connection is not None
    assert answer.connection.address == "198.51.100.1"


def test_an_answer_reads_exactly_so() -> None:
    ours = negotiation()
    ours.receive_offer(BARESIP.replace(b"a=rtcp:10023\r\n", b"a=rtcp-mux\r\n"))
    assert ours.answer() == sdp("""
        v=0
        o=- 77 1 IN IP4 198.51.100.1
        s=-
        c=IN IP4 198.51.100.1
        t=0 0
        m=audio 40002 RTP/AVP 8 101
        a=rtpmap:8 PCMA/8000
        a=rtpmap:101 telephone-event/8000
        a=fmtp:101 0-15
        a=ptime:20
        a=maxptime:60
        a=rtcp:40002
        a=rtcp-mux
        a=sendrecv
    """)


def test_the_offerers_order_decides_unless_configured() -> None:
    assert answered(CISCO)[0].codec == "PCMA"
    assert answered(CISCO, codecs=("PCMU", "PCMA"))[0].codec == "PCMA"
    assert answered(CISCO, codecs=("PCMU", "PCMA"), own_order=True)[0].codec == "PCMU"


def test_events_follow_the_chosen_codecs_clock_else_whichever_there_is() -> None:
    assert answered(PJSIP, codecs=("PCMU",))[0].event_pt == 98
    assert answered(PJSIP, codecs=("G722",))[0].event_pt == 98
    only_narrow = PJSIP.replace(b" 97 98", b" 98")
    assert answered(only_narrow)[0].event_pt == 98
    session, answer = answered(PJSIP, dtmf=False)
    assert session.event_pt is None
    assert answer.media[0].formats == ("96",)


def test_g722_is_understood_with_either_clock_and_answered_with_8000() -> None:
    session, answer = answered(BARESIP.replace(b"G722/8000", b"G722/16000"), codecs=("G722",))
    assert session.codec == "G722"
    assert answer.media[0].values("rtpmap")[0] == "9 G722/8000"


def test_an_rtpmap_overrides_the_static_meaning() -> None:
    remapped = STATIC_ONLY + b"a=rtpmap:0 L16/8000\r\n"
    assert answered(remapped)[0].codec == "PCMA"


@pytest.mark.parametrize(
    ("line", "send", "receive", "hold", "reply"),
    [
        (b"a=sendrecv", True, True, False, "sendrecv"),
        (b"a=sendonly", False, True, True, "recvonly"),
        (b"a=recvonly", True, False, False, "sendonly"),
        (b"a=inactive", False, False, True, "inactive"),
    ],
)
@pytest.mark.parametrize("level", ["session", "media"])
def test_directions_are_mirrored_from_either_level(
    line: bytes, send: bool, receive: bool, hold: bool, reply: str, level: str
) -> None:
    offer = (
        STATIC_ONLY + line + b"\r\n"
        if level == "media"
        else STATIC_ONLY.replace(b"t=0 0\r\n", b"t=0 0\r\n" + line + b"\r\n")
    )
    session, answer = answered(offer)
    assert (session.send, session.receive, session.on_hold) == (send, receive, hold)
    assert answer.media[0].has(reply)


def test_the_media_levels_direction_wins() -> None:
    offer = STATIC_ONLY.replace(b"t=0 0\r\n", b"t=0 0\r\na=inactive\r\n") + b"a=sendrecv\r\n"
    assert answered(offer)[0].send


@pytest.mark.parametrize("nowhere", [b"IN IP4 0.0.0.0", b"IN IP6 ::"])
def test_hold_in_the_old_style_stops_sending(nowhere: bytes) -> None:
    session, answer = answered(STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=" + nowhere))
    assert (session.remote, session.remote_rtcp) == (None, None)
    assert session.on_hold
    assert not session.send
    assert answer.media[0].has("recvonly")


def test_hold_and_resume_raise_the_version_and_a_repeat_does_not() -> None:
    ours = negotiation()
    versions = []
    for offer in (STATIC_ONLY, STATIC_ONLY, STATIC_ONLY + b"a=sendonly\r\n", STATIC_ONLY):
        ours.receive_offer(offer)
        versions.append(version(ours.answer()))
    assert versions == [1, 1, 2, 3]
    assert ours.session is not None
    assert ours.session.send


def test_our_own_hold_lasts_until_we_take_it_back() -> None:
    ours, theirs = negotiation(), negotiation(address="192.0.2.15")
    theirs.receive_offer(ours.offer("sendonly"))
    held = ours.receive_answer(theirs.answer())
    assert (held.send, held.receive) == (True, False)
    again = ours.receive_offer(theirs.offer())
    assert (again.send, again.receive) == (True, False)
    assert SessionDescription.parse(ours.answer()).media[0].has("sendonly")
    theirs.receive_offer(ours.offer("sendrecv"))
    assert ours.receive_answer(theirs.answer()).receive


def test_rtcp_goes_where_the_offer_says() -> None:
    plain = STATIC_ONLY
    assert answered(plain + b"a=rtcp:7000\r\n")[0].remote_rtcp == ("192.0.2.15", 7000)
    assert answered(plain + b"a=rtcp:7000 IN IP6 2001:db8::5\r\n")[0].remote_rtcp == ("2001:db8::5", 7000)
    session, answer = answered(plain + b"a=rtcp:7000\r\na=rtcp-mux\r\n")
    assert session.rtcp_mux
    assert session.remote_rtcp == session.remote
    assert answer.media[0].has("rtcp-mux")
    assert not answered(plain)[1].media[0].has("rtcp-mux")
    assert answered(plain.replace(b"5004", b"65535"))[0].remote_rtcp is None


def test_packet_times_are_what_the_far_side_wants_within_its_limit() -> None:
    assert answered(STATIC_ONLY)[0].ptime == 20
    assert answered(CISCO)[0].ptime == 30
    assert answered(STATIC_ONLY + b"a=ptime:19.6\r\n")[0].ptime == 20
    limited = answered(STATIC_ONLY + b"a=maxptime:10\r\n")[0]
    assert (limited.ptime, limited.maxptime) == (10, 10)


def test_other_lines_are_refused_in_place_and_never_dropped() -> None:
    offer = sdp("""
        v=0
        o=- 1 1 IN IP4 192.0.2.15
        s=-
        c=IN IP4 192.0.2.15
        t=0 0
        m=audio 5000 RTP/SAVP 0
        a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:WVNfX19zZW1jdGwgKCkgewkyMjA7fQp9CnVubGVz
        m=video 5002 RTP/AVP 31
        m=audio 5004 RTP/AVPF 96 8
        a=rtpmap:96 iLBC/8000
        m=audio 5006 RTP/AVP 0
        m=image 5008 udptl t38
    """)
    ours = negotiation()
    session = ours.receive_offer(offer)
    assert session.remote == ("192.0.2.15", 5004)
    for described in (ours.answer(), ours.offer("inactive")):
        media = SessionDescription.parse(described).media
        assert [m.port for m in media] == [0, 0, 40002, 0, 0]
        assert [m.kind for m in media] == ["audio", "video", "audio", "audio", "image"]
        assert [m.protocol for m in media] == ["RTP/SAVP", "RTP/AVP", "RTP/AVPF", "RTP/AVP", "udptl"]
        assert media[4].formats == ("t38",)
    # 96 is iLBC in this dialog for good (RFC 3264 section 8.3.2); our own offer keeps PCMA first
    offered = SessionDescription.parse(ours.offer()).media[2]
    assert offered.formats[0] == "8"
    assert "96" not in offered.formats


def test_a_re_offer_keeps_the_numbers_the_far_side_gave() -> None:
    ours = negotiation()
    ours.receive_offer(PJSIP)
    ours.answer()
    rtpmaps = SessionDescription.parse(ours.offer()).media[0].values("rtpmap")
    assert rtpmaps[0] == "96 opus/48000/2"
    assert "97 telephone-event/48000" in rtpmaps
    assert "98 telephone-event/8000" in rtpmaps


def test_our_offer_lists_all_we_speak_and_takes_the_answer() -> None:
    ours = negotiation()
    offered = SessionDescription.parse(ours.offer()).media[0]
    assert offered.formats == ("111", "9", "8", "0", "110", "101")
    session = ours.receive_answer(BARESIP)
    assert (session.codec, session.receive_pts, session.event_pt) == ("PCMA", (8,), 101)
    assert session.remote == ("192.0.2.11", 10022)
    assert ours.receive_answer(BARESIP) == session, "a repeated answer (183, then 200) changes nothing"


def test_an_answer_may_use_numbers_of_its_own() -> None:
    ours = negotiation()
    ours.offer()
    session = ours.receive_answer(PJSIP)
    assert (session.codec, session.send_pt, session.receive_pts) == ("OPUS", 96, (111, 96))
    assert (session.event_pt, session.send_event_pt) == (110, 97)


def voices(description: bytes) -> list[str]:
    return [codec.name for codec in codecs(SessionDescription.parse(description).media[0]) if codec.name in KNOWN]


def test_an_answer_with_several_codecs_is_bound_to_its_first_by_another_offer() -> None:
    ours = negotiation()
    assert voices(ours.offer()) == ["OPUS", "G722", "PCMA", "PCMU"]
    session = ours.receive_answer(STATIC_ONLY)
    assert (session.codec, session.several) == ("PCMU", True)
    again = ours.offer()
    assert voices(again) == ["PCMU"]
    session = ours.receive_answer(STATIC_ONLY)
    assert (session.codec, session.several) == ("PCMU", False), "what we did not offer does not count"
    assert voices(ours.offer()) == ["PCMU", "OPUS", "G722", "PCMA"], "the next offer is a full one again"


@pytest.mark.parametrize("formats", [b"AVP 8", b"AVP 8 101", b"AVP 8 8", b"AVP 8 18"], ids=str)
def test_an_answer_with_one_codec_of_ours_needs_no_other_offer(formats: bytes) -> None:
    ours = negotiation()
    ours.offer()
    session = ours.receive_answer(STATIC_ONLY.replace(b"AVP 0 8", formats))
    assert (session.codec, session.several) == ("PCMA", False)


def test_an_answer_without_rtpmap_means_our_number() -> None:
    ours = negotiation()
    ours.offer()
    assert ours.receive_answer(STATIC_ONLY.replace(b"AVP 0 8", b"AVP 111 101")).codec == "OPUS"


def test_two_of_us_agree() -> None:
    caller, callee = negotiation(), negotiation(address="2001:db8::1", codecs=("PCMA", "G722"))
    callee.receive_offer(caller.offer())
    mine = caller.receive_answer(callee.answer())
    theirs = callee.session
    assert theirs is not None
    assert mine.codec == theirs.codec == "G722"
    assert mine.rtcp_mux
    assert theirs.rtcp_mux
    assert mine.remote == ("2001:db8::1", 40002)


NO_MEDIA = {
    "port 0": STATIC_ONLY.replace(b"5004", b"0"),
    "encrypted only": BROWSER,
    "no audio": STATIC_ONLY.replace(b"m=audio", b"m=video"),
    "no lines": STATIC_ONLY[: STATIC_ONLY.index(b"m=")],
}


@pytest.mark.parametrize("case", NO_MEDIA)
def test_an_offer_without_usable_audio_is_told_so(case: str) -> None:
    with pytest.raises(NoUsableMediaError) as caught:
        negotiation().receive_offer(NO_MEDIA[case])
    assert caught.value.field == "m"


def test_no_common_codec_names_what_was_offered() -> None:
    with pytest.raises(NoCommonCodecError, match=r"G729.*CN.*PCMU"):
        negotiation(codecs=("PCMU",)).receive_offer(CISCO.replace(b"18 8 0 101 19", b"18 101 19"))
    with pytest.raises(NoCommonCodecError):
        negotiation().receive_offer(STATIC_ONLY.replace(b"AVP 0 8", b"AVP 96 97"))


BROKEN = {
    "no connection": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15\r\n", b""), "c"),
    "host name": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP4 phone.example.com"), "c"),
    "multicast": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP4 224.2.36.42/127"), "c"),
    "broadcast": (STATIC_ONLY.replace(b"c=IN IP4 192.0.2.15", b"c=IN IP4 255.255.255.255"), "c"),
    "payload type too high": (STATIC_ONLY.replace(b"AVP 0 8", b"AVP 0 128"), "m"),
    "payload type no number": (STATIC_ONLY.replace(b"AVP 0 8", b"AVP PCMU"), "m"),
    "rtpmap without clock": (STATIC_ONLY + b"a=rtpmap:0 PCMU\r\n", "a=rtpmap"),
    "rtpmap with clock zero": (STATIC_ONLY + b"a=rtpmap:0 PCMU/0\r\n", "a=rtpmap"),
    "rtpmap of nothing": (STATIC_ONLY + b"a=rtpmap\r\n", "a=rtpmap"),
    "fmtp of nothing": (STATIC_ONLY + b"a=fmtp:x y\r\n", "a=fmtp"),
    "ptime zero": (STATIC_ONLY + b"a=ptime:0\r\n", "a=ptime"),
    "ptime word": (STATIC_ONLY + b"a=ptime:soon\r\n", "a=ptime"),
    "maxptime huge": (STATIC_ONLY + b"a=maxptime:99999\r\n", "a=maxptime"),
    "two directions": (STATIC_ONLY + b"a=sendonly\r\na=recvonly\r\n", "a=recvonly"),
    "rtcp port zero": (STATIC_ONLY + b"a=rtcp:0\r\n", "a=rtcp"),
    "rtcp half an address": (STATIC_ONLY + b"a=rtcp:5005 IN IP4\r\n", "a=rtcp"),
}


@pytest.mark.parametrize("case", BROKEN)
def test_a_broken_offer_is_refused_naming_the_field_and_changes_nothing(case: str) -> None:
    offer, field = BROKEN[case]
    ours = negotiation()
    ours.receive_offer(STATIC_ONLY)
    answer, session = ours.answer(), ours.session
    with pytest.raises(SdpError) as caught:
        ours.receive_offer(offer)
    assert caught.value.field == field
    assert caught.value.reason
    assert ours.session == session
    ours.receive_offer(STATIC_ONLY)
    assert ours.answer() == answer


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        (STATIC_ONLY.replace(b"5004", b"0"), NoUsableMediaError),
        (CISCO.replace(b"18 8 0 101 19", b"18 19"), NoCommonCodecError),
        (CISCO.replace(b"18 8 0 101 19", b"101"), NoCommonCodecError),
        (STATIC_ONLY[: STATIC_ONLY.index(b"m=")], SdpError),
        (STATIC_ONLY.replace(b"m=audio", b"m=video"), SdpError),
        (STATIC_ONLY.replace(b"RTP/AVP", b"RTP/SAVP"), SdpError),
        (b"hello", SdpError),
    ],
)
def test_a_broken_answer_is_refused_and_the_old_session_stays(answer: bytes, error: type[SdpError]) -> None:
    ours = negotiation()
    ours.offer()
    session = ours.receive_answer(BARESIP)
    ours.offer("sendonly")
    with pytest.raises(error):
        ours.receive_answer(answer)
    assert ours.session == session


def test_an_answer_to_nothing_is_refused() -> None:
    ours = negotiation()
    with pytest.raises(SdpError, match="no offer"):
        ours.receive_answer(STATIC_ONLY)
    with pytest.raises(RuntimeError):
        ours.answer()


@pytest.mark.parametrize(
    "changes", [{"codecs": ("GSM",)}, {"codecs": ()}, {"port": 0}, {"ptime": 100}, {"address": "here"}]
)
def test_senseless_settings_are_refused(changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"codecs|port|ptime|address"):
        negotiation(**changes)


def test_the_family_of_an_offer_is_known_before_we_have_a_port() -> None:
    assert media_family(LINPHONE) == 6
    assert media_family(CISCO) == 4
    with pytest.raises(NoUsableMediaError):
        media_family(BROWSER)
