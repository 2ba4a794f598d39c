"""The conference as a state machine, in virtual time."""

from __future__ import annotations

import pytest

from control import events as ev
from control.admission import Caller, RefusedError
from control.conference import Conference
from control.effects import HangUp, RingParticipant, SetMedia, SetSound
from control.errors import ConflictError, GoneError, InvalidInputError, NotFoundError
from control.participant import Participant, ParticipantState, Role
from control.plan import ConferenceState, Plan
from control.roster import MAX_GONE
from mixer.protocol import RoomSettings
from tests.control.doubles import START, counter

ANNA = Caller("375291111111", "Anna", authenticated=False)
BORIS = Caller("375292222222", "Boris", authenticated=False)
NOBODY = Caller("", "", authenticated=False)


def plan(*, starts: float = START, minutes: float = 60, seats: int = 10, guest_pin: str | None = None) -> Plan:
    return Plan(
        id="c1",
        number="200",
        topic="Harvest",
        starts=starts,
        ends=starts + 60 * minutes,
        seats=seats,
        chair_pin="4321",
        guest_pin=guest_pin,
        created=START,
    )


def make(**more: object) -> Conference:
    conference = Conference.create(plan(**more), by="op", new_id=counter(), ring_seconds=45)  # type: ignore[arg-type]
    conference.take_events()
    return conference


def enter(conference: Conference, caller: Caller, leg: str, pin: str | None = None, now: float = START) -> Participant:
    participant = conference.admit(caller, pin, leg, now)
    conference.joined(leg, now)
    return participant


def add(conference: Conference, number: str = "375293333333", role: Role = Role.GUEST) -> Participant:
    return conference.add(number, name="Vera", email="", role=role, by="op", now=START)


def ring(conference: Conference, participant: Participant, now: float = START) -> str:
    conference.invite(participant, by="op", now=now)
    effect = next(e for e in conference.take_effects() if isinstance(e, RingParticipant))
    return effect.leg


def kinds(conference: Conference) -> list[str]:
    return [event.kind for event in conference.take_events()]


def refusal(conference: Conference, caller: Caller, pin: str | None = None, now: float = START) -> RefusedError:
    with pytest.raises(RefusedError) as caught:
        conference.admit(caller, pin, "leg?", now)
    return caught.value


def test_an_immediate_conference_waits_until_the_first_is_in_and_then_runs() -> None:
    conference = Conference.create(plan(), by="op", new_id=counter())
    assert kinds(conference) == ["conference.created", "conference.started"]
    assert conference.state == "waiting"
    enter(conference, ANNA, "leg1")
    assert conference.state == "running"
    assert kinds(conference) == ["participant.added", "conference.running", "participant.joined"]


def test_a_planned_conference_starts_by_itself_and_tells_early_callers_how_long_to_wait() -> None:
    conference = make(starts=START + 600)
    early = refusal(conference, ANNA)
    assert (early.status, early.reason, early.retry_after) == (480, "The conference has not started yet", 600)
    assert conference.timer() == START + 600
    conference.handle_timer(START + 600)
    assert conference.state == "waiting"
    assert enter(conference, ANNA, "leg1", now=START + 601).in_call


def test_b2_the_pin_makes_chair_or_guest() -> None:
    conference = make(guest_pin="1111")
    assert enter(conference, ANNA, "leg1", "4321").role is Role.CHAIR
    assert enter(conference, BORIS, "leg2", "1111").role is Role.GUEST


def test_b2_with_a_guest_pin_none_or_a_wrong_one_is_refused_with_the_reason() -> None:
    conference = make(guest_pin="1111")
    none, wrong = refusal(conference, ANNA), refusal(conference, ANNA, "9999")
    assert (none.status, none.reason, none.wrong_pin) == (403, "A PIN is needed: call 200*PIN", False)
    assert (wrong.status, wrong.reason, wrong.wrong_pin) == (403, "Wrong PIN", True)
    assert refusal(conference, ANNA, "пароль").wrong_pin
    assert conference.seats_taken == 0
    assert len(list(conference.roster)) == 0


def test_b3_without_a_guest_pin_a_call_to_the_number_is_in_at_once() -> None:
    conference = make()
    assert enter(conference, ANNA, "leg1").role is Role.GUEST
    assert refusal(conference, BORIS, "9999").wrong_pin


def test_b21_lock_refuses_guests_while_the_chairs_pin_and_invitations_work() -> None:
    conference = make(guest_pin="1111")
    vera = add(conference)
    conference.lock(True, by="op", now=START)
    locked = refusal(conference, ANNA, "1111")
    assert (locked.status, locked.reason) == (403, "The conference is locked")
    assert enter(conference, BORIS, "leg1", "4321").role is Role.CHAIR
    conference.joined(ring(conference, vera), START)
    assert vera.in_call
    conference.lock(False, by="op", now=START)
    assert enter(conference, ANNA, "leg2", "1111").in_call


def test_b22_extending_moves_the_end_and_warns_anew() -> None:
    conference = make(minutes=10)
    conference.handle_timer(START + 300)
    conference.extend(15, longest=60, by="op", now=START + 300)
    assert kinds(conference) == ["conference.ending_soon", "conference.extended"]
    conference.handle_timer(START + 600)
    assert conference.state == "waiting"
    assert conference.timer() == START + 1500 - 300


def test_b22_a_conference_is_not_extended_beyond_the_configured_length() -> None:
    conference = make(minutes=50)
    with pytest.raises(InvalidInputError) as caught:
        conference.extend(11, longest=60, by="op", now=START)
    assert caught.value.field == "/minutes"
    assert "10 more are possible" in caught.value.detail
    assert conference.plan.ends == START + 3000


def test_warnings_come_five_and_one_minute_before_the_end_and_then_it_ends() -> None:
    conference = make(minutes=10)
    enter(conference, ANNA, "leg1")
    conference.take_events()
    seen = []
    while (due := conference.timer()) is not None:
        conference.handle_timer(due)
        seen += [(due - START, event) for event in conference.take_events()]
    minutes = [(at, event.minutes) for at, event in seen if isinstance(event, ev.EndingSoon)]
    assert minutes == [(300, 5), (540, 1)]
    assert conference.state == "ending"
    assert [e.leg for e in conference.take_effects() if isinstance(e, HangUp)] == ["leg1"]
    conference.left("leg1", "bye", START + 600)
    assert conference.state == "ended"
    assert conference.timer() is None


def test_a_conference_of_three_minutes_does_not_begin_with_a_five_minute_warning() -> None:
    conference = make(minutes=3)
    assert conference.timer() == START + 120


def test_b23_end_hangs_up_who_is_in_and_stops_ringing_and_takes_nothing_more() -> None:
    conference = make()
    vera = add(conference)
    leg = ring(conference, vera)
    enter(conference, ANNA, "leg1")
    conference.take_events()
    conference.end(by="op", now=START + 5)
    hung = {e.leg: e.kind for e in conference.take_effects() if isinstance(e, HangUp)}
    assert hung == {leg: "conference_ended", "leg1": "conference_ended"}
    assert kinds(conference) == ["conference.ending", "participant.invitation_cancelled", "participant.left"]
    assert refusal(conference, BORIS).status == 410
    conference.left(leg, "", START + 5)
    assert conference.state == "ending"
    conference.left("leg1", "", START + 5)
    assert conference.state == "ended"
    with pytest.raises(GoneError):
        conference.end(by="op", now=START + 6)
    with pytest.raises(GoneError):
        conference.extend(5, longest=60, by="op", now=START + 6)
    with pytest.raises(GoneError):
        add(conference)


def test_b28_a_full_conference_refuses_callers_and_invitations_until_a_seat_is_free() -> None:
    conference = make(seats=2)
    vera = add(conference)
    enter(conference, ANNA, "leg1")
    enter(conference, BORIS, "leg2")
    full = refusal(conference, NOBODY)
    assert (full.status, full.reason) == (486, "The conference is full")
    with pytest.raises(ConflictError, match="all 2 seats are taken"):
        conference.invite(vera, by="op", now=START)
    conference.left("leg1", "bye", START)
    assert enter(conference, NOBODY, "leg3").in_call


def test_an_unanswered_admission_gives_its_seat_back_and_leaves_no_row() -> None:
    conference = make(seats=1)
    conference.admit(ANNA, None, "leg1", START)
    assert refusal(conference, BORIS).status == 486
    conference.failed("leg1", "network", 503, "no media", START)
    assert list(conference.roster) == []
    assert enter(conference, BORIS, "leg2").in_call


def test_b9_an_invited_participant_rings_joins_and_is_hung_up() -> None:
    conference = make()
    vera = add(conference)
    conference.take_events()
    leg = ring(conference, vera)
    assert vera.state == "invited"
    conference.ringing(leg, START + 1)
    assert vera.state == "ringing"
    conference.joined(leg, START + 2)
    assert vera.state == "joined"
    conference.hang_up(vera, by="op", now=START + 3)
    assert conference.take_effects() == [HangUp(leg, "hung_up", "Hung up by the operator")]
    assert kinds(conference)[-1] == "participant.left"
    assert vera.state == "left"


def test_b9_a_cancelled_invitation_can_be_repeated() -> None:
    conference = make()
    vera = add(conference)
    leg = ring(conference, vera)
    conference.cancel(vera, by="op", now=START)
    assert vera.state == "absent"
    assert [type(e) for e in conference.take_effects()] == [HangUp]
    again = ring(conference, vera)
    conference.left(leg, "", START)
    assert vera.leg == again
    assert vera.state == "invited"


def test_b9_a_phone_that_nobody_answers_is_given_up_after_the_ring_time() -> None:
    conference = make()
    vera = add(conference)
    leg = ring(conference, vera)
    conference.ringing(leg, START + 1)
    assert conference.timer() == START + 45
    conference.handle_timer(START + 45)
    assert (vera.state, vera.failure) == (ParticipantState.FAILED, "no_answer")
    assert conference.take_effects() == [HangUp(leg, "no_answer", "No answer")]
    conference.left(leg, "", START + 45)
    assert conference.seats_taken == 0


def test_n1_a_failed_call_says_why_and_redial_clears_it() -> None:
    conference = make()
    vera = add(conference)
    conference.failed(ring(conference, vera), "busy", 486, "Busy Here", START)
    assert (vera.state, vera.failure, vera.reason) == (ParticipantState.FAILED, "busy", "Busy Here")
    ring(conference, vera)
    assert (vera.state, vera.failure, vera.reason) == (ParticipantState.INVITED, "", "")


def test_b9_kick_puts_out_who_is_in_and_nobody_else() -> None:
    conference = make()
    anna = enter(conference, ANNA, "leg1")
    conference.take_events()
    conference.kick(anna, by="op", now=START)
    assert anna.state == "kicked"
    assert conference.take_effects() == [HangUp("leg1", "kicked", "Removed from the conference")]
    assert kinds(conference) == ["participant.kicked"]
    conference.left("leg1", "", START)
    assert anna.state == "kicked"
    with pytest.raises(ConflictError):
        conference.kick(anna, by="op", now=START)


def test_n2_the_chairs_mute_survives_leaving_and_coming_back_until_it_is_taken_off() -> None:
    conference = make()
    anna = enter(conference, ANNA, "leg1")
    conference.mute(anna, True, by="op", now=START)
    assert conference.take_effects() == [SetMedia("leg1", True, False, 0.0, 0.0)]
    conference.left("leg1", "bye", START + 1)
    assert enter(conference, ANNA, "leg2") is anna
    assert conference.take_effects() == [SetMedia("leg2", True, False, 0.0, 0.0)]
    conference.mute(anna, False, by="op", now=START + 2)
    assert conference.take_effects() == [SetMedia("leg2", False, False, 0.0, 0.0)]


def test_b10_mute_and_deaf_hold_before_the_participant_is_in() -> None:
    conference = make()
    vera = add(conference)
    conference.mute(vera, True, by="op", now=START)
    conference.deafen(vera, True, by="op", now=START)
    assert conference.take_effects() == []
    conference.invite(vera, by="op", now=START)
    effects = conference.take_effects()
    assert isinstance(effects[0], RingParticipant)
    assert effects[1] == SetMedia(effects[0].leg, True, True, 0.0, 0.0)


def test_b12_volume_of_talking_and_listening_is_set_apart() -> None:
    conference = make()
    anna = enter(conference, ANNA, "leg1")
    conference.set_gain(anna, 6.0, None, by="op", now=START)
    conference.set_gain(anna, None, -3.0, by="op", now=START)
    assert conference.take_effects()[-1] == SetMedia("leg1", False, False, 6.0, -3.0)


def test_n9_who_is_not_to_be_levelled_is_not_when_he_comes_back_either() -> None:
    conference = make()
    anna = enter(conference, ANNA, "leg1")
    conference.set_gain(anna, levelling=False, by="op", now=START)
    assert conference.take_effects() == [SetMedia("leg1", levelling=False)]
    conference.left("leg1", "bye", START + 1)
    enter(conference, ANNA, "leg2")
    assert conference.take_effects() == [SetMedia("leg2", levelling=False)]


def test_n9_a_change_of_sound_is_told_once_and_reaches_the_mixer() -> None:
    conference = make()
    conference.take_events()
    quiet = RoomSettings(talkers=3, levelling=False, silence_music=True)
    conference.set_sound(quiet, by="op", now=START)
    conference.set_sound(quiet, by="op", now=START)
    assert conference.take_effects() == [SetSound(quiet)]
    (event,) = conference.take_events()
    assert event.kind == "conference.sound_changed"
    assert event.data() == {"levelling": False, "talkers": 3, "silence_music": True, "by": "op"}
    conference.end(by="op", now=START)
    with pytest.raises(GoneError):
        conference.set_sound(RoomSettings(), by="op", now=START)


def test_a_planned_participant_is_recognised_by_the_number_he_calls_from() -> None:
    conference = make()
    vera = add(conference, ANNA.number)
    assert enter(conference, ANNA, "leg1") is vera
    assert vera.name == "Vera"
    other = enter(conference, ANNA, "leg2")
    assert other is not vera
    assert other.number == ANNA.number


def test_two_calls_from_one_number_at_the_same_moment_are_two_people() -> None:
    conference = make()
    add(conference, ANNA.number)
    first = conference.admit(ANNA, None, "leg1", START)
    second = conference.admit(ANNA, None, "leg2", START)
    assert first is not second
    conference.joined("leg2", START)
    conference.joined("leg1", START)
    assert conference.seats_taken == 2


def test_who_calls_in_while_his_phone_rings_is_in_and_the_ringing_stops() -> None:
    conference = make()
    vera = add(conference, ANNA.number)
    ringing = ring(conference, vera)
    enter(conference, ANNA, "leg1")
    assert conference.take_effects() == [HangUp(ringing, "cancelled", "Called in by himself")]
    conference.left(ringing, "", START)
    assert vera.in_call
    assert conference.seats_taken == 1


def test_a_caller_id_alone_makes_nobody_chair_but_his_signed_in_phone_does() -> None:
    conference = make()
    vera = add(conference, ANNA.number, Role.CHAIR)
    assert enter(conference, ANNA, "leg1").role is Role.GUEST
    conference.left("leg1", "bye", START)
    assert enter(conference, Caller(ANNA.number, "Anna", authenticated=True), "leg2") is vera
    assert vera.role is Role.CHAIR


def test_anonymous_callers_are_different_people() -> None:
    conference = make()
    first = enter(conference, NOBODY, "leg1")
    conference.left("leg1", "bye", START)
    assert enter(conference, NOBODY, "leg2") is not first


def test_the_same_number_is_not_added_twice() -> None:
    conference = make()
    add(conference)
    with pytest.raises(ConflictError) as caught:
        add(conference)
    assert caught.value.field == "/number"


def test_the_list_does_not_grow_without_bound_by_strangers_who_called_once() -> None:
    conference = make()
    muted = enter(conference, Caller("muted", "", authenticated=False), "m")
    conference.mute(muted, True, by="op", now=START)
    conference.left("m", "bye", START)
    for index in range(MAX_GONE + 50):
        enter(conference, Caller(f"n{index}", "", authenticated=False), f"leg{index}")
        conference.left(f"leg{index}", "bye", START)
    assert len(conference.roster) == MAX_GONE + 1
    assert conference.roster.recognise("n0") is None
    assert conference.roster.recognise("muted") is muted


def test_events_tell_talking_hold_and_every_key_of_who_is_in() -> None:
    conference = make()
    conference.admit(ANNA, None, "leg1", START)
    conference.talks("leg1", True, -20.0, START)
    conference.joined("leg1", START)
    conference.take_events()
    conference.talks("leg1", True, -20.04, START)
    conference.talks("leg1", True, -20.0, START)
    conference.held("leg1", True, START)
    conference.held("leg1", False, START)
    conference.digit("leg1", "5", START)
    conference.digit("leg1", "5", START)
    assert kinds(conference) == [
        "participant.talking",
        "participant.held",
        "participant.resumed",
        "participant.digit",
        "participant.digit",
    ]


def test_a_restart_finds_nobody_in_and_does_what_was_missed() -> None:
    was_in = Participant("p1", "375291111111", "Anna", "", Role.GUEST, Role.GUEST, True, START)
    was_in.state = ParticipantState.JOINED
    for now, state in ((START + 10, ConferenceState.RUNNING), (START + 7200, ConferenceState.ENDED)):
        conference = Conference(plan(), new_id=counter())
        conference.restore(
            state=ConferenceState.RUNNING, locked=True, started=START, end_reason="", participants=[was_in], now=now
        )
        assert conference.state is state
        assert conference.locked
        assert was_in.state == "left"


def test_a_restart_starts_what_was_planned_for_the_time_in_between() -> None:
    conference = Conference(plan(starts=START + 60), new_id=counter())
    conference.restore(
        state=ConferenceState.PLANNED, locked=False, started=None, end_reason="", participants=[], now=START + 120
    )
    assert conference.state == "waiting"


def test_an_unknown_participant_is_not_found() -> None:
    conference = make()
    conference.admit(ANNA, None, "leg1", START)
    for name in ("nobody", "id1"):
        with pytest.raises(NotFoundError):
            conference.participant(name)


def test_commands_that_change_nothing_are_no_events() -> None:
    conference = make()
    anna = enter(conference, ANNA, "leg1")
    conference.take_events()
    conference.mute(anna, False, by="op", now=START)
    conference.lock(False, by="op", now=START)
    conference.rename(anna, "Anna", by="op", now=START)
    conference.set_gain(anna, 0.0, None, by="op", now=START)
    assert conference.take_events() == []
    assert conference.take_effects() == []
