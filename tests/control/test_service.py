"""The conference service: commands, callers, deadlines, restart; in virtual time."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pydantic import ValidationError

from control import schemas as s
from control.errors import ConflictError, GoneError, InvalidInputError, NotFoundError, UnavailableError
from control.numbers import is_easy, make_number, make_pin, normalise
from control.reception import WRONG_PIN_SECONDS, WRONG_PINS
from control.registry import MAX_ENDED_NUMBERS
from control.schedule import Schedule
from control.store import StoreError
from mixer.protocol import RoomSettings
from tests.control.doubles import START, Records, Server


async def create(server: Server, **fields: Any) -> s.ConferenceView:
    return await server.service.create(s.CreateConference.model_validate(fields), by="op")


async def room(server: Server, **fields: Any) -> s.ConferenceView:
    return await create(server, **{"number": "200", "chair_pin": "4321", "guest_pin": None, **fields})


def refused(server: Server) -> tuple[int, str]:
    status, reason = server.phones.last("reject")[2:]
    return status, reason


async def settle(server: Server) -> None:
    server.phones.settle()
    for _ in range(5):
        await asyncio.sleep(0)


# --- creation --------------------------------------------------------------------------------------------------------


async def test_what_is_left_out_is_made_up() -> None:
    server = Server(number_digits=7, pin_digits=5, default_duration_minutes=45, default_seats=12)
    view = await create(server)
    assert (len(view.number), len(view.chair_pin), len(view.guest_pin or "")) == (7, 5, 5)
    assert view.chair_pin != view.guest_pin
    assert (view.duration_minutes, view.seats, view.state) == (45, 12, "waiting")
    assert view.uri == f"sip:{view.number}@192.0.2.1"
    assert view.end - view.start == timedelta(minutes=45)


async def test_a_guest_pin_of_null_means_that_guests_need_none() -> None:
    assert (await create(Server(), guest_pin=None)).guest_pin is None


async def test_a_number_in_use_is_refused_and_free_again_after_the_end() -> None:
    server = Server()
    view = await room(server)
    with pytest.raises(ConflictError) as caught:
        await room(server)
    assert caught.value.field == "/number"
    await server.service.end(view.id, by="op")
    assert (await room(server)).number == "200"


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"start": datetime.fromtimestamp(START - 120, UTC)}, "/start"),
        ({"start": datetime.fromtimestamp(START, UTC) + timedelta(days=3000)}, "/start"),
        ({"duration_minutes": 1441}, "/duration_minutes"),
        ({"seats": 2001}, "/seats"),
    ],
)
async def test_values_beyond_the_configured_limits_name_their_field(fields: dict[str, Any], pointer: str) -> None:
    server = Server(max_duration_minutes=1440, max_seats=2000)
    with pytest.raises(InvalidInputError) as caught:
        await create(server, **fields)
    assert caught.value.field == pointer
    assert server.store.log == []


@pytest.mark.parametrize(
    "fields",
    [
        {"chair_pin": "12a4"},
        {"chair_pin": "123"},
        {"chair_pin": "123456", "guest_pin": "123456"},
        {"number": "12"},
        {"number": "2*3"},
        {"topic": "a\nb"},
        {"topic": "x" * 201},
        {"seats": 0},
        {"duration_minutes": 0},
        {"start": "tomorrow"},
        {"start": "2027-01-01T10:00:00"},
        {"duration": 60},
    ],
)
def test_malformed_input_is_refused(fields: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        s.CreateConference.model_validate(fields)


async def test_n12_a_repeated_creation_request_gives_the_conference_it_made() -> None:
    server = Server()
    value = s.CreateConference(topic="Once")
    first = await server.service.create(value, by="op", request_key="k1")
    again = await server.service.create(value, by="op", request_key="k1")
    assert again.id == first.id
    assert len(server.service.registry.conferences) == 1
    person = s.AddParticipant(number="375291234567")
    added = await server.service.add_participant(first.id, person, by="op", request_key="k2")
    assert (await server.service.add_participant(first.id, person, by="op", request_key="k2")).id == added.id


async def test_a_conference_that_could_not_be_stored_does_not_exist() -> None:
    class Broken(Records):
        async def flush(self) -> None:
            raise StoreError("the database does not take writes: disk full")

    server = Server(Broken())
    with pytest.raises(UnavailableError, match="disk full"):
        await room(server)
    assert server.service.registry.conferences == {}
    server.phones.incoming("200")
    assert refused(server)[0] == 410


# --- callers ---------------------------------------------------------------------------------------------------------


async def test_b4_each_refusal_has_its_status_and_reason() -> None:
    server = Server()
    full = await room(server, number="201", seats=1)
    locked = await room(server, number="202")
    ended = await room(server, number="203")
    await room(server, number="204", start=datetime.fromtimestamp(START + 90, UTC))
    await room(server, number="205", guest_pin="1111")
    server.phones.join("201")
    await server.service.lock(locked.id, True, by="op")
    await server.service.end(ended.id, by="op")
    for user, status, reason in [
        ("999", 404, "No conference has this number"),
        ("201", 486, "The conference is full"),
        ("202", 403, "The conference is locked"),
        ("203", 410, "The conference has ended"),
        ("204", 480, "The conference has not started yet"),
        ("205", 403, "A PIN is needed: call 205*PIN"),
        ("205*2222", 403, "Wrong PIN"),
    ]:
        call = server.phones.incoming(user)
        assert refused(server) == (status, reason)
        if status == 480:
            assert server.phones.headers[call] == {"Retry-After": "90"}
    assert full.id in {cdr.conference for cdr in server.store.cdrs()}
    assert {cdr.status for cdr in server.store.cdrs() if cdr.end_kind == "refused"} == {486, 403, 480}


async def test_b2_number_star_pin_gives_the_role() -> None:
    server = Server()
    view = await room(server, guest_pin="1111")
    server.phones.join("200*4321", "375290000001")
    server.phones.join("200*1111", "375290000002")
    people = (await server.service.participants(view.id)).items
    assert [(p.number, p.role) for p in people] == [("375290000001", "chair"), ("375290000002", "guest")]


async def test_guessing_pins_is_stopped_for_the_caller_and_forgiven_later() -> None:
    server = Server()
    await room(server, guest_pin="1111")
    for _ in range(WRONG_PINS):
        server.phones.incoming("200*0000", "375290000001")
        assert refused(server) == (403, "Wrong PIN")
    server.phones.incoming("200*1111", "375290000001")
    assert refused(server) == (403, "Too many wrong PINs, try again later")
    server.phones.join("200*1111", "375290000002")
    server.clock.now += WRONG_PIN_SECONDS
    server.phones.join("200*1111", "375290000001")


async def test_guessing_pins_with_ever_new_caller_numbers_is_stopped_for_their_source() -> None:
    server = Server()
    await room(server, guest_pin="1111")
    for index in range(60):
        server.phones.incoming("200*0000", f"3752900{index:05}")
    assert refused(server) == (403, "Too many wrong PINs, try again later")
    server.phones.join("200*1111", "375290000001", source="198.51.100.1")


async def test_the_pin_is_in_no_event_and_no_record() -> None:
    server = Server()
    await room(server, guest_pin="739281", chair_pin="918273")
    server.phones.join("200*739281")
    server.phones.incoming("200*555555")
    told = repr([event.data for event in server.store.log]) + repr(server.store.cdrs())
    assert not [pin for pin in ("739281", "918273", "555555") if pin in told]


async def test_a_signed_in_phone_is_known_by_its_account() -> None:
    server = Server()
    view = await room(server)
    add = s.AddParticipant(number="+375 29 123-45-67", name="Vera", role="chair")
    await server.service.add_participant(view.id, add, by="op")
    server.phones.join("200", "whatever", account="375291234567")
    (vera,) = (await server.service.participants(view.id)).items
    assert (vera.name, vera.role, vera.state) == ("Vera", "chair", "joined")


# --- running ---------------------------------------------------------------------------------------------------------


async def test_b22_b23_a_conference_warns_ends_by_itself_and_is_then_gone_from_memory() -> None:
    server = Server()
    view = await room(server, duration_minutes=10)
    call = server.phones.join("200")
    server.pass_time(601)
    await settle(server)
    assert server.phones.last("hang_up") == ("hang_up", call, "The planned time is over")
    kinds = server.store.kinds()
    assert kinds.count("conference.ending_soon") == 2
    assert kinds[-1] == "conference.ended"
    assert server.service.registry.conferences == {}
    assert server.service.registry.due() is None
    past = await server.service.get(view.id)
    assert (past.state, past.ended_reason) == ("ended", "The planned time is over")
    assert [p.state for p in (await server.service.participants(view.id)).items] == ["left"]
    with pytest.raises(GoneError):
        await server.service.extend(view.id, 10, by="op")
    (cdr,) = server.store.cdrs()
    assert cdr.end_kind == "conference_ended"


async def test_the_services_own_timer_fires_at_the_deadline() -> None:
    server = Server()
    view = await room(server, duration_minutes=10)
    server.clock.now += 600
    server.service.registry.arm()
    await asyncio.sleep(0.01)
    assert (await server.service.get(view.id)).state == "ended"


async def test_b22_extend_is_stored_before_it_is_confirmed() -> None:
    server = Server()
    view = await room(server, duration_minutes=10)
    extended = await server.service.extend(view.id, 15, by="op")
    assert extended.duration_minutes == 25
    assert (await server.store.open_conferences())[0].ends == extended.end


async def test_b9_inviting_several_rings_those_who_are_not_in() -> None:
    server = Server()
    view = await room(server, seats=3)
    ids = []
    for number in ("375290000001", "375290000002", "375290000003"):
        added = await server.service.add_participant(view.id, s.AddParticipant(number=number), by="op")
        ids.append(added.id)
    server.phones.join("200", "375290000001")
    people = await server.service.invite_many(view.id, ids, by="op")
    assert [p.state for p in people.items] == ["joined", "invited", "invited"]
    assert [entry[2] for entry in server.phones.done if entry[0] == "invite"] == ["375290000002", "375290000003"]


async def test_b9_nobody_is_rung_when_one_of_several_is_unknown_or_seats_do_not_suffice() -> None:
    server = Server()
    view = await room(server, seats=1)
    one = await server.service.add_participant(view.id, s.AddParticipant(number="375290000001"), by="op")
    two = await server.service.add_participant(view.id, s.AddParticipant(number="375290000002"), by="op")
    with pytest.raises(NotFoundError) as caught:
        await server.service.invite_many(view.id, [one.id, "nobody"], by="op")
    assert caught.value.field == "/participants/1"
    with pytest.raises(ConflictError, match="only 1 seats are free"):
        await server.service.invite_many(view.id, [one.id, two.id], by="op")
    assert not server.phones.calls


async def test_adding_with_an_invitation_that_is_impossible_adds_nobody() -> None:
    server = Server()
    view = await room(server, start=datetime.fromtimestamp(START + 3600, UTC))
    with pytest.raises(ConflictError, match="has not started"):
        await server.service.add_participant(view.id, s.AddParticipant(number="375291234567", invite=True), by="op")
    assert (await server.service.participants(view.id)).items == []


@pytest.mark.parametrize("number", ["abc", "+", "mailto:a@b", "sip:", "1" * 40])
async def test_a_number_that_is_none_is_refused_with_its_reason(number: str) -> None:
    server = Server()
    view = await room(server)
    with pytest.raises(InvalidInputError) as caught:
        await server.service.add_participant(view.id, s.AddParticipant(number=number), by="op")
    assert caught.value.field == "/number"


async def test_b10_commands_reach_the_mixer() -> None:
    server = Server()
    view = await room(server)
    server.phones.join("200")
    (anna,) = (await server.service.participants(view.id)).items
    for action, expected in [
        ("mute", {"mute": True, "deaf": False}),
        ("deaf", {"mute": True, "deaf": True}),
        ("unmute", {"mute": False, "deaf": True}),
        ("undeaf", {"mute": False, "deaf": False}),
    ]:
        await server.service.act(view.id, anna.id, action, by="op")
        (adjusted,) = server.media.adjusted.values()
        assert {name: adjusted[name] for name in expected} == expected
    gained = await server.service.gain(view.id, anna.id, s.SetGain(talk_gain_db=6), by="op")
    assert (gained.talk_gain_db, gained.listen_gain_db) == (6, 0)


async def test_b9_kick_and_hangup_say_goodbye_and_the_record_tells_which() -> None:
    server = Server()
    view = await room(server)
    for action, state, kind in [("kick", "kicked", "kicked"), ("hangup", "left", "hung_up")]:
        call = server.phones.join("200")
        (anna,) = (await server.service.participants(view.id)).items
        assert (await server.service.act(view.id, anna.id, action, by="op")).state == state
        assert server.phones.last("hang_up")[1] == call
        await settle(server)
        assert server.store.cdrs()[-1].end_kind == kind


async def test_live_shows_who_is_in_with_the_mixers_figures() -> None:
    server = Server()
    view = await room(server)
    add = s.AddParticipant(number="375290000009")
    await server.service.add_participant(view.id, add, by="op")
    server.phones.join("200")
    live = await server.service.live(view.id)
    (anna,) = live.participants
    assert (anna.codec, anna.participant.state) == ("PCMA", "joined")
    assert anna.figures is not None
    assert anna.figures.packets_lost == 5
    assert live.conference.seats_taken == 1


async def test_the_servers_state_counts_calls_and_who_is_in() -> None:
    server = Server()
    await room(server)
    server.phones.join("200")
    server.phones.incoming("200")
    status = await server.service.status()
    assert (status.conferences, status.calls, status.participants_in) == (1, 2, 1)
    assert [m.legs for m in status.mixers] == [2]


async def test_unknown_conferences_and_participants_are_not_found() -> None:
    server = Server()
    view = await room(server)
    with pytest.raises(NotFoundError):
        await server.service.get("nothing")
    with pytest.raises(NotFoundError):
        await server.service.lock("nothing", True, by="op")
    with pytest.raises(NotFoundError):
        await server.service.act(view.id, "nobody", "mute", by="op")
    await server.service.end(view.id, by="op")
    with pytest.raises(NotFoundError):
        await server.service.participant(view.id, "nobody")


# --- from one server to the next -------------------------------------------------------------------------------------


async def test_conferences_survive_a_restart_with_their_people_and_settings() -> None:
    before = Server()
    view = await room(before, guest_pin="1111")
    before.phones.join("200*1111")
    (anna,) = (await before.service.participants(view.id)).items
    await before.service.act(view.id, anna.id, "mute", by="op")
    await before.service.lock(view.id, True, by="op")
    after = Server(before.store, before.clock)
    await after.service.start()
    found = await after.service.get(view.id)
    assert (found.state, found.locked, found.guest_pin, found.seats_taken) == ("running", True, "1111", 0)
    (again,) = (await after.service.participants(view.id)).items
    assert (again.id, again.state, again.muted) == (anna.id, "left", True)
    after.phones.incoming("200*1111")
    assert refused(after) == (403, "The conference is locked")


async def test_how_a_conference_sounds_survives_a_restart_and_so_do_gains() -> None:
    before = Server()
    view = await room(before, talkers=3, silence_music=True)
    vera = await before.service.add_participant(view.id, s.AddParticipant(number="375293333333"), by="op")
    await before.service.gain(view.id, vera.id, s.SetGain(talk_gain_db=6, levelling=False), by="op")
    await before.service.set_sound(view.id, s.SetSound(levelling=False), by="op")
    after = Server(before.store, before.clock)
    await after.service.start()
    again = await after.service.get(view.id)
    assert (again.levelling, again.talkers, again.silence_music) == (False, 3, True)
    person = await after.service.participant(view.id, vera.id)
    assert (person.talk_gain_db, person.levelling) == (6, False)
    after.phones.join("200", "375293333333")
    assert after.media.rooms[view.id] == RoomSettings(talkers=3, levelling=False, silence_music=True)
    (adjusted,) = after.media.adjusted.values()
    assert (adjusted["talk_gain_db"], adjusted["levelling"]) == (6, False)


async def test_a_leg_cut_off_by_a_crash_gets_its_end_from_the_next_server() -> None:
    before = Server()
    await room(before)
    before.phones.join("200")
    before.clock.now += 50
    before.phones.incoming("999")
    after = Server(before.store, before.clock)
    before.clock.now += 5000
    await after.service.start()
    (cdr,) = after.store.cdrs()
    assert cdr.end_kind == "server_stopped"
    assert cdr.ended == datetime.fromtimestamp(START, UTC)


async def test_what_was_missed_while_no_server_ran_is_done_at_the_start() -> None:
    before = Server()
    over = await room(before, number="201", duration_minutes=10)
    due = await room(before, number="202", start=datetime.fromtimestamp(START + 600, UTC))
    before.clock.now += 1200
    after = Server(before.store, before.clock)
    await after.service.start()
    assert (await after.service.get(over.id)).state == "ended"
    assert (await after.service.get(due.id)).state == "waiting"
    after.phones.incoming("201")
    assert refused(after)[0] == 410
    after.phones.join("202")


async def test_stopping_says_goodbye_to_all_and_refuses_new_calls() -> None:
    server = Server()
    view = await room(server)
    calls = [server.phones.join("200", f"37529000000{index}") for index in range(3)]
    await server.service.stop("The server is being stopped")
    assert [entry[1:] for entry in server.phones.done if entry[0] == "hang_up"] == [
        (call, "The server is being stopped") for call in calls
    ]
    assert {cdr.end_kind for cdr in server.store.cdrs()} == {"server_stopped"}
    assert all(cdr.media for cdr in server.store.cdrs())
    server.phones.incoming("200")
    assert refused(server)[0] == 503
    assert (await server.service.get(view.id)).state == "running"
    stopping = server.store.kinds().index("server.stopping")
    assert server.store.log[stopping].data == {"reason": "The server is being stopped", "calls": 3}
    assert server.store.kinds().index("participant.left") > stopping
    with pytest.raises(UnavailableError):
        await server.service.end(view.id, by="op")
    with pytest.raises(UnavailableError):
        await create(server)


async def test_a_planned_conference_is_taken_up_by_the_next_server_and_starts_to_the_second() -> None:
    before = Server()
    due = await room(before, start=datetime.fromtimestamp(START + 600, UTC))
    await before.service.stop()
    after = Server(before.store, before.clock)
    await after.service.start()
    assert (await after.service.get(due.id)).state == "planned"
    after.pass_time(599)
    assert (await after.service.get(due.id)).state == "planned"
    after.pass_time(1)
    assert (await after.service.get(due.id)).state == "waiting"
    (started,) = [event for event in after.store.log if event.kind == "conference.started"]
    assert started.time == datetime.fromtimestamp(START + 600, UTC)


async def test_remembered_numbers_of_ended_conferences_are_bounded() -> None:
    server = Server()
    for number in range(MAX_ENDED_NUMBERS + 5):
        server.service.registry._remember_ended(str(number))
    assert len(server.service.registry._ended_numbers) == MAX_ENDED_NUMBERS
    server.phones.incoming("0")
    assert refused(server)[0] == 404


# --- numbers and deadlines -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("+375 29 123-45-67", "375291234567"),
        ("(029) 123.45.67", "0291234567"),
        ("tel:+375-29-1234567;ext=5", "375291234567"),
        ("sip:vera@example.org:5070", "sip:vera@example.org:5070"),
        ("*101#", "*101#"),
    ],
)
def test_s4_numbers_lose_their_spelling(text: str, number: str) -> None:
    assert normalise(text) == number


def test_made_up_numbers_are_free_and_not_easy_to_guess() -> None:
    draws = iter([0, 11111, 23456, 104826, 104827])
    assert make_number(6, {"204826"}.__contains__, lambda bound: next(draws)) == "204827"
    draws = iter([123456, 482913, 7])
    assert make_pin(6, "482913", lambda bound: next(draws, 913824)) == "913824"
    assert make_pin(4, None, lambda bound: 907) == "0907"


@pytest.mark.parametrize("digits", ["111111", "123456", "987654", "121212", "123123", "890123", "200017"])
def test_easy_sequences_are_recognised(digits: str) -> None:
    assert is_easy(digits)


def test_a_schedule_gives_what_is_due_in_order_and_forgets_what_moved() -> None:
    schedule = Schedule()
    schedule.set("b", 2)
    schedule.set("a", 1)
    schedule.set("c", 3)
    schedule.set("a", 5)
    schedule.set("c", None)
    assert schedule.next() == 2
    assert schedule.take(5) == ["b", "a"]
    assert (schedule.next(), len(schedule)) == (None, 0)
    for when in range(1000):
        schedule.set("x", when)
    assert len(schedule._heap) < 100
