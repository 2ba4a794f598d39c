"""Phones that sign in with number and password, and the trunk for numbers that are not ours."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.peers.conftest import TRUNK_PASSWORD, Cast
from tests.peers.server import Server
from tests.peers.sipp import Sipp

pytestmark = pytest.mark.peers


def test_b35_phones_register_with_the_right_password_only(cast: Cast, server: Server) -> None:
    right = cast.account("375290000061")
    wrong = {**right, "password": "not the one"}
    over_udp = cast.pjsua("375290000061", **right)
    over_tcp = cast.pjsua("375290000061", name="61tcp", transport="tcp", **right)
    other = cast.baresip("375290000061", "PCMA", 500.0, **right)
    assert over_udp.wait("registered")["status"] == 200
    assert over_tcp.wait("registered")["status"] == 200
    other.wait_registered()
    over_udp.do("unregister")
    assert not over_udp.wait("registered", status=200)["active"]
    liar = cast.pjsua("375290000061", name="61wrong", **wrong)
    unknown = cast.pjsua("375290000069", **right)
    assert liar.wait("registered")["status"] in (401, 403)
    assert unknown.wait("registered")["status"] in (401, 403, 404)


def test_b35_all_phones_of_a_number_ring_and_the_first_to_answer_has_the_call(cast: Cast, server: Server) -> None:
    room = server.api.conference()
    account = cast.account("375290000062")
    desk = cast.pjsua("375290000062", name="desk", **account)
    mobile = cast.pjsua("375290000062", name="mobile", transport="tcp", **account)
    for phone in (desk, mobile):
        phone.wait("registered", status=200)
    room.invite("375290000062")
    desk.wait("incoming")
    mobile.wait("incoming")
    room.wait_state("375290000062", "ringing")
    mobile.do("answer")
    mobile.wait_confirmed()
    assert desk.wait_ended()["status"] == 487
    room.wait_state("375290000062", "joined")


def test_b35_other_numbers_go_by_the_trunk_which_asks_for_our_credentials(
    tmp_path: Path, cast: Cast, server: Server, trunk_port: int
) -> None:
    room = server.api.conference()
    words = {"USER": "veche", "PASSWORD": TRUNK_PASSWORD}
    with Sipp(tmp_path, "trunk", words=words, port=trunk_port) as trunk:
        person = room.invite("+375 17 123-45-67")
        room.wait_state("375171234567", "joined")
        room.act(person, "hangup")
        trunk.succeed()
    assert "INVITE sip:375171234567@" in trunk.messages()
    leg = room.wait_leg(to_number="375171234567")
    assert (leg["direction"], leg["end_kind"]) == ("out", "hung_up")


def test_n1_a_trunk_that_refuses_is_reported_as_it_says(tmp_path: Path, server: Server, trunk_port: int) -> None:
    room = server.api.conference()
    with Sipp(tmp_path, "refusing", words={"STATUS": "486", "REASON": "Busy Here"}, port=trunk_port) as trunk:
        room.invite("375171234568")
        trunk.succeed()
    assert room.wait_state("375171234568", "failed")["failure"] == "busy"
