"""Phones that nobody here wrote talk together: who hears whom, and how loud."""

from __future__ import annotations

import psutil
import pytest

from tests.peers.audio import assert_hears, assert_silent, assert_steady, gaps
from tests.peers.conftest import LEVEL, AnyPhone, Cast, Window
from tests.peers.process import eventually
from tests.peers.server import Server

pytestmark = pytest.mark.peers


def test_b3_b32_phones_of_four_codecs_hear_each_other_and_never_themselves(cast: Cast, server: Server) -> None:
    room = server.api.conference(topic="Four codecs")
    tones = {"11": 430.0, "12": 710.0, "13": 1130.0, "14": 1730.0}
    phones: list[AnyPhone] = [
        cast.pjsua("11", tones["11"], codecs=["PCMU"]),
        cast.pjsua("12", tones["12"], codecs=["PCMA"], transport="tcp"),
        cast.baresip("13", "G722", tones["13"]),
        cast.baresip("14", "OPUS", tones["14"]),
    ]
    for phone in phones:
        phone.call(f"{room.number}@{server.sip}")
    for phone in phones:
        phone.wait_confirmed()
    room.wait_joined(4)
    window = Window(2.0, settle=1.0)
    live = server.api.get(room.path + "/live")
    cast.end(room, phones)
    assert {p["codec"] for p in live["participants"]} == {"PCMU", "PCMA", "G722", "OPUS"}
    assert len(live["talking"]) == 4
    for phone in phones:
        others = {tone: LEVEL for user, tone in tones.items() if user != phone.user}
        heard = cast.heard(phone, window)
        assert_hears(heard, others, own=tones[phone.user])
        assert_steady(heard, *others)


def test_b9_invited_phones_ring_answer_and_hear_each_other(cast: Cast, server: Server) -> None:
    room = server.api.conference(topic="By invitation")
    first = cast.pjsua("375290000021", 500.0, codecs=["PCMA"], answer=True, **cast.account("375290000021"))
    second = cast.baresip("375290000022", "PCMU", 900.0, answer=True, **cast.account("375290000022"))
    first.wait("registered", status=200)
    second.wait_registered()
    room.invite("+375 29 000-00-21", "Anna")
    room.invite("375290000022", "Barys")
    first.wait("incoming")
    assert room.wait_state("375290000021", "joined")["name"] == "Anna"
    room.wait_state("375290000022", "joined")
    window = Window(1.5)
    cast.end(room, [first, second])
    assert_hears(cast.heard(first, window), {900: LEVEL}, own=500)
    assert_hears(cast.heard(second, window), {500: LEVEL}, own=900)
    leg = room.wait_leg(to_number="375290000021")
    assert (leg["direction"], leg["end_kind"]) == ("out", "conference_ended")
    assert leg["figures"]["packets_received"] > 50


def test_b10_the_muted_are_not_heard_the_deaf_hear_nothing_and_the_kicked_are_out(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    first, second = cast.pjsua("31", 500.0), cast.pjsua("32", 900.0, codecs=["PCMU"])
    for phone in (first, second):
        phone.call(f"{room.number}@{server.sip}")
        phone.wait_confirmed()
    room.wait_joined(2)
    one, two = room.find("31")["id"], room.find("32")["id"]
    assert room.act(one, "mute")["muted"]
    muted = Window(1.0)
    room.act(one, "unmute")
    assert room.act(two, "deaf")["deaf"]
    deaf = Window(1.0)
    room.act(two, "undeaf")
    room.act(one, "gain", {"talk_gain_db": -10.0})
    quiet = Window(1.0)
    room.act(one, "kick")
    assert first.wait_ended()["status"] == 200
    alone = Window(1.0)
    cast.end(room, [second])
    assert_hears(cast.heard(second, quiet), {500: LEVEL - 10}, own=900)
    for silent in (muted, deaf, alone):
        assert_silent(cast.heard(second, silent), 500, 900)
    assert room.wait_leg(from_number="31")["end_kind"] == "kicked"
    assert room.find("31")["state"] == "kicked"


def test_b37_a_phone_on_hold_is_not_heard_and_comes_back(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    holder, other = cast.pjsua("41", 500.0), cast.pjsua("42", 900.0, codecs=["PCMU"])
    for phone in (holder, other):
        phone.call(f"{room.number}@{server.sip}")
        phone.wait_confirmed()
    room.wait_joined(2)
    before = Window(1.0)
    holder.do("hold")
    holder.wait("media", status="local_hold")
    assert room.find("41")["held"]
    # longer than the limit on silence: who holds is quiet by right
    held = Window(6.0)
    holder.do("unhold")
    holder.wait("media", status="active")
    after = Window(1.0)
    assert room.find("41")["state"] == "joined"
    assert not room.find("41")["held"]
    cast.end(room, [holder, other])
    heard = {name: cast.heard(other, w) for name, w in (("before", before), ("held", held), ("after", after))}
    assert_hears(heard["before"], {500: LEVEL}, own=900)
    assert_silent(heard["held"], 500, 900)
    assert_hears(heard["after"], {500: LEVEL}, own=900)
    assert_hears(cast.heard(holder, after), {900: LEVEL}, own=500)


def test_b34_keys_pressed_arrive_by_rtp_and_by_info_and_their_tones_are_not_heard(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    by_rtp, by_info, listener = cast.pjsua("43", codecs=["PCMU"]), cast.pjsua("44"), cast.pjsua("45", 900.0)
    phones = (by_rtp, by_info, listener)
    for phone in phones:
        phone.call(f"{room.number}@{server.sip}")
        phone.wait_confirmed()
    room.wait_joined(3)
    by_rtp.do("dtmf", digits="159#")
    by_info.do("dtmf", digits="*07", method="info")
    window = Window(1.5, settle=0.1)
    eventually(
        lambda: len(room.events("participant.digit")) == 7, "7 digits", seen=lambda: room.events("participant.digit")
    )
    digits = room.events("participant.digit")
    cast.end(room, phones)
    pressed = {user: room.find(user)["id"] for user in ("43", "44")}
    assert "".join(d["digit"] for d in digits if d["participant"] == pressed["43"]) == "159#"
    assert "".join(d["digit"] for d in digits if d["participant"] == pressed["44"]) == "*07"
    assert_silent(cast.heard(listener, window), 697, 770, 852, 941, 1209, 1336, 1477)


def test_n13_a_crash_of_the_mixer_hangs_nobody_up_and_sound_comes_back(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    first, second = cast.pjsua("46", 500.0), cast.pjsua("47", 900.0, codecs=["PCMU"])
    for phone in (first, second):
        phone.call(f"{room.number}@{server.sip}")
        phone.wait_confirmed()
    room.wait_joined(2)
    mixers = [p for p in psutil.Process(server.child.process.pid).children() if "mixer.process" in p.cmdline()]
    whole = Window(0.0)
    # younger ones stand by
    min(mixers, key=lambda process: process.create_time()).kill()
    after = Window(1.5, settle=2.0)
    whole.end = after.end
    cast.end(room, [first, second])
    for phone, tone, own in ((first, 900, 500), (second, 500, 900)):
        assert_hears(cast.heard(phone, after), {tone: LEVEL}, own=own)
        assert sum(length for _, length in gaps(cast.heard(phone, whole), tone)) < 1.0
