"""Streams that stop, go on, begin anew, or hold more than voice; a machine that was held up. Virtual time."""

from __future__ import annotations

import struct
from dataclasses import replace

import numpy as np
import pytest

from mixer.protocol import RemoveLeg, UpdateLeg
from mixer.rtcp import SenderReport, parse
from mixer.telephone_event import Sender
from tests.mixer.world import Phone, World

TONE = 440.0


def pause(world: World, phone: Phone, seconds: float) -> None:
    """Silence suppression: timestamps go on, sequence numbers do not."""
    seq = phone.seq
    phone.talks = False
    world.run(seconds)
    phone.seq, phone.talks = seq, True


def other_packet(world: World, phone: Phone, payload_type: int, payload: bytes, timestamp: int) -> None:
    """A packet besides the voice, with the next sequence number of the stream."""
    phone.seq = (phone.seq + 1) & 0xFFFF
    world.inject(struct.pack("!BBHII", 0x80, payload_type, phone.seq, timestamp, phone.ssrc) + payload, phone.address,
                 lane=1)  # fmt: skip


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
def test_b33_pauses_of_silence_suppression_are_no_loss(codec: str) -> None:
    world = World()
    phone = world.call("sender", codec=codec, tone=TONE)
    for _ in range(10):
        world.run(0.7)
        pause(world, phone, 0.3)
    stats = world.stats("sender")
    assert stats.packets_lost == 0
    assert stats.loss_fraction < 0.01
    assert stats.frames_concealed < 5


def test_b33_a_gap_in_the_sequence_is_loss() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    for _ in range(10):
        world.run(0.9)
        phone.talks = False
        world.run(0.1)
        phone.talks = True
    world.run(0.2)
    assert world.stats("sender").frames_concealed == pytest.approx(50, abs=3)


def test_b33_keypad_events_and_comfort_noise_packets_are_not_lost_packets() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    world.run(1)
    for payload, timestamp, marker in Sender("5", 200, timestamp=phone.timestamp):
        other_packet(world, phone, 101 | (0x80 if marker else 0), payload, timestamp)
        pause(world, phone, 0.02)
    for _ in range(10):
        other_packet(world, phone, 13, b"\x40", phone.timestamp)
        pause(world, phone, 0.2)
    world.run(1)
    stats = world.stats("sender")
    assert stats.packets_lost == 0
    assert stats.loss_fraction < 0.02
    assert stats.packets_received == pytest.approx(phone.seq - 65500 & 0xFFFF, abs=1)


@pytest.mark.parametrize("seconds", [0.2, 0.3, 0.5, 1.5])
def test_a_machine_that_was_held_up_leaves_no_delay_behind(seconds: float) -> None:
    world = World()
    world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(6)
    before = world.stats("sender").playout_delay_ms
    stamps = len(listener.headers)
    ticks = round(seconds * 50)
    world.now += ticks * 20_000_000
    world.engine.skip(ticks - 3)
    world.run(6)
    assert world.stats("sender").playout_delay_ms <= before + 60 + 5  # the three ticks made up for come after
    heard = np.abs(listener.recording(5.5).reshape(-1, 160)).max(axis=1)
    assert heard.min() > 5000
    step = (listener.headers[stamps][3] - listener.headers[stamps - 1][3]) & 0xFFFF_FFFF
    assert step == 160 * (ticks - 2)


@pytest.mark.parametrize("waiting", [15, 40])
def test_a_mixer_that_takes_over_does_not_play_what_waited_for_it(waiting: int) -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    for late in range(waiting, 0, -1):
        world.inbox.waiting.append((1, phone.packet(), phone.address, world.now - late * 20_000_000))
    world._next_send["sender"] = world.now
    world.run(8)
    assert world.stats("sender").playout_delay_ms <= 45


def test_a_frame_left_out_leaves_nothing_old_to_be_played_later() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(2)
    phone.pcm = np.zeros(8000)
    playout = world.engine.playout
    playout.skip(np.array([world.engine.legs.row_of["sender"]]))
    world.run(0.3)
    phone.talks = False
    listener.heard.clear()
    world.run(1)
    assert np.abs(listener.recording()).max() < 200


def test_the_report_block_follows_a_sender_that_begins_anew() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    phone.seq = 65530
    world.run(1)
    assert _block(world).highest_sequence == 0x10000 + phone.seq
    phone.seq, phone.timestamp, phone.ssrc = 5, 1, 99
    world.run(1)
    block = _block(world)
    assert (block.ssrc, block.highest_sequence) == (99, phone.seq)
    assert 0 <= block.cumulative_lost <= 6


def _block(world: World):  # type: ignore[no-untyped-def]
    world.outbox.single.clear()
    world.engine.reports.due[:] = 0
    world.run(0.2)
    packets = parse(world.outbox.single[0][0])
    assert packets is not None
    assert isinstance(packets[0], SenderReport)
    return packets[0].reports[0]


def test_nothing_is_counted_as_sent_while_a_leg_is_on_hold() -> None:
    world = World()
    world.call("held", tone=TONE)
    world.run(1)
    world.engine.apply(UpdateLeg("held", replace(world.engine.legs.media[0], send=False)))
    world.run(2)
    assert world.engine.reports.octets[0] == 160 * world.engine.legs.sent[0]


def test_packets_that_come_while_nobody_is_there_are_not_kept_for_the_next_leg() -> None:
    world = World()
    world.call("first", tone=TONE)
    world.run(0.1)
    world.engine.apply(RemoveLeg("first"))
    for _ in range(20):
        world.tick()
        assert not world.inbox.waiting
