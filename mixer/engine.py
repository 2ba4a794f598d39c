"""The tick: one batch for all legs of a mixer process every 20 ms. Owns no socket and no clock, does not wait.

``Engine.apply`` takes commands, ``Engine.tick`` does one tick with the time it is told, ``Engine.events`` is what there
is to report. Order of a tick: receive, play out, decode, find who talks, sum, encode, send, report.
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from . import address, quality, rtcp
from .comfort import shared_noise
from .datagrams import ADDRESS, FRAME_BYTES, RTP_HEADER, Inbox, Outbox
from .demux import Demux
from .keypad import Keypad
from .legs import CLOCK_STEP, G722, OPUS, RATES, SAMPLES_8K, Legs, check_media
from .mix import G711Output, MixPlan, Sums, plan_mix, sum_rooms
from .player import Batch, Player, PlayError, Playlist
from .playout import WINDOW_TICKS, Playout
from .protocol import (
    AddLeg,
    Digit,
    Inactive,
    Latched,
    LegMedia,
    LegStats,
    Load,
    LoadClip,
    Message,
    MoveLeg,
    Music,
    Ping,
    Play,
    Played,
    Pong,
    Profile,
    QueryDone,
    QueryLegs,
    RemoveLeg,
    RtcpBye,
    SetLeg,
    SetRoom,
    StopPlaying,
    Talking,
    UnloadClip,
    UpdateLeg,
)  # fmt: skip
from .quality import LossBurst
from .receive import Receiver
from .reports import Reports
from .rooms import Rooms
from .sound import Changes, Sound
from .stages import Stages
from .table import RowPart
from .voice import Voices, plan_voice
from .wide import WideMix

MAX_EVENTS = 20_000
TICKS_PER_SECOND = 50
NARROW = 8000
ANSWERS_A_TICK = 40
"""Legs whose figures are given in one tick: some 2 ms with their way over the socket."""
REPORT_TICKS = 10
"""RTCP reports that fall due within these are made together."""


class Engine:
    """All legs of one mixer process.

    ``fds``: file descriptors of the lanes, a lane's number is its place; ``capacity``: most legs; ``cname``: RTCP name;
    ``link_lane``: the lane that only other mixers send to; ``inbox`` and ``outbox``: where packets come from and go to,
    by default the lanes.
    """

    def __init__(
        self,
        fds: list[int],
        capacity: int = 4096,
        *,
        min_delay_ms: int = 0,
        max_delay_ms: int = 400,
        cname: bytes = b"veche",
        comfort_noise: bool = True,
        link_lane: int | None = None,
        inbox: Inbox | None = None,
        outbox: Outbox | None = None,
    ) -> None:
        self.fds = fds
        self.capacity = capacity
        self.events: deque[Message] = deque()
        self.events_dropped = 0
        self.ticks = 0
        self.stages = Stages()
        self.legs = Legs(capacity)
        self.rooms = Rooms(capacity)
        self.demux = Demux(capacity, link_lane)
        self.playout = Playout(capacity, min_delay_ms, max_delay_ms)
        self.voices = Voices(capacity)
        self.sound = Sound(capacity)
        self.bursts = LossBurst(capacity)
        self._comfort = shared_noise() if comfort_noise else None
        self.player = Player(capacity)
        self.reports = Reports(capacity, fds, cname)
        self.keypad = Keypad()
        self.wide = WideMix(capacity, self._comfort)
        self.receiver = Receiver(self.legs, self.demux, self.playout, self, inbox or Inbox(), self.stages)
        self.outbox = outbox or Outbox(capacity)
        self._output = G711Output(capacity)
        self._parts: list[RowPart] = [
            self.demux, self.playout, self.voices, self.sound, self.bursts, self.reports, self.keypad, self.wide,
            self.player,
        ]  # fmt: skip
        self._dirty = True
        self._plan = MixPlan()
        self._voice_plan = plan_voice(self.legs)
        self._send_rows: NDArray[np.int64] = np.zeros(0, np.int64)
        self._all_send = False
        self._steps: NDArray[np.uint32] = np.zeros(0, np.uint32)
        self.packets_sent = 0
        self.send_errors = 0
        self._queries: deque[tuple[int, deque[str]]] = deque()
        """Tokens, and the legs still to be answered about."""
        self._answers = ANSWERS_A_TICK
        """How many may still be given in this tick."""

    # --- commands ----------------------------------------------------------------------------------------------------

    def apply(self, command: Message) -> None:
        """Carry out a command. One that names an unknown leg, or cannot be carried out, changes nothing."""
        match command:
            case AddLeg():
                with suppress(ValueError):
                    self._add(command)
            case UpdateLeg(leg, media) if leg in self.legs.row_of:
                with suppress(ValueError):
                    self._update(self.legs.row_of[leg], media)
            case SetLeg(leg) if leg in self.legs.row_of:
                self.legs.adjust(self.legs.row_of[leg], command)
                self._dirty = True
            case SetRoom(conference, settings) if conference in self.rooms.index_of:
                self.rooms.set(self.rooms.index_of[conference], settings)
                self._dirty = True
            case MoveLeg(leg) if leg in self.legs.row_of:
                self._move_leg(self.legs.row_of[leg], command)
            case LoadClip() | UnloadClip() | Play() | StopPlaying():
                self._play(command)
            case RemoveLeg(leg):
                self._remove(leg)
            case Ping(token):
                self._emit(Pong(token))
            case QueryLegs(token, names):
                self._queries.append((token, deque(names or self.legs)))
                self._answer()
            case Profile(on):
                self.stages.on = on

    def _add(self, command: AddLeg) -> None:
        """Raises ValueError."""
        check_media(command.media)
        if not 0 <= command.lane < len(self.fds):
            raise ValueError(f"lane: there is no {command.lane}")
        self._remove(command.leg)
        if self.legs.count == self.capacity:
            return
        row = self.legs.add(command, self.rooms.enter(command.conference, command.room), self.ticks)
        self._set_media(row, command.media)

    def _update(self, row: int, media: LegMedia) -> None:
        """Raises ValueError."""
        check_media(media)
        self._set_media(row, media)

    def _set_media(self, row: int, media: LegMedia) -> None:
        legs = self.legs
        before, held = legs.media[row], not legs.sends[row]
        legs.set_media(row, media)
        if held and media.send and self.sound.music.forget(row):
            self._emit(Music(legs.names[row], False, False))
        codec = int(legs.codec[row])
        lane = int(legs.lane[row])
        moved = media.remote != before.remote or not self.demux.key[row]
        if moved:
            self.demux.expect(row, lane, media.remote, media.latch_hosts, media.remote_ssrc)
            self._send_to(row, media.remote)
        if moved or media.codec != before.codec:
            self.playout.restart(row)
        self.playout.step[row] = CLOCK_STEP[codec]
        self.outbox.rtp["first"][row] = 0x80
        self.outbox.rtp["second"][row] = media.send_pt
        self.outbox.rtp["ssrc"][row] = legs.ssrc[row]
        self.outbox.size[row] = RTP_HEADER + FRAME_BYTES
        remote = address.from_sockaddr(self.demux.source[row])
        self.reports.expect(row, self.ticks, remote if media.rtcp_mux else media.remote_rtcp)
        self.keypad.expect(row, RATES[OPUS] if codec == OPUS else RATES[0])
        legs.key_held[row] = self.keypad.held(row)
        self.wide.set_codec(row, codec)
        legs.last_seen[row] = self.ticks
        self._dirty = True

    def _send_to(self, row: int, remote: tuple[str, int] | None) -> None:
        raw = address.to_sockaddr(remote) if remote else b""
        self.outbox.address[row] = np.frombuffer(raw.ljust(ADDRESS, b"\0"), np.uint8)
        self.outbox.address_size[row] = len(raw)

    def _move_leg(self, row: int, command: MoveLeg) -> None:
        before = int(self.legs.room[row])
        if self.rooms.index_of.get(command.conference) == before:
            self.rooms.set(before, command.room)
        else:
            self._leave(before)
            self.legs.room[row] = self.rooms.enter(command.conference, command.room)
        self._dirty = True

    def _leave(self, room: int) -> None:
        """A leg less in a conference; with the last one all that is known of it goes."""
        if self.rooms.leave(room):
            for part in (self.wide, self.sound, self.player):
                part.forget_room(room)

    def _play(self, command: LoadClip | UnloadClip | Play | StopPlaying) -> None:
        """What cannot be played is over at once."""
        player, rows, rooms = self.player, self.legs.row_of, self.rooms.index_of
        match command:
            case LoadClip(clip, rate, pcm, offset, total):
                with suppress(PlayError):
                    player.load(clip, rate, np.frombuffer(pcm, "<i2"), offset=offset, total=total)
            case UnloadClip(clip):
                player.unload(clip)
            case StopPlaying(leg, conference):
                if leg in rows:
                    player.stop_leg(rows[leg])
                elif conference in rooms:
                    player.stop_room(rooms[conference])
            case Play(token, clips, leg, conference, loop, gain_db, duck_db, queued):
                playlist = Playlist(token, clips, loop, gain_db, duck_db, queued)
                try:
                    if leg in rows:
                        player.play_leg(rows[leg], playlist)
                    elif conference in rooms:
                        player.play_room(rooms[conference], playlist)
                    else:
                        raise PlayError("leg", "is not here")
                except PlayError:
                    self._emit(Played(token, False))

    def _remove(self, leg: str) -> None:
        row = self.legs.row_of.get(leg)
        if row is None:
            return
        self._leave(int(self.legs.room[row]))
        last = self.legs.count - 1
        for column in (self.outbox.buffer, self.outbox.size, self.outbox.address, self.outbox.address_size):
            column[row] = column[last]
        self.legs.remove(leg, self._parts)
        self._dirty = True

    def _replan(self) -> None:
        legs, count = self.legs, self.legs.count
        self._dirty = False
        self.demux.plan(count)
        self.rooms.plan_rates(legs.room[:count], RATES[legs.codec[:count]])
        self._plan = plan_mix(legs)
        self._voice_plan = plan_voice(legs)
        self.wide.plan(legs, self.rooms)
        self.sound.plan(legs, self.rooms)
        rows = np.flatnonzero(legs.sends[:count] & (self.outbox.address_size[:count] > 0))
        self.outbox.plan(rows, legs.lane[rows], self.fds)
        self._send_rows = rows
        self._all_send = len(rows) == count
        self._steps = (SAMPLES_8K * CLOCK_STEP[legs.codec[:count]]).astype(np.uint32)

    # --- the tick ----------------------------------------------------------------------------------------------------

    def tick(self, now: int) -> None:
        """One tick. ``now``: ns of CLOCK_REALTIME, as the kernel stamps packets."""
        self.ticks += 1
        stages = self.stages
        stages.start()
        self._answers = ANSWERS_A_TICK
        self._answer()
        if self._dirty:
            self._replan()
            stages.lap("plan")
        if not self.legs.count:
            self._idle(now)
            return
        self.receiver.receive(self.fds, self.ticks, now)
        stages.lap("demux")
        if self._dirty:  # a source was recognised
            self._replan()
        self._mix()
        self._send()
        self._second(now)
        stages.lap("report")

    def skip(self, ticks: int) -> None:
        """So many ticks were left out because the machine was held up: time went on without them."""
        count = self.legs.count
        if ticks > 0:
            self.playout.catch_up(count, ticks)
            self.legs.timestamp[:count] += (SAMPLES_8K * CLOCK_STEP[self.legs.codec[:count]] * ticks).astype(np.uint32)

    def _idle(self, now: int) -> None:
        """Nobody is here: what comes in is thrown away, lest the next leg begin with what is old."""
        self.receiver.receive(self.fds, self.ticks, now)
        self._tell_played()

    def _mix(self) -> None:
        legs, stages, sound = self.legs, self.stages, self.sound
        count = legs.count
        audible = sound.hold[:count] > 0
        payload, there = self.voices.decode(self._voice_plan, legs, self.playout, audible)
        playing = self.playout.next[:count] - 1 - self.playout.resumed[:count]
        self.bursts.update(count, there, (playing == 0) | (playing == 1))
        wide = self.wide.active
        if wide:
            self.wide.decode(self.playout, payload, there, audible, self.voices.energy)
        stages.lap("decode")
        energy = self.voices.energy[:count]
        self._tell(sound.listen(count, energy, there))
        self._give_back(sound.hold[:count])
        heard = sound.pick(legs, self.rooms, energy)
        stages.lap("levels")
        legs_hear, rooms_hear = self._played(count)
        sums = self._sum(heard, wide, rooms_hear)
        stages.lap("mix")
        g711, comfort = self._plan.g711, self._comfort
        noise = comfort.g711(self.ticks) if comfort else None
        frames = self._output.frames(self._plan, legs, sums, noise, legs_hear.get(NARROW))
        if len(g711) == count:
            self.outbox.rtp["payload"][:count] = frames
        else:
            self.outbox.rtp["payload"][g711] = frames
        if wide:
            self.wide.encode(legs, self.outbox, legs_hear, self.ticks)
        stages.lap("encode")

    def _played(self, count: int) -> tuple[dict[int, Batch], dict[int, Batch]]:
        """What single legs and whole conferences are played in this tick, by rate."""
        legs: dict[int, Batch] = {}
        rooms: dict[int, Batch] = {}
        if len(self.player):
            legs = self.player.leg_frames(RATES[self.legs.codec[:count]])
            rooms = self.player.room_frames(self.rooms.rate)
        self._tell_played()
        return legs, rooms

    def _tell_played(self) -> None:
        for token, complete in self.player.finished():
            self._emit(Played(token, complete))

    def _tell(self, changes: Changes) -> None:
        legs, levels = self.legs, self.sound.talk.level_dbov
        for rows, talking in ((changes.talk, True), (changes.silence, False)):
            for row in rows.tolist():
                self._emit(Talking(legs.names[row], talking, round(float(levels[row]), 1)))
        for rows, playing in ((changes.music, True), (changes.music_over, False)):
            for row in rows.tolist():
                silenced = playing and bool(self.rooms.silences_music[legs.room[row]] or self.sound.music.expected[row])
                self._emit(Music(legs.names[row], playing, silenced))

    def _sum(self, heard: NDArray[np.int64], wide: bool, played: dict[int, Batch]) -> Sums:
        legs, limiter = self.legs, self.sound.limiter
        voice = self.voices.pcm[heard]
        if wide:
            narrow = legs.codec[heard] < G722
            own = voice[narrow]
            self.sound.treat(legs, heard[narrow], own)
            voice[narrow] = own
            return self.wide.sum(legs, self.rooms, self.sound, heard, voice, played, self.ticks)
        self.sound.treat(legs, heard, voice)
        sums = sum_rooms(self.capacity, heard, legs.room[heard], voice, played.get(NARROW))
        limiter.apply(sums.rooms, sums.total, self.ticks)
        limiter.follow(legs.room[heard], sums.voice)
        return sums

    def _give_back(self, hold: NDArray[np.int64]) -> None:
        """Rows with delay to spare leave a frame out in a pause, or, when they never pause, by a cross-fade."""
        playout, count = self.playout, self.legs.count
        spare = playout.spare[:count]
        if not spare.any():
            return
        rows = np.flatnonzero(spare & (hold <= 0))
        if len(rows):
            playout.skip(rows)
        rows = np.flatnonzero(playout.pressing[:count] & spare)
        if len(rows):
            self.voices.shorten(rows, self.legs, playout)

    def _send(self) -> None:
        legs, count, rtp = self.legs, self.legs.count, self.outbox.rtp
        rows = slice(0, count) if self._all_send else self._send_rows
        legs.seq[rows] += np.uint16(1)
        legs.timestamp[:count] += self._steps
        rtp["seq"][:count] = legs.seq[:count]
        rtp["timestamp"][:count] = legs.timestamp[:count]
        legs.sent[rows] += 1
        self.reports.octets[rows] += self.outbox.size[rows].astype(np.int64) - RTP_HEADER
        self.stages.lap("build")
        sent, failed = self.outbox.send()
        self.packets_sent += sent
        self.send_errors += failed
        self.stages.lap("send")

    def _second(self, now: int) -> None:
        """What need not be done every tick."""
        if self.ticks % REPORT_TICKS == 0:
            self.reports.send_due(self.legs, self.playout, self.demux, self.outbox, self.ticks, now)
        if self.ticks % WINDOW_TICKS == 0:
            self.playout.close_window(self.legs.count)
        for row, press in self.keypad.expire(self.ticks):
            self.legs.key_held[row] = False
            if press is not None:
                self._emit(Digit(self.legs.names[row], press.digit, press.duration_ms))
        if self.ticks % TICKS_PER_SECOND == 0:
            silent = self.ticks - self.legs.last_seen[: self.legs.count]
            for row in np.flatnonzero(silent >= TICKS_PER_SECOND).tolist():
                self._emit(Inactive(self.legs.names[row], round(float(silent[row]) / TICKS_PER_SECOND, 1)))

    # --- packets looked at one by one (receive.RareHandler) ----------------------------------------------------------

    def on_rtcp(self, row: int | None, lane: int, data: bytes, source: NDArray[np.uint8], stamp: int) -> None:
        """RTCP; from a port of its own it is recognised by our SSRC in its report and by its host."""
        packets = rtcp.parse(data)
        if not packets:
            return
        if row is None:
            row = self._row_reporting(packets)
            sender = address.from_sockaddr(source)
            if row is None or sender is None or sender[0] != self.demux.host(row):
                return
        self.legs.last_seen[row] = self.ticks
        heard = int(self.demux.ssrc[row])
        if self.reports.on_report(row, packets, int(self.legs.ssrc[row]), heard, stamp):
            self._emit(RtcpBye(self.legs.names[row]))

    def _row_reporting(self, packets: list[rtcp.Packet]) -> int | None:
        reports = [p.reports for p in packets if isinstance(p, rtcp.SenderReport | rtcp.ReceiverReport)]
        sources = [block.ssrc for blocks in reports for block in blocks]
        rows = np.flatnonzero(np.isin(self.legs.ssrc[: self.legs.count], sources))
        return int(rows[0]) if len(rows) else None

    def on_key(self, row: int, payload: bytes, timestamp: int, marker: bool) -> None:
        press = self.keypad.feed(row, payload, timestamp, marker, self.ticks)
        self.legs.key_held[row] = self.keypad.held(row)
        if press is not None:
            self._emit(Digit(self.legs.names[row], press.digit, press.duration_ms))

    def on_packet(self, row: int, unit: int, payload: bytes) -> None:
        self.wide.keep(row, unit, payload)

    def on_latched(self, row: int) -> None:
        source = address.from_sockaddr(self.demux.source[row])
        if source is None:
            return
        media = self.legs.media[row]
        if source != media.remote:
            self._send_to(row, source)
            if media.rtcp_mux:
                self.reports.expect(row, self.ticks, source)
            self._dirty = True
        self._emit(Latched(self.legs.names[row], source))

    # --- reports -----------------------------------------------------------------------------------------------------

    def _emit(self, event: Message) -> None:
        if len(self.events) >= MAX_EVENTS:
            self.events_dropped += 1
            return
        self.events.append(event)

    def take_events(self, most: int = 2000) -> list[Message]:
        """Up to ``most`` events in order; they are then no longer here."""
        taken = list(islice(self.events, most))
        for _ in taken:
            self.events.popleft()
        return taken

    def load(self, ticks: int, late: int, skipped: int, mean_us: float, worst_us: float) -> Load:
        """The report of the last ``ticks`` ticks, timed by the caller."""
        return Load(
            legs=self.legs.count,
            conferences=len(self.rooms),
            ticks=ticks,
            late_ticks=late,
            skipped_ticks=skipped,
            tick_us=round(mean_us, 1),
            tick_max_us=round(worst_us, 1),
            packets_received=self.receiver.received,
            packets_sent=self.packets_sent,
            packets_unmatched=self.receiver.unmatched,
            send_errors=self.send_errors,
            events_dropped=self.events_dropped,
            stages_us=self.stages.collect(ticks),
        )

    def _answer(self) -> None:
        """Give the figures asked for, as many as one tick bears; the rest in the next."""
        while self._queries and self._answers > 0:
            token, names = self._queries[0]
            while names and self._answers > 0:
                row = self.legs.row_of.get(names.popleft())
                if row is not None:
                    self._answers -= 1
                    self._emit(self._stats(row))
            if not names:
                self._queries.popleft()
                self._emit(QueryDone(token))

    def _stats(self, row: int) -> LegStats:
        legs, playout = self.legs, self.playout
        received = int(playout.received[row])
        expected = int(playout.seq[row] - playout.first_seq[row] + 1) if received else 0
        trip, lost = float(self.reports.round_trip_ms[row]), float(self.reports.remote_lost[row])
        loss, burst = float(self.bursts.loss_fraction(row)), float(self.bursts.burst_ratio(row))
        # a packet's own 20 ms, its wait here and half the way there and back
        one_way = 20 + max(playout.delay_ms(row), 0) + max(trip, 0) / 2
        rating, opinion = quality.mos(legs.media[row].codec, loss, burst, one_way)
        return LegStats(
            leg=legs.names[row],
            packets_received=received,
            packets_sent=int(legs.sent[row]),
            packets_lost=max(expected - received + int(playout.duplicate[row]), 0),
            packets_late=int(playout.late[row]),
            packets_duplicate=int(playout.duplicate[row]),
            packets_rejected=int(legs.rejected[row]),
            frames_concealed=int(self.bursts.lost[row]),
            frames_played=int(self.bursts.heard[row]),
            jitter_ms=round(float(playout.jitter_ns[row]) / 1e6, 2),
            playout_delay_ms=round(playout.delay_ms(row), 1),
            round_trip_ms=round(trip, 1) if trip >= 0 else None,
            remote_lost_fraction=round(lost, 4) if lost >= 0 else None,
            level_dbov=round(float(self.sound.talk.level_dbov[row]), 1),
            talking=bool(self.sound.talk.talking[row]),
            talk_seconds=round(int(self.sound.talk.talk_ticks[row]) / TICKS_PER_SECOND, 2),
            loss_fraction=round(loss, 4),
            burst_ratio=round(burst, 2),
            rating=round(rating, 1),
            mos=round(opinion, 2),
            gain_db=round(self.sound.levels.gain_db(row), 1),
        )
