"""One conference as a state machine: planned, waiting, running, ending, ended.

Sans-IO with a single writer. Commands are methods that take ``now`` (Unix seconds); they change the state at once or
raise ``control.errors.CommandError`` with nothing changed. The caller's duty after every call:

1. take ``events`` and ``effects`` (``take_events()``, ``take_effects()``), publish the former, carry out the latter;
2. call ``handle_timer(now)`` when the time ``timer()`` tells has come.

What becomes of a leg is reported under its name: ``ringing``, ``joined``, ``failed``, ``left``. Legs the conference has
given up are reported too, and only make it forget them.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

from control import events as ev
from control.admission import Caller, RefusedError, role_of
from control.effects import Effect, HangUp, RingParticipant, SetMedia, SetSound
from control.errors import ConflictError, GoneError, InvalidInputError, NotFoundError
from control.participant import Participant, ParticipantState, Role
from control.plan import ConferenceState, Plan
from control.roster import Roster
from mixer.protocol import RoomSettings

WARNINGS = (5, 1)
"""Minutes before the end at which everybody is told that it comes."""
MAX_PARTICIPANTS = 10_000
"""Most rows that commands may add."""


class Conference:
    """See the module's description.

    ``new_id`` makes up participant and leg ids. ``ring_seconds``: how long an invited phone may ring.
    """

    def __init__(self, plan: Plan, *, new_id: Callable[[], str], ring_seconds: float = 45.0) -> None:
        self.plan = plan
        self.state = ConferenceState.PLANNED
        self.locked = False
        self.started: float | None = None
        self.ended: float | None = None
        self.end_reason = ""
        self.roster = Roster()
        self._new_id = new_id
        self._ring_seconds = ring_seconds
        self._legs: dict[str, Participant] = {}
        self._ring_ends: deque[tuple[float, str]] = deque()
        self._warnings: list[int] = []
        self._events: list[ev.ConferenceEvent] = []
        self._effects: list[Effect] = []
        self._arm_warnings(plan.created)

    @classmethod
    def create(cls, plan: Plan, *, by: str | None, new_id: Callable[[], str], ring_seconds: float = 45.0) -> Conference:
        """A new conference; one whose start is not in the future starts at once."""
        conference = cls(plan, new_id=new_id, ring_seconds=ring_seconds)
        conference._emit(
            ev.Created(
                plan.id,
                plan.created,
                number=plan.number,
                topic=plan.topic,
                starts=plan.starts,
                ends=plan.ends,
                seats=plan.seats,
                by=by,
            )
        )
        conference.handle_timer(plan.created)
        return conference

    def restore(
        self,
        *,
        state: ConferenceState,
        locked: bool,
        started: float | None,
        end_reason: str,
        participants: list[Participant],
        now: float,
    ) -> None:
        """Take up what a server before this one has left: nobody is in any more, missed deadlines are due."""
        self.end_reason = end_reason
        self.locked = locked
        self.started = started
        self.state = state
        for participant in participants:
            if participant.state in {ParticipantState.JOINED, ParticipantState.INVITED, ParticipantState.RINGING}:
                was_in = participant.in_call
                participant.state = ParticipantState.LEFT if was_in else ParticipantState.FAILED
                participant.reason = "The server was restarted"
            self.roster.add(participant)
        self._arm_warnings(now)
        if state is ConferenceState.ENDING:
            self._finish(self.end_reason or "The server was restarted", now)
        else:
            self.handle_timer(now)

    # --- what comes out ----------------------------------------------------------------------------------------------

    def take_events(self) -> list[ev.ConferenceEvent]:
        taken, self._events = self._events, []
        return taken

    def take_effects(self) -> list[Effect]:
        taken, self._effects = self._effects, []
        return taken

    @property
    def id(self) -> str:
        return self.plan.id

    @property
    def seats_taken(self) -> int:
        """Legs that are in, coming in, or being called."""
        return len(self._legs)

    @property
    def is_over(self) -> bool:
        return self.state.is_over

    def participant_of(self, leg: str) -> Participant | None:
        return self._legs.get(leg)

    def talking(self) -> list[Participant]:
        """Who talks now."""
        return [p for p in self._legs.values() if p.talking]

    # --- time --------------------------------------------------------------------------------------------------------

    def timer(self) -> float | None:
        """When handle_timer() is to be called next, or None when nothing is due ever."""
        if self.is_over:
            return None
        due = self.plan.starts if self.state is ConferenceState.PLANNED else self.plan.ends
        if self._warnings and self.state is not ConferenceState.PLANNED:
            due = min(due, self.plan.ends - 60 * self._warnings[0])
        while self._ring_ends and not self._rings(self._ring_ends[0][1]):
            self._ring_ends.popleft()
        return min(due, self._ring_ends[0][0]) if self._ring_ends else due

    def handle_timer(self, now: float) -> None:
        """Do what is due: start, give up ringing, warn, end."""
        if self.is_over:
            return
        if now >= self.plan.ends:
            self._end("The planned time is over", None, now)
            return
        if self.state is ConferenceState.PLANNED and now >= self.plan.starts:
            self.state = ConferenceState.WAITING
            self.started = now
            self._emit(ev.Started(self.id, now))
        while self._ring_ends and self._ring_ends[0][0] <= now:
            _, leg = self._ring_ends.popleft()
            if self._rings(leg):
                self._effects.append(HangUp(leg, "no_answer", "No answer"))
                self._fail(leg, "no_answer", 487, "No answer", now)
        if self.state is ConferenceState.PLANNED:
            return
        minutes = 0
        while self._warnings and now >= self.plan.ends - 60 * self._warnings[0]:
            minutes = self._warnings.pop(0)
        if minutes:
            self._emit(ev.EndingSoon(self.id, now, minutes=minutes, ends=self.plan.ends))

    def _arm_warnings(self, now: float) -> None:
        begin = max(now, self.plan.starts)
        self._warnings = [m for m in WARNINGS if self.plan.ends - 60 * m > begin]

    # --- commands to the conference ----------------------------------------------------------------------------------

    def lock(self, on: bool, *, by: str | None, now: float) -> None:
        """Refuse guests from now on, or let them in again. The chair's PIN and invitations always work (B21)."""
        self._must_go_on()
        if self.locked != on:
            self.locked = on
            self._emit((ev.Locked if on else ev.Unlocked)(self.id, now, by=by))

    def extend(self, minutes: int, *, longest: int, by: str | None, now: float) -> None:
        """Move the planned end by ``minutes``; no conference lasts more than ``longest`` minutes."""
        self._must_go_on()
        ends = self.plan.ends + 60 * minutes
        if ends - self.plan.starts > 60 * longest:
            left = max(0, int(longest - (self.plan.ends - self.plan.starts) / 60))
            raise InvalidInputError(
                f"a conference lasts {longest} minutes at most; {left} more are possible", field="/minutes"
            )
        self.plan.ends = ends
        self._arm_warnings(now)
        self._emit(ev.Extended(self.id, now, minutes=minutes, ends=ends, by=by))

    def set_sound(self, room: RoomSettings, *, by: str | None, now: float) -> None:
        """Levelling, most talkers at once, music kept out: from now on, for those who are in and all who come."""
        self._must_go_on()
        if self.plan.sound != room:
            self.plan.sound = room
            self._emit(
                ev.SoundChanged(
                    self.id,
                    now,
                    levelling=room.levelling,
                    talkers=room.talkers,
                    silence_music=room.silence_music,
                    by=by,
                )
            )
            self._effects.append(SetSound(room))

    def end(self, *, by: str | None, now: float, reason: str = "The conference was ended") -> None:
        """Hang everybody up. It has ended when the last leg is gone."""
        self._must_go_on()
        self._end(reason, by, now)

    def _end(self, reason: str, by: str | None, now: float) -> None:
        self.state = ConferenceState.ENDING
        self.end_reason = reason
        self._emit(ev.Ending(self.id, now, reason=reason, by=by))
        for leg, participant in list(self._legs.items()):
            if participant.leg == leg:
                self._give_up(participant, "conference_ended", reason, now)
        if not self._legs:
            self._finish(reason, now)

    def _finish(self, reason: str, now: float) -> None:
        self.state = ConferenceState.ENDED
        self.ended = now
        self.end_reason = reason
        self._emit(ev.Ended(self.id, now, reason=reason))

    # --- callers -----------------------------------------------------------------------------------------------------

    def admit(self, caller: Caller, pin: str | None, leg: str, now: float) -> Participant:
        """Let a caller in under the leg's name, a seat is then his. Raises RefusedError.

        He is in once ``joined`` is reported; ``left`` or ``failed`` before that gives the seat back.
        """
        try:
            role = role_of(self.plan, self.state, pin, locked=self.locked, taken=len(self._legs), now=now)
        except RefusedError as refusal:
            self._emit(ev.CallRefused(self.id, now, number=caller.number, status=refusal.status, reason=refusal.reason))
            raise
        participant = self._recognise(caller, now)
        planned_chair = participant.planned_role is Role.CHAIR and caller.authenticated
        participant.role = Role.CHAIR if role is Role.CHAIR or planned_chair else Role.GUEST
        if not participant.name:
            participant.name = caller.name
        self._take_seat(participant, leg)
        self.roster.here(participant)
        return participant

    def _recognise(self, caller: Caller, now: float) -> Participant:
        """The row of the person with this number who is not in; else a new one.

        Whose phone we are ringing while he calls by himself is let in, and the ringing stops.
        """
        participant = self.roster.recognise(caller.number)
        if participant is not None:
            if participant.leg is not None:
                self._effects.append(HangUp(participant.leg, "cancelled", "Called in by himself"))
            return participant
        participant = Participant(
            id=self._new_id(),
            number=caller.number,
            name=caller.name,
            email="",
            planned_role=Role.GUEST,
            role=Role.GUEST,
            planned=False,
            created=now,
            seen=False,
        )
        self.roster.add(participant)
        return participant

    # --- commands to participants ------------------------------------------------------------------------------------

    def participant(self, participant_id: str) -> Participant:
        """Raises NotFoundError."""
        found = self.roster.get(participant_id)
        if found is None or not found.seen:
            raise NotFoundError(f"there is no participant {participant_id} in this conference")
        return found

    def add(
        self,
        number: str,
        *,
        name: str,
        email: str,
        role: Role,
        by: str | None,
        now: float,
        request_key: str | None = None,
    ) -> Participant:
        """Put a person on the list. Raises ConflictError when he is there already or the list is full."""
        self._must_go_on()
        if self.roster.awaits(number):
            raise ConflictError(f"{number} is in the list already", field="/number")
        if len(self.roster) >= MAX_PARTICIPANTS:
            raise ConflictError(f"the list is full: {MAX_PARTICIPANTS} participants")
        participant = Participant(
            id=self._new_id(),
            number=number,
            name=name,
            email=email,
            planned_role=role,
            role=role,
            planned=True,
            created=now,
            request_key=request_key,
        )
        self.roster.add(participant)
        self._emit(ev.Added(self.id, now, participant.id, number=number, name=name, role=role, by=by))
        return participant

    def invite(self, participant: Participant, *, by: str | None, now: float) -> None:
        """Ring his phone, for the first time or again. Works in a locked conference too (B21)."""
        self.must_take_invitations(1)
        if participant.leg is not None:
            word = "is in already" if participant.in_call else "is being called already"
            raise ConflictError(f"{participant.name or participant.number} {word}")
        if not participant.number:
            raise ConflictError("his number is not known, he called anonymously")
        leg = self._new_id()
        participant.state = ParticipantState.INVITED
        participant.role = participant.planned_role
        participant.failure = participant.reason = ""
        participant.planned = True
        self._emit(ev.Invited(self.id, now, participant.id, leg=leg, by=by))
        self._effects.append(RingParticipant(participant.id, leg, participant.number))
        self._take_seat(participant, leg)
        self._ring_ends.append((now + self._ring_seconds, leg))

    def must_take_invitations(self, count: int) -> None:
        """Raises GoneError or ConflictError unless ``count`` people can be invited now."""
        self._must_go_on()
        if self.state is ConferenceState.PLANNED:
            raise ConflictError("the conference has not started yet")
        free = self.plan.seats - len(self._legs)
        if count > free:
            raise ConflictError(f"all {self.plan.seats} seats are taken" if not free else f"only {free} seats are free")

    def cancel(self, participant: Participant, *, by: str | None, now: float) -> None:
        """Stop ringing his phone."""
        leg = participant.leg
        if leg is None or participant.in_call or not self._rings(leg):
            raise ConflictError(f"{participant.name or participant.number} is not being called")
        self._leave(participant, ParticipantState.ABSENT, "")
        self._effects.append(HangUp(leg, "cancelled", "The invitation was cancelled"))
        self._emit(ev.InvitationCancelled(self.id, now, participant.id, leg=leg, by=by))

    def hang_up(self, participant: Participant, *, by: str | None, now: float) -> None:
        """End his call; calling again is as welcome as before. Stops ringing, too."""
        if participant.leg is not None and not participant.in_call:
            self.cancel(participant, by=by, now=now)
            return
        self._must_be_in(participant)
        self._give_up(participant, "hung_up", "Hung up by the operator", now)

    def kick(self, participant: Participant, *, by: str | None, now: float) -> None:
        """Put him out, for everybody to see. Lock the conference as well to keep him out."""
        leg = self._must_be_in(participant)
        self._effects.append(HangUp(leg, "kicked", "Removed from the conference"))
        self._leave(participant, ParticipantState.KICKED, "Removed by the operator")
        self._emit(ev.Kicked(self.id, now, participant.id, leg=leg, by=by))

    def mute(self, participant: Participant, on: bool, *, by: str | None, now: float) -> None:
        """The chair's mute: stays over leaving and coming back until it is taken off."""
        if participant.muted != on:
            participant.muted = on
            kind = ev.Muted if on else ev.Unmuted
            self._emit(kind(self.id, now, participant.id, by=by))
            self._set_media(participant)

    def deafen(self, participant: Participant, on: bool, *, by: str | None, now: float) -> None:
        """Let him hear nothing, or all again."""
        if participant.deaf != on:
            participant.deaf = on
            kind = ev.Deafened if on else ev.Undeafened
            self._emit(kind(self.id, now, participant.id, by=by))
            self._set_media(participant)

    def set_gain(
        self,
        participant: Participant,
        talk_db: float | None = None,
        listen_db: float | None = None,
        levelling: bool | None = None,
        *,
        by: str | None,
        now: float,
    ) -> None:
        """How loud he talks and listens, in decibels, and whether he is levelled; None leaves one as it is."""
        before = participant.talk_gain_db, participant.listen_gain_db, participant.levelling
        after = (
            before[0] if talk_db is None else talk_db,
            before[1] if listen_db is None else listen_db,
            before[2] if levelling is None else levelling,
        )
        if after != before:
            participant.talk_gain_db, participant.listen_gain_db, participant.levelling = after
            self._emit(
                ev.GainChanged(
                    self.id,
                    now,
                    participant.id,
                    talk_gain_db=after[0],
                    listen_gain_db=after[1],
                    levelling=after[2],
                    by=by,
                )
            )
            self._set_media(participant)

    def rename(self, participant: Participant, name: str, *, by: str | None, now: float) -> None:
        if participant.name != name:
            participant.name = name
            self._emit(ev.Renamed(self.id, now, participant.id, name=name, by=by))

    # --- what legs report --------------------------------------------------------------------------------------------

    def ringing(self, leg: str, now: float) -> None:
        participant = self._current(leg)
        if participant is not None and participant.state is ParticipantState.INVITED:
            participant.state = ParticipantState.RINGING
            self._emit(ev.Ringing(self.id, now, participant.id, leg=leg))

    def joined(self, leg: str, now: float) -> None:
        """The call stands: he hears and is heard."""
        participant = self._current(leg)
        if participant is None or participant.in_call:
            return
        if not participant.seen:
            participant.seen = True
            self._emit(
                ev.Added(
                    self.id,
                    now,
                    participant.id,
                    number=participant.number,
                    name=participant.name,
                    role=participant.role,
                    by=None,
                )
            )
        self.roster.here(participant)
        participant.state = ParticipantState.JOINED
        participant.failure = participant.reason = ""
        participant.joined = now
        if self.state is ConferenceState.WAITING:
            self.state = ConferenceState.RUNNING
            self._emit(ev.Running(self.id, now))
        self._emit(
            ev.Joined(
                self.id,
                now,
                participant.id,
                leg=leg,
                number=participant.number,
                name=participant.name,
                role=participant.role,
            )
        )

    def failed(self, leg: str, failure: str, status: int, reason: str, now: float) -> None:
        """The call did not come about; the leg is gone. ``failure``: a sip.events.FailureKind or ``overloaded``."""
        self._fail(leg, failure, status, reason, now)
        self._forget(leg, now)

    def left(self, leg: str, reason: str, now: float) -> None:
        """The leg is gone, whatever it was before."""
        participant = self._current(leg)
        if participant is not None and participant.in_call:
            self._leave(participant, ParticipantState.LEFT, reason)
            self._emit(ev.Left(self.id, now, participant.id, leg=leg, reason=reason))
        else:
            self._fail(leg, "network", 0, reason, now)
        self._forget(leg, now)

    def talks(self, leg: str, talking: bool, level_dbov: float, now: float) -> None:
        participant = self._current(leg)
        if participant is not None and participant.in_call and participant.talking != talking:
            participant.talking = talking
            self._emit(
                ev.Talking(
                    self.id,
                    now,
                    participant.id,
                    talking=talking,
                    level_dbov=round(level_dbov, 1),
                )
            )

    def music(self, leg: str, playing: bool, silenced: bool, now: float) -> None:
        """His phone plays instead of him speaking, or has ceased to (N8)."""
        participant = self._current(leg)
        if participant is not None and participant.in_call and participant.playing_music != playing:
            participant.playing_music = playing
            self._emit(ev.Music(self.id, now, participant.id, playing=playing, silenced=silenced))

    def digit(self, leg: str, digit: str, now: float) -> None:
        participant = self._current(leg)
        if participant is not None and participant.in_call:
            self._emit(ev.Digit(self.id, now, participant.id, digit=digit))

    def held(self, leg: str, on: bool, now: float) -> None:
        """His phone put us on hold or took us back."""
        participant = self._current(leg)
        if participant is not None and participant.in_call and participant.held != on:
            participant.held = on
            self._emit((ev.Held if on else ev.Resumed)(self.id, now, participant.id))

    def media_lost(self, reason: str, now: float) -> None:
        """The mixer is gone; who was talking or playing music cannot be heard."""
        self._emit(ev.MediaLost(self.id, now, reason=reason))
        for leg, participant in self._legs.items():
            if participant.talking:
                self.talks(leg, False, -127.0, now)
            if participant.playing_music:
                self.music(leg, False, False, now)

    def media_restored(self, seconds: float, now: float) -> None:
        self._emit(ev.MediaRestored(self.id, now, seconds=seconds))

    # --- within ------------------------------------------------------------------------------------------------------

    def _emit(self, event: ev.ConferenceEvent) -> None:
        self._events.append(event)

    def _fail(self, leg: str, failure: str, status: int, reason: str, now: float) -> None:
        participant = self._current(leg)
        if participant is None:
            return
        if not self._rings(leg):
            self._leave(participant, participant.state, participant.reason)
            return
        self._leave(participant, ParticipantState.FAILED, reason)
        participant.failure = failure
        self._emit(
            ev.Failed(
                self.id,
                now,
                participant.id,
                leg=leg,
                failure=failure,
                status=status,
                reason=reason,
            )
        )

    def _forget(self, leg: str, now: float) -> None:
        self._legs.pop(leg, None)
        if self.state is ConferenceState.ENDING and not self._legs:
            self._finish(self.end_reason, now)

    def _must_go_on(self) -> None:
        if self.is_over:
            raise GoneError(f"conference {self.plan.number} has ended")

    def _must_be_in(self, participant: Participant) -> str:
        if participant.leg is None or not participant.in_call:
            raise ConflictError(f"{participant.name or participant.number or 'the participant'} is not in")
        return participant.leg

    def _current(self, leg: str) -> Participant | None:
        """Whose leg it is, unless it was given up."""
        participant = self._legs.get(leg)
        return participant if participant is not None and participant.leg == leg else None

    def _rings(self, leg: str) -> bool:
        participant = self._current(leg)
        return participant is not None and participant.state in {ParticipantState.INVITED, ParticipantState.RINGING}

    def _take_seat(self, participant: Participant, leg: str) -> None:
        participant.leg = leg
        self._legs[leg] = participant
        wanted = _media_of(participant, leg)
        if wanted != SetMedia(leg):
            self._effects.append(wanted)

    def _set_media(self, participant: Participant) -> None:
        if participant.leg is not None:
            self._effects.append(_media_of(participant, participant.leg))

    def _give_up(self, participant: Participant, kind: str, reason: str, now: float) -> None:
        """Hang up his leg, ringing or in."""
        leg = participant.leg
        if leg is None:
            return
        self._effects.append(HangUp(leg, kind, reason))
        if participant.in_call:
            self._leave(participant, ParticipantState.LEFT, reason)
            self._emit(ev.Left(self.id, now, participant.id, leg=leg, reason=reason))
        else:
            self._leave(participant, ParticipantState.ABSENT, reason)
            self._emit(ev.InvitationCancelled(self.id, now, participant.id, leg=leg, by=None))

    def _leave(self, participant: Participant, state: ParticipantState, reason: str) -> None:
        participant.leg = None
        participant.state = state
        participant.reason = reason
        participant.talking = participant.held = participant.playing_music = False
        if participant.seen:
            self.roster.away(participant)
        else:
            self.roster.remove(participant)


def _media_of(participant: Participant, leg: str) -> SetMedia:
    return SetMedia(
        leg,
        participant.muted,
        participant.deaf,
        participant.talk_gain_db,
        participant.listen_gain_db,
        participant.levelling,
    )
