"""Getting in and out: refusals, endings, sipp's scenarios, the keypad."""

from __future__ import annotations

import re
import time
from pathlib import Path

import pytest

from tests.peers.conftest import INACTIVITY_SECONDS, Cast
from tests.peers.process import eventually
from tests.peers.server import Room, Server
from tests.peers.sipp import Sipp

pytestmark = pytest.mark.peers


def ended_room(server: Server) -> Room:
    room = server.api.conference()
    room.do("end")
    return room


def locked_room(server: Server) -> Room:
    room = server.api.conference()
    room.do("lock")
    return room


def full_room(server: Server) -> Room:
    return server.api.conference(seats=1)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_sipps_own_callers_get_through(tmp_path: Path, server: Server, transport: str) -> None:
    room = server.api.conference()
    with Sipp(
        tmp_path, "uac", target=server.sip, service=room.number, calls=10, rate=20, hold_ms=500, transport=transport
    ) as sipp:
        assert sipp.succeed().successful == 10
    eventually(lambda: [leg["end_kind"] for leg in room.legs()] == ["remote"] * 10, "10 ended legs", seen=room.legs)


@pytest.mark.parametrize("scenario", ["late_offer", "old_hold"])
def test_callers_of_other_habits_get_through(tmp_path: Path, server: Server, scenario: str) -> None:
    room = server.api.conference()
    with Sipp(tmp_path, scenario, target=server.sip, service=room.number, hold_ms=200) as sipp:
        sipp.succeed()
    assert room.wait_leg()["codec"] == "PCMU"


def test_b9_sipps_own_callee_is_invited_and_hung_up(tmp_path: Path, server: Server) -> None:
    room = server.api.conference()
    with Sipp(tmp_path, "uas") as sipp:
        uri = f"sip:guest@{sipp.address}"
        person = room.invite(uri)
        room.wait_state(uri, "joined")
        room.act(person, "hangup")
        sipp.succeed()
    assert room.find(uri)["state"] == "left"


def test_b4_calls_to_unknown_ended_full_and_locked_conferences_are_told_why(
    tmp_path: Path, cast: Cast, server: Server
) -> None:
    full = full_room(server)
    seated = cast.pjsua("51", 500.0)
    seated.call(f"{full.number}@{server.sip}")
    seated.wait_confirmed()
    wanted = [
        (404, "999999000"),
        (410, ended_room(server).number),
        (486, full.number),
        (403, locked_room(server).number),
        (403, f"{server.api.conference(guest_pin='482913').number}*111222"),
    ]
    for status, number in wanted:
        words = {"STATUS": str(status)}
        with Sipp(tmp_path, "refused", target=server.sip, service=number, words=words) as sipp:
            sipp.succeed()
        reason = re.search(rf"^Reason: *SIP *; *cause={status} *; *text=\"([^\"]+)\"", sipp.messages(), re.MULTILINE)
        assert reason is not None, sipp.messages()
    assert full.wait_leg(end_kind="refused")["status"] == 486


def test_b21_the_chairs_pin_opens_a_locked_conference(cast: Cast, server: Server) -> None:
    room = locked_room(server)
    chair = cast.pjsua("52", 500.0)
    chair.call(f"{room.number}*{room.chair_pin}@{server.sip}")
    chair.wait_confirmed()
    assert room.wait_state("52", "joined")["role"] == "chair"


def test_b9_an_invitation_taken_back_stops_the_ringing(tmp_path: Path, cast: Cast, server: Server) -> None:
    room = server.api.conference()
    phone = cast.pjsua("53")
    address = phone.wait("ready")["address"]
    uri = f"sip:53@{address}"
    person = room.invite(uri)
    phone.wait("incoming")
    room.wait_state(uri, "ringing")
    room.act(person, "cancel")
    assert phone.wait_ended()["status"] == 487
    assert room.find(uri)["state"] == "absent"
    with Sipp(tmp_path, "ringing") as sipp:
        person = room.invite(f"sip:54@{sipp.address}")
        room.wait_state(f"sip:54@{sipp.address}", "ringing")
        room.act(person, "cancel")
        sipp.succeed()


def test_b9_callees_who_do_not_come_are_told_apart(tmp_path: Path, server: Server) -> None:
    room = server.api.conference()
    for status, reason, failure in (
        (486, "Busy Here", "busy"),
        (603, "Decline", "rejected"),
        (404, "Not Found", "wrong_number"),
        (480, "Temporarily Unavailable", "unreachable"),
    ):
        with Sipp(tmp_path, "refusing", words={"STATUS": str(status), "REASON": reason}) as sipp:
            uri = f"sip:{status}@{sipp.address}"
            room.invite(uri)
            sipp.succeed()
        failed = room.wait_state(uri, "failed")
        assert failed["failure"] == failure, failed
        assert failed["reason"]


def test_a_caller_who_gives_up_at_once_leaves_nothing_behind(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    phone = cast.pjsua("58")
    phone.call(f"{room.number}@{server.sip}")
    phone.do("hangup")
    phone.wait_ended()
    eventually(lambda: room.view()["seats_taken"] == 0, "no seat taken", seen=room.view)
    eventually(lambda: all(leg["ended"] for leg in room.legs()), "no open record", seen=room.legs)


def test_a_phone_that_vanishes_without_bye_is_gone_soon_and_its_record_says_why(
    tmp_path: Path, cast: Cast, server: Server
) -> None:
    room = server.api.conference()
    phone = cast.pjsua("55", 500.0)
    phone.call(f"{room.number}@{server.sip}")
    phone.wait_confirmed()
    room.wait_state("55", "joined")
    with Sipp(tmp_path, "vanish", target=server.sip, service=room.number) as sipp:
        sipp.succeed()
    phone.vanish()
    vanished = time.monotonic()
    leg = room.wait_leg(patience=30, from_number="55")
    assert time.monotonic() - vanished < 30
    assert leg["end_kind"] == "no_media"
    assert leg["end_reason"]
    assert room.find("55")["state"] == "left"
    assert room.wait_leg(patience=INACTIVITY_SECONDS + 5, from_number="375170000001")["end_kind"] == "no_media"


def test_sigterm_says_bye_to_everybody(tmp_path: Path) -> None:
    (tmp_path / "server").mkdir()
    with Server(tmp_path / "server") as own:
        cast = Cast(tmp_path, own)
        room = own.api.conference()
        phone, other = cast.pjsua("56", 500.0), cast.pjsua("57", 900.0, transport="tcp")
        for caller in (phone, other):
            caller.call(f"{room.number}@{own.sip}")
            caller.wait_confirmed()
        room.wait_joined(2)
        own.stop()
        assert phone.wait_ended()["status"] == 200
        assert other.wait_ended()["status"] == 200
        cast.close()


def test_conferences_and_records_survive_a_restart(tmp_path: Path) -> None:
    with Server(tmp_path) as before:
        room = before.api.conference(topic="Standing", duration_minutes=600)
        with Sipp(tmp_path, "uac", target=before.sip, service=room.number) as sipp:
            sipp.succeed()
        account = before.api.post("/api/v1/accounts", {"number": "375290000071"})
    with Server(tmp_path) as after:
        after.api.token = before.api.token
        room.api = after.api
        assert room.view()["topic"] == "Standing"
        assert room.wait_leg()["end_kind"] == "remote"
        assert [a["number"] for a in after.api.get("/api/v1/accounts")["items"]] == [account["number"]]
        with Sipp(tmp_path, "uac", target=after.sip, service=room.number) as sipp:
            sipp.succeed()
