"""Phone legs between SIP, session descriptions and the mixer, through the service, in virtual time."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from control import schemas as s
from control.errors import UnavailableError
from control.legs import info_digit
from control.ports import MediaAddress, MediaLost, MediaRestored
from control.store.records import LegRecord
from mixer import protocol as mx
from sdp.session import SessionDescription
from sip import events as sip
from tests.control.doubles import Server, sdp


async def conference(server: Server, **fields: object) -> s.ConferenceView:
    value = s.CreateConference.model_validate({"number": "200", "chair_pin": "4321", "guest_pin": None, **fields})
    return await server.service.create(value, by="op")


async def only_cdr(server: Server) -> LegRecord:
    await finish(server)
    (cdr,) = server.store.cdrs()
    return cdr


async def finish(server: Server) -> None:
    """Let the closing figures of ended legs come in."""
    server.phones.settle()
    for _ in range(5):
        await asyncio.sleep(0)


def leg_of(server: Server) -> str:
    (leg,) = server.service.calls.legs
    return leg


async def invited(server: Server) -> tuple[str, s.ParticipantView]:
    """A conference with one participant whose phone we call; gives the call."""
    view = await conference(server)
    add = s.AddParticipant(number="375293333333", name="Vera", invite=True)
    participant = await server.service.add_participant(view.id, add, by="op")
    return server.phones.last("invite")[1], participant


async def state_of(server: Server, participant: s.ParticipantView) -> s.ParticipantView:
    (found,) = [p for c in server.service.registry.conferences.values() for p in c.roster if p.id == participant.id]
    conference_id = next(iter(server.service.registry.conferences))
    return await server.service.participant(conference_id, found.id)


async def test_b3_a_call_is_answered_with_our_media_address_and_its_voice_goes_to_the_mixer() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    (media,) = server.media.connected.values()
    assert (media.codec, media.send_pt, media.event_pt) == ("PCMA", 8, 101)
    assert media.remote == ("192.0.2.7", 7000)
    answer = SessionDescription.parse(server.phones.bodies[call])
    assert answer.media[0].port == 40000
    assert server.store.kinds()[-1] == "participant.joined"


async def test_n9_a_leg_takes_its_place_in_a_room_that_sounds_as_the_conference_is_to() -> None:
    server = Server()
    view = await conference(server, talkers=3, levelling=False)
    server.phones.join("200")
    assert server.media.rooms[view.id] == mx.RoomSettings(talkers=3, levelling=False)
    await server.service.set_sound(view.id, s.SetSound(talkers=0, silence_music=True), by="op")
    assert server.media.rooms[view.id] == mx.RoomSettings(levelling=False, silence_music=True)
    await server.service.add_participant(view.id, s.AddParticipant(number="375293333333", invite=True), by="op")
    assert server.media.rooms[view.id] == mx.RoomSettings(levelling=False, silence_music=True)


async def test_a_phone_behind_nat_may_send_from_the_address_it_signals_from() -> None:
    server = Server()
    await conference(server)
    server.phones.join("200", offer=sdp("10.0.0.5"), source="198.51.100.9")
    (media,) = server.media.connected.values()
    assert media.latch_hosts == ("10.0.0.5", "198.51.100.9")


async def test_an_ipv6_offer_is_answered_from_an_ipv6_address() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200", offer=sdp("2001:db8::7"))
    assert b"IN IP6 2001:db8::1" in server.phones.bodies[call]


async def test_a_call_without_an_offer_gets_ours_and_joins_with_the_answer_in_the_ack() -> None:
    server = Server()
    await conference(server)
    call = server.phones.incoming("200", offer=None)
    assert b"m=audio 40000" in server.phones.bodies[call]
    assert not server.media.connected
    server.phones.emit(sip.CallConfirmed(call, sdp()))
    assert [m.codec for m in server.media.connected.values()] == ["PCMA"]
    assert "participant.joined" in server.store.kinds()


@pytest.mark.parametrize("answer", [None, b"", b"nonsense", sdp(payload="18")])
async def test_an_ack_without_a_usable_answer_ends_the_call(answer: bytes | None) -> None:
    server = Server()
    await conference(server)
    call = server.phones.incoming("200", offer=None)
    server.phones.emit(sip.CallConfirmed(call, answer))
    assert server.phones.last("hang_up")[1] == call
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.answered) == ("unsupported", None)
    assert not server.media.reserved


async def test_no_common_codec_is_488_with_a_warning() -> None:
    server = Server()
    await conference(server)
    call = server.phones.incoming("200", offer=sdp(payload="18"))
    assert server.phones.last("reject")[2:] == (488, "No common codec")
    assert server.phones.headers[call]["Warning"].startswith('305 veche "Incompatible media format')
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.status) == ("unsupported", 488)
    assert not server.media.reserved


async def test_an_offer_found_wanting_after_its_place_was_reserved_gives_it_back() -> None:
    server = Server()
    await conference(server)
    server.phones.incoming("200", offer=sdp().replace(b"a=sendrecv", b"a=ptime:0"))
    assert server.phones.last("reject")[2:] == (400, "Bad session description: a=ptime: is zero")
    assert server.media.released == [(await only_cdr(server)).id]


async def test_refused_audio_is_488_and_nonsense_is_400_naming_the_line() -> None:
    server = Server()
    await conference(server)
    server.phones.incoming("200", offer=sdp(port=0))
    assert server.phones.last("reject")[2:] == (488, "No usable audio")
    server.phones.incoming("200", offer=sdp().replace(b"IN IP4 192.0.2.7\r\nt=", b"IN IP4 nowhere\r\nt="))
    status, reason = server.phones.last("reject")[2:]
    assert status == 400
    assert reason.startswith("Bad session description: c")


async def test_a_full_mixer_is_503_with_retry_after_and_gives_the_seat_back() -> None:
    server = Server()
    view = await conference(server)
    server.media.full = True
    call = server.phones.incoming("200")
    assert server.phones.last("reject")[2] == 503
    assert server.phones.headers[call]["Retry-After"] == "7"
    assert (await server.service.get(view.id)).seats_taken == 0
    assert (await only_cdr(server)).end_kind == "overloaded"


async def test_an_ipv6_offer_where_no_ipv6_media_is_received_is_488_and_not_503() -> None:
    server = Server()
    view = await conference(server)
    server.media.families = {4}
    call = server.phones.incoming("200", offer=sdp("2001:db8::7"))
    assert server.phones.last("reject")[2:] == (488, "No media address for IPv6")
    assert server.phones.headers[call]["Warning"].startswith('301 veche "Incompatible network address formats')
    assert (await server.service.get(view.id)).seats_taken == 0
    assert (await only_cdr(server)).end_kind == "unsupported"


async def test_every_call_leaves_a_complete_record_with_the_mixers_figures() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200*4321", "375291112233", name="Anna")
    server.clock.now += 61
    server.phones.bye(call)
    cdr = await only_cdr(server)
    assert (cdr.conference, cdr.direction, cdr.from_number, cdr.to_number) == (view.id, "in", "375291112233", "200")
    assert (cdr.codec, cdr.transport, cdr.call_id) == ("PCMA", "udp", f"{call}@phone")
    assert (cdr.end_kind, cdr.end_reason) == ("remote", "Hung up")
    assert cdr.participant is not None
    assert cdr.answered is not None
    assert cdr.ended is not None
    assert (cdr.ended - cdr.answered).total_seconds() == 61
    assert cdr.media["packets_lost"] == 5
    assert "4321" not in repr(server.store.cdrs()) + repr(server.store.log)


async def test_a_record_is_complete_without_figures_when_the_mixer_is_gone() -> None:
    server = Server()
    await conference(server)
    server.media.stats_ready = False
    server.phones.bye(server.phones.join("200"))
    cdr = await only_cdr(server)
    assert cdr.ended is not None
    assert cdr.media == {}


async def test_a_call_that_is_never_acknowledged_was_never_in() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.incoming("200")
    server.phones.emit(sip.CallEnded(call, sip.EndKind.TIMEOUT, "No ACK"))
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.end_reason, cdr.answered, cdr.participant) == ("timeout", "No ACK", None, None)
    assert (await server.service.participants(view.id)).items == []


async def test_nothing_of_a_call_is_kept_after_its_end() -> None:
    server = Server()
    view = await conference(server)
    for _ in range(50):
        server.phones.bye(server.phones.join("200"))
        server.phones.emit(sip.CallEnded("call-unknown", sip.EndKind.REMOTE, ""))
    await finish(server)
    calls = server.service.calls
    assert (calls.legs, calls._by_call, calls._records._tasks) == ({}, {}, set())
    assert not server.media.reserved
    assert not server.phones.calls
    assert len(server.store.cdrs()) == 50
    assert len((await server.service.participants(view.id)).items) == 1


@pytest.mark.parametrize(
    ("description", "sends", "receives"),
    [
        (sdp(direction="sendonly", version=2), False, True),
        (sdp(direction="inactive", version=2), False, False),
        (sdp("0.0.0.0", version=2), False, True),
    ],
)
async def test_b37_hold_in_each_style_is_shown_and_resumed(description: bytes, sends: bool, receives: bool) -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200")
    server.phones.emit(sip.SessionOffered(call, description, "INVITE"))
    (media,) = server.media.connected.values()
    assert (media.send, media.receive) == (sends, receives)
    assert server.phones.last("accept_session") == ("accept_session", call)
    assert (await server.service.participants(view.id)).items[0].held
    server.phones.emit(sip.SessionOffered(call, sdp(version=3), "INVITE"))
    assert not (await server.service.participants(view.id)).items[0].held
    assert server.store.kinds()[-2:] == ["participant.held", "participant.resumed"]


async def test_a_reinvite_changes_codec_and_address() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    server.phones.emit(sip.SessionOffered(call, sdp("192.0.2.99", 9000, payload="0 101", version=2), "UPDATE"))
    (media,) = server.media.connected.values()
    assert (media.codec, media.remote) == ("PCMU", ("192.0.2.99", 9000))
    server.phones.bye(call)
    assert (await only_cdr(server)).codec == "PCMU"


async def test_a_reinvite_that_cannot_be_taken_is_refused_and_the_call_goes_on() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    server.phones.emit(sip.SessionOffered(call, sdp(payload="18", version=2), "INVITE"))
    assert server.phones.last("refuse_session") == ("refuse_session", call, 488, "No common codec")
    server.phones.emit(sip.SessionOffered(call, None, "INVITE"))
    server.phones.emit(sip.CallConfirmed(call, None))
    assert [m.codec for m in server.media.connected.values()] == ["PCMA"]
    assert server.phones.calls[call] == "up"


async def test_a_reinvite_without_an_offer_gets_ours_and_takes_the_answer() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    server.phones.emit(sip.SessionOffered(call, None, "INVITE"))
    server.phones.emit(sip.CallConfirmed(call, sdp(port=9100, version=2)))
    assert [m.remote for m in server.media.connected.values()] == [("192.0.2.7", 9100)]
    assert server.store.kinds().count("participant.joined") == 1


async def test_b9_an_invited_phone_rings_answers_and_is_in() -> None:
    server = Server()
    call, vera = await invited(server)
    assert server.phones.last("invite")[2:] == ("375293333333", "200", "")
    server.phones.emit(sip.CallProgress(call, 100, "Trying", None))
    assert (await state_of(server, vera)).state == "invited"
    server.phones.emit(sip.CallProgress(call, 183, "Session Progress", sdp()))
    assert (await state_of(server, vera)).state == "ringing"
    assert not server.media.connected
    server.phones.answered(call)
    assert (await state_of(server, vera)).state == "joined"
    assert [m.codec for m in server.media.connected.values()] == ["PCMA"]
    server.phones.bye(call)
    cdr = await only_cdr(server)
    assert (cdr.direction, cdr.from_number, cdr.to_number) == ("out", "200", "375293333333")
    assert cdr.ringing is not None
    assert cdr.participant == vera.id


async def test_a_record_of_our_own_call_names_its_call_id_and_transport() -> None:
    server = Server()
    call, _ = await invited(server)
    server.phones.emit(sip.CallProgress(call, 180, "Ringing", None, "id@us"))
    assert next(iter(server.service.calls.legs.values())).cdr.call_id == "id@us"
    server.phones.answered(call)
    server.phones.bye(call)
    cdr = await only_cdr(server)
    assert (cdr.call_id, cdr.transport) == (f"{call}@us", "tcp")


# --- one codec -------------------------------------------------------------------------------------------------------

SEVERAL = sdp(payload="0 8 101")


def voices(description: bytes) -> tuple[str, ...]:
    """The payload types offered besides telephone-event."""
    (audio,) = SessionDescription.parse(description).media
    events = {value.split()[0] for value in audio.values("rtpmap") if "telephone-event" in value}
    return tuple(text for text in audio.formats if text not in events)


async def test_an_answer_with_several_codecs_is_bound_to_the_first_by_another_offer() -> None:
    server = Server()
    call, _ = await invited(server)
    server.phones.answered(call, SEVERAL)
    assert server.phones.last("modify_session") == ("modify_session", call)
    assert voices(server.phones.bodies[call]) == ("0",)
    server.phones.emit(sip.SessionAnswered(call, sdp(payload="0 101", port=7002, version=2)))
    (media,) = server.media.connected.values()
    assert (media.codec, media.remote) == ("PCMU", ("192.0.2.7", 7002))


async def test_an_answer_to_the_offer_in_our_200_is_bound_too() -> None:
    server = Server()
    await conference(server)
    call = server.phones.incoming("200", offer=None)
    server.phones.emit(sip.CallConfirmed(call, SEVERAL))
    assert voices(server.phones.bodies[call]) == ("0",)


@pytest.mark.parametrize(
    "outcome",
    [
        sip.SessionAnswered("call1", SEVERAL),
        sip.SessionAnswered("call1", None),
        sip.SessionRefused("call1", 488, "Not Acceptable Here"),
    ],
)
async def test_a_phone_that_will_not_be_bound_is_asked_once_and_stays_in(outcome: sip.Event) -> None:
    server = Server()
    call, participant = await invited(server)
    server.phones.answered(call, SEVERAL)
    server.phones.emit(outcome)
    assert [entry[0] for entry in server.phones.done] == ["invite", "modify_session"]
    assert (await state_of(server, participant)).state == "joined"
    assert [media.codec for media in server.media.connected.values()] == ["PCMU"]


async def test_an_answer_with_one_codec_needs_no_other_offer() -> None:
    server = Server()
    call, _ = await invited(server)
    server.phones.answered(call, sdp(payload="0 101"))
    assert [entry[0] for entry in server.phones.done] == ["invite"]


async def test_an_answer_without_a_session_falls_back_on_the_early_one() -> None:
    server = Server()
    call, vera = await invited(server)
    server.phones.emit(sip.CallProgress(call, 183, "Session Progress", sdp(port=7777)))
    server.phones.answered(call, None)
    assert (await state_of(server, vera)).state == "joined"
    assert [m.remote for m in server.media.connected.values()] == [("192.0.2.7", 7777)]


async def test_an_answer_that_cannot_be_used_ends_the_call_and_says_why() -> None:
    server = Server()
    call, vera = await invited(server)
    server.phones.answered(call, sdp(payload="18"))
    assert server.phones.last("hang_up") == ("hang_up", call, "No common codec")
    view = await state_of(server, vera)
    assert (view.state, view.failure, view.reason) == ("failed", "unsupported", "No common codec")
    assert (await only_cdr(server)).end_kind == "unsupported"


async def test_n1_a_failed_invitation_tells_the_reason() -> None:
    server = Server()
    call, vera = await invited(server)
    server.phones.calls.pop(call)
    server.phones.emit(sip.CallFailed(call, sip.FailureKind.BUSY, 486, "Busy Here"))
    view = await state_of(server, vera)
    assert (view.state, view.failure, view.reason) == ("failed", "busy", "Busy Here")
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.status, cdr.end_reason) == ("busy", 486, "Busy Here")


async def test_b9_nobody_answers_within_the_ring_time() -> None:
    server = Server(ring_seconds=20)
    call, vera = await invited(server)
    server.pass_time(19.9)
    assert (await state_of(server, vera)).state == "invited"
    server.pass_time(0.2)
    assert server.phones.last("hang_up") == ("hang_up", call, "No answer")
    assert (await state_of(server, vera)).failure == "no_answer"
    assert (await only_cdr(server)).end_kind == "no_answer"


async def test_an_invitation_without_room_in_the_mixers_is_refused_and_changes_nothing() -> None:
    server = Server()
    server.media.full = True
    view = await conference(server)
    add = s.AddParticipant(number="375293333333", invite=True)
    with pytest.raises(UnavailableError) as caught:
        await server.service.add_participant(view.id, add, by="op")
    assert (caught.value.status, caught.value.retry_after) == (503, 7)
    assert (await server.service.participants(view.id)).items == []
    vera = await server.service.add_participant(view.id, s.AddParticipant(number="375293333333"), by="op")
    with pytest.raises(UnavailableError):
        await server.service.invite_many(view.id, [vera.id], by="op")
    with pytest.raises(UnavailableError):
        await server.service.act(view.id, vera.id, "invite", by="op")
    assert (await state_of(server, vera)).state == "absent"


async def test_an_invitation_that_finds_no_room_after_all_fails_as_overloaded_and_calls_nobody() -> None:
    server = Server()
    server.media.full, server.media.foresees = True, False
    view = await conference(server)
    add = s.AddParticipant(number="375293333333", invite=True)
    participant = await server.service.add_participant(view.id, add, by="op")
    assert (participant.state, participant.failure) == ("failed", "overloaded")
    assert not server.phones.calls
    assert (await only_cdr(server)).end_kind == "overloaded"


async def test_a_caller_who_vanished_is_hung_up_after_the_inactivity_time_and_the_record_says_why() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)
    server.clock.now += 29.5
    server.media.emit(mx.Inactive(leg, 29.5))
    assert server.phones.calls[call] == "up"
    server.clock.now += 1
    server.media.emit(mx.Inactive(leg, 30.5))
    assert server.phones.last("hang_up") == ("hang_up", call, "no media")
    assert (await server.service.participants(view.id)).items[0].reason == "no media"
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.end_reason) == ("no_media", "no media")


async def test_a_phone_on_hold_may_be_silent_and_has_its_time_anew_when_it_resumes() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)
    server.phones.emit(sip.SessionOffered(call, sdp(direction="inactive", version=2), "INVITE"))
    server.clock.now += 300
    server.media.emit(mx.Inactive(leg, 300.0))
    server.phones.emit(sip.SessionOffered(call, sdp(version=3), "INVITE"))
    server.media.emit(mx.Inactive(leg, 300.0))
    assert server.phones.calls[call] == "up"
    server.clock.now += 31
    server.media.emit(mx.Inactive(leg, 331.0))
    assert call not in server.phones.calls


async def test_an_rtcp_bye_followed_by_silence_ends_the_leg_soon_and_followed_by_sound_does_not() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)
    server.clock.now += 100
    server.media.emit(mx.RtcpBye(leg))
    server.clock.now += 20
    server.media.emit(mx.Inactive(leg, 6.0))
    assert server.phones.calls[call] == "up"
    server.media.emit(mx.RtcpBye(leg))
    server.clock.now += 6
    server.media.emit(mx.Inactive(leg, 6.0))
    assert call not in server.phones.calls


async def test_b34_keys_from_rtp_or_info_come_once_each() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)
    for digit in "5*":
        server.media.emit(mx.Digit(leg, digit, 100))
        server.phones.emit(sip.InfoReceived(call, "application/dtmf", digit.encode()))
    assert [e.data["digit"] for e in server.store.log if e.kind == "participant.digit"] == ["5", "*"]


async def test_b34_keys_from_info_alone_come_too() -> None:
    server = Server()
    await conference(server)
    call = server.phones.join("200")
    body = b"Signal=5\r\nDuration=160\r\n"
    server.phones.emit(sip.InfoReceived(call, "application/dtmf-relay", body))
    server.phones.emit(sip.InfoReceived(call, "application/dtmf-relay", body))
    assert [e.data["digit"] for e in server.store.log if e.kind == "participant.digit"] == ["5", "5"]


@pytest.mark.parametrize(
    ("content_type", "body", "digit"),
    [
        ("application/dtmf-relay", b"Signal=*\r\nDuration=100", "*"),
        ("Application/DTMF-Relay; x=1", b"Signal = 11\nDuration=100\n", "#"),
        ("application/dtmf", b" 7 ", "7"),
        ("application/dtmf", b"d", "D"),
        ("application/dtmf", b"77", None),
        ("application/dtmf", b"\xff", None),
        ("application/dtmf-relay", b"Duration=100", None),
        ("application/dtmf-relay", b"Signal=16\r\n", None),
        ("text/plain", b"5", None),
    ],
)
def test_b34_an_info_body_is_read_as_one_key_or_none(content_type: str, body: bytes, digit: str | None) -> None:
    assert info_digit(content_type, body) == digit


async def test_b10_a_muted_participant_is_muted_before_his_voice_is_in() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200")
    (anna,) = (await server.service.participants(view.id)).items
    await server.service.act(view.id, anna.id, "mute", by="op")
    server.phones.bye(call)
    await finish(server)
    server.phones.incoming("200")
    assert [a["mute"] for a in server.media.adjusted.values()] == [True]


async def test_b9_a_cancelled_call_is_dropped_whatever_still_arrives_of_it() -> None:
    server = Server()
    call, vera = await invited(server)
    await server.service.act(next(iter(server.service.registry.conferences)), vera.id, "cancel", by="op")
    assert server.phones.last("hang_up")[1] == call
    server.phones.emit(sip.CallAnswered(call, sdp(), ("192.0.2.8", 5060)))
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.answered) == ("cancelled", None)
    assert (await state_of(server, vera)).state == "absent"


async def test_a_caller_who_gives_up_before_the_acknowledgement_leaves_a_record() -> None:
    server = Server()
    await conference(server)
    call = server.phones.incoming("200")
    server.phones.emit(sip.CallCancelled(call, "The caller gave up"))
    cdr = await only_cdr(server)
    assert (cdr.end_kind, cdr.status) == ("cancelled", 487)


async def test_n8_music_from_a_phone_is_shown_until_it_ceases_or_the_phone_leaves() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)

    async def playing() -> list[bool]:
        return [p.playing_music for p in (await server.service.participants(view.id)).items]

    server.media.emit(mx.Music(leg, True, silenced=True))
    assert await playing() == [True]
    event = server.store.log[-1]
    assert (event.kind, event.data["playing"], event.data["silenced"]) == ("participant.music", True, True)
    server.media.emit(mx.Music(leg, False, silenced=False))
    assert await playing() == [False]
    server.media.emit(mx.Music(leg, True, silenced=False))
    server.media.emit(MediaLost(0, "killed", (leg,)))
    assert await playing() == [False], "the next mixer begins to listen anew"
    server.media.emit(mx.Music(leg, True, silenced=False))
    server.phones.bye(call)
    assert await playing() == [False]
    assert [e.data["playing"] for e in server.store.log if e.kind == "participant.music"] == [
        True, False, True, False, True
    ]  # fmt: skip


async def test_n13_a_lost_mixer_hangs_up_nobody_and_the_conference_tells_of_it() -> None:
    server = Server()
    view = await conference(server)
    call = server.phones.join("200")
    leg = leg_of(server)
    server.media.emit(mx.Talking(leg, True, -20.0))
    server.media.emit(MediaLost(0, "killed", (leg,)))
    assert not (await server.service.participants(view.id)).items[0].talking
    server.clock.now += 60
    server.media.emit(MediaRestored(0, 0.4, (leg,)))
    server.media.emit(mx.Inactive(leg, 60.0))
    assert server.phones.calls[call] == "up"
    assert server.store.kinds()[-3:] == ["conference.media_lost", "participant.talking", "conference.media_restored"]


async def test_one_invitation_that_goes_wrong_keeps_no_other_from_ringing(monkeypatch: pytest.MonkeyPatch) -> None:
    server = Server()
    view = await conference(server)
    ids = []
    for number in ("375290000001", "375290000002"):
        added = await server.service.add_participant(view.id, s.AddParticipant(number=number), by="op")
        ids.append(added.id)
    reserve, broken = server.media.reserve, iter([True])

    def fail_once(leg: str, conference: str, **how: Any) -> MediaAddress:
        if next(broken, False):
            raise RuntimeError("unforeseen")
        return reserve(leg, conference, **how)

    monkeypatch.setattr(server.media, "reserve", fail_once)
    await server.service.invite_many(view.id, ids, by="op")
    assert [entry[2] for entry in server.phones.done if entry[0] == "invite"] == ["375290000002"]
    server.pass_time(60)
    assert (await server.service.get(view.id)).seats_taken == 0
