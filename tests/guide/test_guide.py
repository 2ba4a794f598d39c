"""The voice guide: every branch, in virtual time."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest

from control.guide import messages as m
from control.guide.guide import ANSWER_SECONDS, MAX_AHEAD, MAX_ENTRY, MAX_SPEECH, Patience
from control.guide.phrase import phrase
from control.guide.table import State
from control.modes import Mode
from control.participant import Role
from tests.guide.caller import CHAIR, GUEST, LANGUAGES, Caller, Directory

MINSK = timezone(timedelta(hours=3))


def test_b1_a_caller_is_greeted_asked_and_let_in() -> None:
    caller = Caller()
    assert caller.all == [m.SetLanguage("ru"), m.Say((phrase("greeting"),))]
    assert caller.hear().said() == ["enter-number"]
    assert caller.hear().keys("123456#").said() == ["enter-pin"]
    assert caller.hear().keys("2222#").said() == ["alone"]
    assert caller.hear().outcome() == m.Enter("c1", Role.GUEST, None)
    assert caller.guide.timer() is None


def test_b1_a_key_interrupts_what_is_said_and_counts() -> None:
    caller = Caller().keys("1")
    assert caller.state is State.NUMBER
    assert caller.all[2:] == [m.Hush()]
    assert caller.keys("23456#").said() == ["enter-pin"]


def test_b1_a_pause_ends_an_entry_as_hash_does() -> None:
    caller = Caller().hear().keys("123456")
    assert caller.guide.timer() == caller.now + Patience().pause_seconds
    assert caller.wait().said() == ["enter-pin"]


def test_b1_the_language_is_chosen_in_words_of_each_language() -> None:
    caller = Caller(languages=LANGUAGES).hear()
    offer = caller.all[-1]
    assert offer == m.Say(tuple(phrase("language-offer", lang, key=str(i + 1)) for i, lang in enumerate(LANGUAGES)))
    assert caller.keys("3").said() == ["enter-number"]
    assert m.SetLanguage("en") in caller.all
    assert caller.guide.language == "en"


def test_b1_a_line_with_one_language_does_not_ask_for_it() -> None:
    assert Caller().hear().said() == ["enter-number"]


def test_b1_who_chooses_no_language_goes_on_in_the_lines_own() -> None:
    caller = Caller(languages=LANGUAGES).hear().hear()
    assert caller.wait().said() == ["language-offer"] * 3
    assert caller.hear().wait().said() == ["enter-number"]
    assert caller.guide.language == "ru"


def test_b1_a_wrong_language_key_is_told_and_after_three_the_lines_own_is_taken() -> None:
    caller = Caller(languages=LANGUAGES).hear().keys("9")
    assert caller.said() == ["try-again", *["language-offer"] * 3]
    assert caller.keys("0").said()[0] == "try-again"
    assert caller.keys("#").said() == ["enter-number"]


def test_an_offer_of_languages_that_is_given_up_is_not_said_on() -> None:
    caller = Caller(languages=LANGUAGES, conference="123456", slow_answers=True).hear().keys("000")
    assert caller.all[-2:] == [m.Hush(), m.Lookup("123456")]


def test_b1_star_repeats_the_languages() -> None:
    caller = Caller(languages=LANGUAGES).hear()
    for _ in range(5):
        assert caller.keys("*").said() == ["language-offer"] * 3


def test_b1_star_clears_an_entry() -> None:
    caller = Caller().hear().keys("9999*")
    assert caller.said() == ["input-cleared"]
    assert caller.keys("123456#").said() == ["enter-pin"]


def test_b1_star_on_nothing_goes_back() -> None:
    caller = Caller(languages=LANGUAGES).keys("1123456#")
    assert caller.state is State.PIN
    assert caller.keys("*").state is State.NUMBER
    assert caller.keys("*").state is State.LANGUAGE
    assert caller.keys("2").guide.language == "be"


def test_b1_star_on_nothing_says_the_question_again_where_there_is_none_before() -> None:
    assert Caller().hear().keys("*").said() == ["enter-number"]
    own = Caller(conference="123456").hear()
    assert own.keys("*").said() == ["enter-pin"]


def test_b1_hash_alone_is_no_entry() -> None:
    caller = Caller().hear().keys("#")
    assert caller.said() == ["no-input", "enter-number"]
    assert caller.keys("#").said() == ["no-input", "goodbye"]


@pytest.mark.parametrize("keys", ["", "123456#"])
def test_b1_silence_is_answered_with_the_question_again_and_then_goodbye(keys: str) -> None:
    caller = Caller().hear().keys(keys)
    question = caller.said()
    asked = caller.hear().now
    assert caller.guide.timer() == asked + Patience().answer_seconds
    assert caller.wait().said() == ["no-input", *question]
    assert caller.hear().wait().said() == ["no-input", "goodbye"]
    assert caller.hear().outcome() == m.HangUp(m.EndReason.NO_INPUT)


def test_b1_a_key_after_a_silence_starts_patience_anew() -> None:
    caller = Caller().hear().hear().wait().keys("9*")
    assert caller.hear().wait().said() == ["no-input", "enter-number"]


def test_b1_a_wrong_number_may_be_tried_three_times() -> None:
    caller = Caller().hear()
    for left in (2, 1):
        caller.keys("999999#").settle()
        assert phrase("attempts-left", count=left) in [p for o in caller.all if isinstance(o, m.Say) for p in o.phrases]
        assert caller.said() == ["number-unknown", "attempts-left", "enter-number"]
    caller.keys("999999#").wait()
    assert caller.said() == ["number-unknown", "too-many-attempts"]
    assert caller.hear().outcome() == m.HangUp(m.EndReason.WRONG_NUMBER)


@pytest.mark.parametrize("need", list(m.PinNeed))
def test_b1_a_wrong_pin_may_be_tried_three_times_even_by_way_of_the_number(need: m.PinNeed) -> None:
    caller = Caller(directory=Directory(need)).hear()
    caller.keys("123456#9999#").settle()
    assert caller.said()[:2] == ["pin-wrong", "attempts-left"]
    caller.keys("*").keys("123456#9999#").settle()
    caller.keys("9999#").wait()
    assert caller.said() == ["pin-wrong", "too-many-attempts"]
    assert caller.hear().outcome() == m.HangUp(m.EndReason.WRONG_PIN)


def test_the_answer_to_a_wrong_pin_is_delayed_and_keys_meanwhile_do_not_count() -> None:
    caller = Caller().hear().keys("123456#9999#")
    assert caller.state is State.HOLDING
    assert caller.guide.timer() == caller.now + 1.0
    assert caller.keys("22#", apart=0.2).state is State.HOLDING
    assert caller.wait().said() == ["pin-wrong", "attempts-left", "enter-pin"]


def test_what_was_typed_ahead_of_a_mistake_is_dropped() -> None:
    caller = Caller(slow_answers=True).hear().keys("999999#2222#")
    caller.answer()
    caller.wait()
    assert caller.asked == []
    assert caller.said() == ["number-unknown", "attempts-left", "enter-number"]


def test_b2_the_chairs_pin_gives_the_chairs_role() -> None:
    caller = Caller().keys("123456#1111#")
    assert caller.said() == ["welcome-chair", "alone"]
    assert caller.hear().outcome() == m.Enter("c1", Role.CHAIR, None)


def test_b2_where_guests_need_no_pin_hash_or_silence_is_enough_and_the_chair_gives_his() -> None:
    directory = Directory(m.PinNeed.OPTIONAL)
    assert Caller(directory=directory).keys("123456#").said() == ["enter-pin-or-skip"]
    hash_only = Caller(directory=directory).keys("123456##").hear()
    assert hash_only.outcome() == m.Enter("c1", Role.GUEST, None)
    silent = Caller(directory=directory).keys("123456#").hear().wait().hear()
    assert silent.outcome() == m.Enter("c1", Role.GUEST, None)
    chair = Caller(directory=directory).keys("123456#1111#").hear()
    assert chair.outcome() == m.Enter("c1", Role.CHAIR, None)
    assert Caller(directory=directory).keys("123456#*").said() == ["enter-number"]
    assert Caller(directory=directory).keys("123456#11*").said() == ["input-cleared"]


def test_b3_a_call_to_the_conferences_own_number_is_not_asked_for_the_number() -> None:
    caller = Caller(conference="123456").hear()
    assert m.Lookup("123456") in caller.all
    assert caller.said() == ["enter-pin"]
    assert caller.keys("2222#").hear().outcome() == m.Enter("c1", Role.GUEST, None)


def test_b3_with_several_languages_the_own_number_asks_for_the_language_first() -> None:
    caller = Caller(conference="123456", languages=LANGUAGES).keys("2")
    assert caller.guide.language == "be"
    assert caller.said() == ["enter-pin"]


def test_b3_an_own_number_that_is_nobodys_any_more_ends_the_call() -> None:
    caller = Caller(conference="999999").hear()
    assert caller.said() == ["number-unknown", "goodbye"]
    assert caller.hear().outcome() == m.HangUp(m.EndReason.WRONG_NUMBER)


def test_n4_a_personal_pin_finds_conference_and_person_at_once() -> None:
    caller = Caller().keys("77777777#").hear()
    assert caller.outcome() == m.Enter("c1", Role.GUEST, "p7")


@pytest.mark.parametrize(
    ("refusal", "said"),
    [
        (m.Refusal.LOCKED, ["locked", "goodbye"]),
        (m.Refusal.FULL, ["full", "goodbye"]),
        (m.Refusal.ENDED, ["ended", "goodbye"]),
        (m.Refusal.NOT_ADMITTED, ["refused"]),
        (m.Refusal.BLOCKED, ["blocked-for"]),
        (m.Refusal.TROUBLE, ["service-unavailable", "goodbye"]),
        (m.Refusal.NOT_STARTED, ["not-started", "goodbye"]),
    ],
)
def test_b4_why_somebody_is_not_let_in_is_spoken(refusal: m.Refusal, said: list[str]) -> None:
    caller = Caller(directory=Directory(guest=m.Refused(refusal))).keys("123456#2222#")
    assert caller.said() == said
    assert caller.keys("1#").state is State.GOODBYE
    assert caller.hear().outcome() == m.HangUp(m.EndReason(refusal.value))


@pytest.mark.parametrize(
    ("minutes", "key"),
    [(20, "starts-in"), (3 * 60, "starts-today"), (24 * 60, "starts-tomorrow"), (72 * 60, "starts-on")],
)
def test_b4_when_the_conference_starts_is_spoken_in_its_own_time_zone(minutes: int, key: str) -> None:
    caller = Caller(now=datetime(2026, 11, 22, 10, 0, tzinfo=MINSK).timestamp())
    starts = datetime.fromtimestamp(caller.now, MINSK) + timedelta(minutes=minutes)
    caller.tell(m.Refused(m.Refusal.NOT_STARTED, starts=starts))
    assert caller.said() == ["not-started", key, "call-then"]


def test_b4_a_number_whose_conference_has_ended_leaves_room_for_another() -> None:
    caller = Caller(directory=Directory(numbers={"555555": m.Refused(m.Refusal.ENDED)})).keys("555555#")
    assert caller.said() == ["ended", "attempts-left", "enter-number"]
    assert caller.keys("123456#").said() == ["enter-pin"]
    own = Caller(conference="555555", directory=Directory(numbers={"555555": m.Refused(m.Refusal.ENDED)})).hear()
    assert own.said() == ["ended", "goodbye"]


def test_b4_b6_a_guest_waits_for_the_chair_with_music_and_goes_in_with_him() -> None:
    wait = m.Granted("c1", Role.GUEST, wait=m.Wait.CHAIR)
    caller = Caller(directory=Directory(guest=wait)).keys("123456#2222#")
    assert (caller.said(), caller.all[-1]) == (["waiting-chair"], m.WaitForChair("c1"))
    assert caller.hear().wait().said() == ["waiting-chair-still"]
    before = len(caller.all)
    caller.tell(wait)
    assert (caller.state, len(caller.all)) == (State.WAITING_CHAIR, before)
    caller.tell(m.Granted("c1", Role.GUEST, others=1))
    assert caller.said() == ["chair-arrived", "count"]
    assert caller.hear().outcome() == m.Enter("c1", Role.GUEST, None)


@pytest.mark.parametrize(
    ("wait", "said", "reason"),
    [
        (m.Wait.CHAIR, "waiting-chair-over", m.EndReason.CHAIR_DID_NOT_COME),
        (m.Wait.ROOM, "waiting-room-over", m.EndReason.WAITED_TOO_LONG),
    ],
)
def test_nobody_waits_for_ever(wait: m.Wait, said: str, reason: m.EndReason) -> None:
    caller = Caller(directory=Directory(guest=m.Granted("c1", Role.GUEST, wait=wait))).keys("123456#2222#")
    begin = caller.now
    caller.to_the_end()
    assert caller.said() == [said]
    assert caller.outcome() == m.HangUp(reason)
    assert Patience().wait_seconds <= caller.now - begin <= Patience().wait_seconds + 5


def test_n5_a_phone_waits_in_the_waiting_room_until_it_is_admitted() -> None:
    room = m.Granted("c1", Role.GUEST, wait=m.Wait.ROOM)
    caller = Caller(directory=Directory(guest=room)).keys("123456#2222#")
    assert (caller.said(), caller.all[-1]) == (["waiting-room"], m.WaitInRoom("c1"))
    caller.hear().keys("5#").wait()
    assert caller.said() == ["waiting-room-still"]
    caller.tell(m.Granted("c1", Role.GUEST, others=2))
    assert caller.said() == ["admitted", "count"]


def test_n5_who_is_refused_in_the_waiting_room_is_told() -> None:
    caller = Caller(directory=Directory(guest=m.Granted("c1", Role.GUEST, wait=m.Wait.ROOM))).keys("123456#2222#")
    caller.tell(m.Refused(m.Refusal.NOT_ADMITTED))
    assert caller.said() == ["refused"]


def test_n5_who_waited_for_the_chair_may_have_to_wait_for_being_admitted() -> None:
    caller = Caller(directory=Directory(guest=m.Granted("c1", Role.GUEST, wait=m.Wait.CHAIR))).keys("123456#2222#")
    caller.tell(m.Granted("c1", Role.GUEST, wait=m.Wait.ROOM))
    assert (caller.state, caller.all[-1]) == (State.WAITING_ROOM, m.WaitInRoom("c1"))
    caller.to_the_end()
    assert caller.outcome() == m.HangUp(m.EndReason.WAITED_TOO_LONG)


def test_both_waits_together_have_one_limit() -> None:
    caller = Caller(directory=Directory(guest=m.Granted("c1", Role.GUEST, wait=m.Wait.CHAIR))).keys("123456#2222#")
    begin = caller.now
    for _ in range(20):
        caller.hear().wait()
    caller.tell(m.Granted("c1", Role.GUEST, wait=m.Wait.ROOM))
    caller.to_the_end()
    assert caller.now - begin <= Patience().wait_seconds + 5


def test_b5_the_name_is_recorded_until_hash_and_star_begins_again() -> None:
    caller = Caller(directory=Directory(guest=m.Granted("c1", Role.GUEST, record_name=True))).keys("123456#2222#")
    assert caller.said() == ["name-record"]
    assert caller.hear().all[-1] == m.RecordName(Patience().name_seconds)
    caller.keys("*")
    assert caller.all[-2] == m.StopRecording(keep=False)
    assert caller.said() == ["name-record"]
    caller.keys("#")
    assert caller.all[-2:] == [m.Hush(), m.RecordName(Patience().name_seconds)]
    caller.keys("5").keys("#")
    assert caller.all[-2] == m.StopRecording(keep=True)
    assert caller.said() == ["alone"]


def test_b5_the_recording_ends_by_itself_or_by_its_owner() -> None:
    asked = Directory(guest=m.Granted("c1", Role.GUEST, record_name=True))
    by_time = Caller(directory=asked).keys("123456#2222#").hear().wait()
    assert m.StopRecording(keep=True) in by_time.all
    by_owner = Caller(directory=asked).keys("123456#2222#").hear().recorded()
    assert (by_owner.said(), by_owner.state) == (["alone"], State.ENTERING)


def test_b5_who_comes_while_a_name_is_being_recorded_spares_the_wait() -> None:
    wait = m.Granted("c1", Role.GUEST, wait=m.Wait.CHAIR, record_name=True)
    caller = Caller(directory=Directory(guest=wait)).keys("123456#2222#").hear()
    caller.tell(m.Granted("c1", Role.GUEST, others=1))
    assert caller.keys("#").said() == ["count"]


def test_b5_a_conference_that_ends_while_a_name_is_recorded_ends_that_too() -> None:
    asked = Directory(guest=m.Granted("c1", Role.GUEST, record_name=True))
    caller = Caller(directory=asked).keys("123456#2222#").hear()
    caller.tell(m.Refused(m.Refusal.ENDED))
    assert caller.all[-2] == m.StopRecording(keep=False)
    assert caller.said() == ["ended", "goodbye"]


@pytest.mark.parametrize(
    ("grant", "said"),
    [
        (GUEST, [phrase("alone")]),
        (m.Granted("c1", Role.GUEST, others=4), [phrase("count", count=5)]),
        (m.Granted("c1", Role.GUEST, recorded=True), [phrase("recorded"), phrase("alone")]),
        (m.Granted("c1", Role.GUEST, muted_on_entry=True), [phrase("alone"), phrase("muted-on-entry", key="*6")]),
        (m.Granted("c1", Role.GUEST, muted_by_chair=True), [phrase("alone"), phrase("muted-by-chair")]),
        (m.Granted("c1", Role.GUEST, mode=Mode.LECTURE), [phrase("alone"), phrase("mode-lecture")]),
        (m.Granted("c1", Role.GUEST, mode=Mode.QUESTIONS), [phrase("alone"), phrase("mode-questions", key="*9")]),
        (m.Granted("c1", Role.CHAIR, mode=Mode.LECTURE), [phrase("welcome-chair"), phrase("alone")]),
    ],
)
def test_b8_n7_who_comes_in_is_told_what_he_comes_into(grant: m.Granted, said: list[object]) -> None:
    caller = Caller(directory=Directory(guest=grant)).keys("123456#2222#")
    assert caller.all[-1] == m.Say(tuple(said), interruptible=not grant.recorded)  # type: ignore[arg-type]


def test_n7_that_the_conference_is_recorded_cannot_be_skipped() -> None:
    skipping = Caller().keys("123456#2222#").keys("5")
    assert skipping.state is State.IN
    assert skipping.all[-2] == m.Hush()
    recorded = Directory(guest=m.Granted("c1", Role.GUEST, recorded=True))
    caller = Caller(directory=recorded).keys("123456#2222#").keys("5")
    assert caller.state is State.ENTERING
    assert caller.hear().state is State.IN


def test_a_conference_that_ends_before_one_is_in_says_so() -> None:
    caller = Caller().keys("123456#2222#")
    caller.tell(m.Refused(m.Refusal.ENDED))
    assert caller.said() == ["ended", "goodbye"]


def test_typed_ahead_keys_serve_the_questions_to_come() -> None:
    caller = Caller(languages=LANGUAGES, slow_answers=True).keys("3123456#1111#")
    assert caller.asked == [m.Lookup("123456")]
    caller.answer()
    assert caller.outcome() == m.Say((phrase("welcome-chair"), phrase("alone")))
    assert "enter-pin" not in [p.key for o in caller.all if isinstance(o, m.Say) for p in o.phrases]


def test_part_of_an_entry_typed_ahead_is_gone_on_with() -> None:
    caller = Caller(slow_answers=True).keys("123456#22")
    caller.answer()
    assert caller.keys("22#").asked == [m.CheckPin("c1", "2222")]


def test_only_so_many_keys_are_kept_ahead() -> None:
    caller = Caller(slow_answers=True).keys("123456#" + "5*" * (MAX_AHEAD // 2) + "2222#", apart=0.01)
    caller.answer()
    assert (caller.state, caller.asked) == (State.PIN, [])


def test_an_overlong_entry_is_taken_for_finished() -> None:
    caller = Caller(slow_answers=True).keys("9" * (MAX_ENTRY + 5))
    assert caller.asked == [m.Lookup("9" * MAX_ENTRY)]


def test_no_answer_from_the_directory_ends_the_call_with_an_excuse() -> None:
    caller = Caller(slow_answers=True).keys("123456#")
    assert caller.guide.timer() == caller.now + ANSWER_SECONDS
    assert caller.wait().said() == ["service-unavailable", "goodbye"]
    caller.answer()
    assert caller.hear().outcome() == m.HangUp(m.EndReason.TROUBLE)


def test_a_prompt_whose_end_is_never_reported_does_not_hold_the_call() -> None:
    caller = Caller()
    caller.now += MAX_SPEECH
    caller.wait()
    assert caller.said() == ["enter-number"]


def test_all_questions_together_have_a_limit() -> None:
    caller = Caller(patience=Patience(limit_seconds=60)).hear()
    for _ in range(40):
        caller.keys("1*", apart=1.0)
    assert caller.said() == ["time-up", "goodbye"]
    assert caller.hear().outcome() == m.HangUp(m.EndReason.TIME_OVER)


def test_what_was_due_before_a_key_is_done_before_it() -> None:
    caller = Caller().hear().keys("123456")
    caller.keys("9", apart=Patience().pause_seconds + 1)
    assert caller.state is State.PIN
    assert [o for o in caller.all if isinstance(o, m.Lookup)] == [m.Lookup("123456")]


def test_answers_that_make_no_sense_now_are_ignored() -> None:
    caller = Caller()
    for answer in (m.NotFound(), m.WrongPin(), m.Found("c1", m.PinNeed.REQUIRED), CHAIR):
        caller.tell(answer)
    assert caller.state is State.GREETING
    ended = Caller().keys("123456#2222#").hear()
    ended.tell(CHAIR)
    ended.tell(m.Refused(m.Refusal.ENDED))
    ended.keys("123#").recorded()
    assert ended.outcome() == m.Enter("c1", Role.GUEST, None)


def test_keys_a_to_d_mean_nothing() -> None:
    assert Caller().keys("ABCDabcd").state is State.GREETING
