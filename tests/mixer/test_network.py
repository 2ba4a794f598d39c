"""Bad networks and bad people: loss, jitter, reordering, clock drift, injection. Virtual time, seeded."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mixer.protocol import Inactive, Latched, LegMedia
from mixer.receive import SSRC_QUIET_TICKS
from tests.mixer.world import Network, World, level

TONE = 440.0


def conversation(network: Network, seconds: float = 30, **sender: object) -> World:
    world = World(network)
    world.call("sender", tone=TONE, **sender)  # type: ignore[arg-type]
    world.call("listener", pcm=np.zeros(8000))
    world.run(seconds)
    return world


@pytest.mark.parametrize("codec", ["PCMU", "G722", "OPUS"])
def test_b32_at_5_percent_loss_and_40_ms_jitter_gaps_match_the_loss(codec: str) -> None:
    world = conversation(Network(loss=0.05, jitter_ms=40, seed=3), codec=codec)
    phone, stats = world.phones["sender"], world.stats("sender")
    loss = phone.lost_packets / phone.sent_packets
    assert stats.packets_lost / phone.sent_packets == pytest.approx(loss, abs=0.005)
    assert stats.frames_concealed / (30 * 50) == pytest.approx(loss, abs=0.01)
    assert not [event for event in world.events if isinstance(event, Inactive)]
    assert level(world.phones["listener"].recording(20), TONE) == pytest.approx(6000, rel=0.12)


def test_without_loss_jitter_and_reordering_cost_only_delay() -> None:
    world = conversation(Network(jitter_ms=60, duplicate=0.1, seed=4))
    stats = world.stats("sender")
    assert stats.packets_lost == 0
    assert stats.packets_duplicate == pytest.approx(150, abs=40)
    assert stats.frames_concealed <= 8  # while the delay was found
    assert 8 < stats.jitter_ms < 45


def test_the_delay_shrinks_again_when_the_network_calms_down() -> None:
    world = World(Network(jitter_ms=100, seed=5))
    world.call("sender", tone=TONE)
    world.run(10)
    shaky = world.engine.playout
    row = world.engine.legs.row_of["sender"]
    position = int(shaky.next[row])
    world.network.jitter_ms = 0
    world.run(120)
    calm_advance = int(shaky.next[row]) - position
    assert calm_advance >= 120 * 50 + 2  # frames given back: the time line ran ahead of the clock
    assert world.stats("sender").playout_delay_ms < 35


@pytest.mark.parametrize("ppm", [-200, 200])
def test_clock_drift_is_absorbed_without_loss(ppm: int) -> None:
    world = conversation(Network(seed=6), seconds=10)
    world.phones["sender"].drift_ppm = ppm
    before = world.stats("sender").frames_concealed
    world.run(300)
    stats = world.stats("sender")
    assert stats.packets_lost == stats.packets_late == 0
    assert stats.frames_concealed - before <= 5  # 60 ms of drift are three frames
    assert stats.playout_delay_ms < 60


def test_sequence_numbers_and_timestamps_wrap_without_a_gap() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    phone.seq, phone.timestamp = 65530, 0xFFFF_FF00
    world.run(2)
    assert world.stats("sender").packets_lost == 0
    assert world.stats("sender").frames_concealed <= 1


def test_a_new_ssrc_takes_over_once_the_old_one_is_silent() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(1)
    phone.ssrc, phone.seq, phone.timestamp = 99, 5, 1
    world.run(2)
    assert level(listener.recording(1.5), TONE) > 5500
    assert world.stats("sender").packets_rejected <= SSRC_QUIET_TICKS


def test_a_sender_that_restarts_its_sequence_is_heard_again() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(1)
    phone.seq, phone.timestamp = 40000, 123456
    world.run(1)
    phone.seq, phone.timestamp = 10, 77
    world.run(1)
    assert level(listener.recording(0.8), TONE) > 5500


def test_a_pause_of_the_sender_is_no_loss() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(1)
    stopped = phone.seq
    phone.talks = False
    world.run(2)
    phone.seq, phone.talks = stopped, True  # silence suppression: timestamps go on, sequence numbers do not
    world.run(1)
    assert world.stats("sender").packets_lost == 0
    assert level(listener.recording(0.8), TONE) > 5500


def test_the_other_g711_law_is_understood_too() -> None:
    world = World()
    phone = world.call("sender", codec="PCMA", tone=TONE, media=LegMedia(
        "PCMU", 0, (0,), None, ("192.0.2.1", 10002), None
    ))  # fmt: skip
    listener = world.call("listener")
    world.run(2)
    assert phone.address == ("192.0.2.1", 10002)
    assert level(listener.recording(1), TONE) == pytest.approx(6000, rel=0.06)


# --- who may be heard ------------------------------------------------------------------------------------------------


def natted(world: World, name: str = "natted") -> None:
    """A phone that names a private address but sends from a public one, known from its signalling."""
    media = LegMedia("PCMU", 0, (0,), None, ("192.168.1.5", 4000), None, latch_hosts=("192.0.2.1",))
    world.call(name, tone=TONE, media=media)


def test_a_phone_behind_nat_is_recognised_once_and_answered_where_it_is() -> None:
    world = World()
    natted(world)
    world.call("talker", tone=700)
    world.run(2)
    assert next(e.remote for e in world.events if isinstance(e, Latched)) == world.phones["natted"].address
    assert level(world.phones["natted"].recording(1), 700) > 5500
    assert level(world.phones["talker"].recording(1), TONE) > 5500


@pytest.mark.parametrize("source", [("203.0.113.9", 10002), ("192.0.2.1", 9999), ("192.168.1.5", 4000)])
def test_nobody_takes_over_a_leg_that_has_been_recognised(source: tuple[str, int]) -> None:
    world = World()
    natted(world)
    listener = world.call("listener")
    world.run(1)
    loud = bytes(np.where(np.arange(160) % 2, 0x80, 0x00).astype(np.uint8))
    for seq in range(100):
        for lane in (0, 1):
            world.inject(struct.pack("!BBHII", 0x80, 0, seq, seq * 160, 77) + loud, source, lane=lane)
        world.tick()
    assert level(listener.recording(1.9), TONE) == pytest.approx(6000, rel=0.06)
    assert np.abs(listener.recording(1.9)).max() < 8000


def test_a_foreign_host_is_not_taken_for_a_phone_that_has_not_sent_yet() -> None:
    world = World()
    natted(world)
    world.phones["natted"].talks = False
    for seq in range(50):
        world.inject(struct.pack("!BBHII", 0x80, 0, seq, seq * 160, 77) + bytes(160), ("203.0.113.9", 5000), lane=1)
        world.tick()
    assert not [event for event in world.events if isinstance(event, Latched)]


def test_two_phones_behind_one_nat_are_recognised_one_after_the_other() -> None:
    world = World(lanes=1)
    media = LegMedia("PCMU", 0, (0,), None, ("192.168.1.5", 4000), None, latch_hosts=("192.0.2.1", "192.0.2.2"))
    world.call("first", tone=TONE, media=media)
    world.run(0.2)
    world.call("second", tone=700, media=media)
    world.run(2)
    assert level(world.phones["first"].recording(1), 700) > 5500
    assert level(world.phones["second"].recording(1), TONE) > 5500


def test_a_replayed_stream_changes_nothing() -> None:
    world = World()
    phone = world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(1)
    header = struct.pack("!BBHII", 0x80, 0, phone.seq, phone.timestamp, phone.ssrc)
    for _ in range(50):
        world.inject(header + bytes(160), phone.address, lane=1)
        world.tick()
    assert level(listener.recording(0.9), TONE) == pytest.approx(6000, rel=0.06)
    assert np.abs(listener.recording(0.9)).max() < 8000
    stats = world.stats("sender")
    assert stats.packets_duplicate + stats.packets_late == 50
    assert stats.packets_lost == 0


PACKET = st.binary(max_size=600) | st.builds(
    lambda first, second, seq, timestamp, ssrc, body: struct.pack("!BBHII", first, second, seq, timestamp, ssrc) + body,
    st.integers(128, 191),
    st.sampled_from([0, 8, 9, 13, 101, 111, 128, 200, 201, 202, 203, 229, 255]),
    st.integers(0, 65535),
    st.integers(0, 2**32 - 1),
    st.sampled_from([7, 1001, 1002, 1003]),
    st.binary(max_size=600),
)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(PACKET, st.integers(0, 4), st.integers(0, 1)), max_size=40))
def test_no_packet_whatever_raises_out_of_the_tick(packets: list[tuple[bytes, int, int]]) -> None:
    world = World(capacity=8)
    for codec in ("PCMU", "G722", "OPUS"):
        world.call(codec, codec=codec, tone=TONE)
    natted(world, "natted")
    sources = [*(phone.address for phone in world.phones.values()), ("2001:db8::1", 4000)]
    for data, source, lane in packets:
        world.inject(data, sources[source], lane=lane)
    world.run(0.1)
    assert world.engine.legs.count == 4


def test_ipv6_phones_are_told_apart() -> None:
    world = World(lanes=2)
    for number, tone in ((1, 440), (2, 700)):
        media = LegMedia("PCMU", 0, (0,), None, (f"2001:db8::{number}", 4000), None)
        phone = world.call(f"six{number}", tone=tone, media=media)
        phone.address = (f"2001:db8::{number}", 4000)
    world.run(2)
    assert level(world.phones["six1"].recording(1), 700) > 5500
    assert level(world.phones["six2"].recording(1), 440) > 5500
    assert level(world.phones["six2"].recording(1), 700) < 30


def test_a_flood_from_a_hundred_strangers_is_not_heard() -> None:
    world = World(lanes=2)
    world.call("sender", tone=TONE)
    listener = world.call("listener")
    world.run(1)
    for seq in range(50):
        for source in range(400):
            data = struct.pack("!BBHII", 0x80, 0, seq, seq * 160, source) + bytes(160)
            world.inject(data, ("203.0.113.9", 1000 + source % 100), lane=source % 2)
        world.tick()
    assert level(listener.recording(0.9), TONE) == pytest.approx(6000, rel=0.06)
    assert world.engine.receiver.unmatched == 20_000
