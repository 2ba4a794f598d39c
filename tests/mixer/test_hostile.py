"""Who tries to be heard, or to make the tick late, without being a party to any call. Virtual time, no wall clock."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from mixer import receive
from mixer.protocol import AddLeg, Latched, LegMedia, RtcpBye, UpdateLeg
from mixer.rtcp import bye
from tests.mixer.world import Phone, World, level

TONE = 440.0
LOUD = bytes(np.where(np.arange(160) % 2, 0x80, 0x00).astype(np.uint8))
NATTED = LegMedia("PCMU", 0, (0,), None, ("192.168.1.5", 4000), None, latch_hosts=("192.0.2.1",))


def rtp(seq: int, timestamp: int, ssrc: int) -> bytes:
    return struct.pack("!BBHII", 0x80, 0, seq & 0xFFFF, timestamp & 0xFFFF_FFFF, ssrc) + LOUD


def disturbed_frames(phone: Phone) -> int:
    """Frames of a recording that are not the steady tone: what remains of each besides it, or what it lacks."""
    frames = phone.recording().reshape(-1, 160)
    turn = 2 * np.pi * TONE * np.arange(160) / 8000
    basis, _ = np.linalg.qr(np.stack((np.cos(turn), np.sin(turn)), axis=1))
    tone = frames @ basis
    rest = np.sqrt(np.mean((frames - tone @ basis.T) ** 2, axis=1))
    amplitude = np.linalg.norm(tone, axis=1) * np.sqrt(2 / 160)
    return int(np.count_nonzero((rest > 300) | (abs(amplitude - 6000) > 300)))


def steady() -> tuple[World, Phone, Phone]:
    world = World()
    sender = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(6)
    listener.heard.clear()
    return world, sender, listener


# --- from the phone's own address, forged ----------------------------------------------------------------------------


def test_an_old_part_of_the_stream_sent_again_is_not_heard() -> None:
    world, sender, listener = steady()
    seq, timestamp = sender.seq - 250, sender.timestamp - 250 * 160
    for count in range(100):
        world.inject(rtp(seq + count, timestamp + count * 160, sender.ssrc), sender.address, lane=1)
        world.tick()
    assert disturbed_frames(listener) <= 1
    assert world.stats("sender").packets_lost == 0


def test_a_foreign_ssrc_is_not_believed_while_the_phone_sends() -> None:
    world, sender, listener = steady()
    for seq in range(100):
        world.inject(rtp(seq, seq * 160, 77), sender.address, lane=1)
        world.tick()
    assert disturbed_frames(listener) <= 1
    assert world.stats("sender").packets_rejected == 100


def test_a_sequence_number_far_ahead_is_not_believed_at_once() -> None:
    world, sender, listener = steady()
    world.inject(rtp(sender.seq + 20_000, 5, sender.ssrc), sender.address, lane=1)
    world.run(1)
    assert disturbed_frames(listener) <= 1
    assert world.stats("sender").packets_lost == 0


def test_a_goodbye_for_another_source_is_not_the_legs() -> None:
    world, sender, _ = steady()
    world.inject(bye(4711), sender.address, lane=1)
    world.tick()
    assert not [event for event in world.events if isinstance(event, RtcpBye)]
    world.inject(bye(sender.ssrc), sender.address, lane=1)
    world.tick()
    assert RtcpBye("sender") in world.events


# --- which leg a source belongs to -----------------------------------------------------------------------------------


def test_a_new_call_from_the_same_address_and_port_takes_the_stream_over() -> None:
    """A phone that restarted calls again before its old call is found to be dead."""
    world = World(lanes=1)
    phone = world.call("before", tone=TONE)
    media = world.engine.legs.media[0]
    world.run(1)
    world.engine.apply(AddLeg("after", "room", 0, 6000, media))
    phone.ssrc, phone.seq = 77, 5
    world.call("other", tone=700)
    world.run(1)
    assert world.stats("after").packets_received > 45
    assert level(phone.recording(0.5), 700) > 5000


def test_a_change_of_session_behind_nat_keeps_the_way_to_the_phone() -> None:
    world = World()
    phone = world.call("natted", tone=TONE, media=replace(NATTED, rtcp_mux=True))
    world.call("talker", tone=700)
    world.run(1)
    phone.talks = False
    world.engine.apply(UpdateLeg("natted", replace(NATTED, rtcp_mux=True, receive=False)))
    world.outbox.single.clear()
    world.run(8)
    assert level(phone.recording(1), 700) > 5500
    assert {destination for data, destination in world.outbox.single} >= {phone.address}
    assert ("192.168.1.5", 4000) not in {destination for data, destination in world.outbox.single}


def test_two_phones_behind_one_nat_are_told_apart_by_their_ports_where_it_keeps_them() -> None:
    world = World(lanes=1)
    for port in (4000, 4002):
        world.call(f"p{port}", media=replace(NATTED, remote=("192.168.1.5", port)))
    for port in (4002, 4000):
        world.inject(rtp(1, 0, port), ("192.0.2.1", port))
    world.run(0.1)
    latched = {event.leg: event.remote for event in world.events if isinstance(event, Latched)}
    assert latched == {"p4000": ("192.0.2.1", 4000), "p4002": ("192.0.2.1", 4002)}


# --- floods ----------------------------------------------------------------------------------------------------------


def test_a_flood_of_strangers_does_not_keep_a_phone_behind_nat_from_being_recognised() -> None:
    world = World(lanes=2)
    for lane in (0, 1):
        media = replace(NATTED, latch_hosts=(f"192.0.2.{lane + 1}",))
        world.call(f"natted{lane}", tone=TONE, media=media)
    for _ in range(3):
        for source in range(400):
            for lane in (0, 1):
                world.inject(rtp(source, source, source), ("203.0.113.9", 1000 + source), lane=lane)
        world.tick()
    assert {event.leg for event in world.events if isinstance(event, Latched)} == {"natted0", "natted1"}


@pytest.mark.parametrize("known", [False, True])
def test_a_flood_of_reports_is_looked_at_a_bounded_number_a_tick(known: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    world, sender, _ = steady()
    looked: list[int] = []
    on_rtcp = world.engine.on_rtcp
    monkeypatch.setattr(world.engine, "on_rtcp", lambda *packet: looked.append(1) or on_rtcp(*packet))  # type: ignore[func-returns-value]
    report = struct.pack("!BBHI", 0x80 | 16, 201, 1 + 6 * 16, 9) + bytes(24 * 16)
    for _ in range(3000):
        world.inject(report, sender.address if known else ("203.0.113.9", 99), lane=1)
    world.tick()
    assert len(looked) == (receive.MAX_RARE if known else 0)


def test_a_flood_of_foreign_ssrcs_is_looked_at_a_bounded_number_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    world, sender, _ = steady()
    looked: list[int] = []
    monkeypatch.setattr(world.engine.demux, "new_ssrc", lambda *packet: looked.append(1))
    for seq in range(3000):
        world.inject(rtp(seq, 0, 10_000 + seq), sender.address, lane=1)
    world.tick()
    assert len(looked) <= receive.MAX_RARE
    assert world.stats("sender").packets_rejected == 3000


def test_packets_of_one_leg_beyond_all_measure_are_dropped_and_counted() -> None:
    world, sender, listener = steady()
    for back in range(100):
        world.inject(rtp(sender.seq - back, sender.timestamp - 160 * back, sender.ssrc), sender.address, lane=1)
    world.tick()
    stats = world.stats("sender")
    assert stats.packets_rejected >= 100 - receive.MAX_ROUNDS
    assert stats.packets_rejected + stats.packets_duplicate + stats.packets_late >= 99
    assert disturbed_frames(listener) <= 1
