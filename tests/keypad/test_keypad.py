"""The keypad in a conference: sequences, commands and replies, in virtual time."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from control.guide.phrase import phrase
from control.keypad.keymap import Function, make_keymap
from control.keypad.keypad import MAX_NUMBER, KeypadSettings
from control.keypad.messages import About, Act, Reply
from control.modes import Mode, Why
from control.participant import Role
from tests.keypad.phone import Phone, commands, said

CHAIR, GUEST = Role.CHAIR, Role.GUEST


@pytest.mark.parametrize(
    ("keys", "standing", "command", "reply"),
    [
        ("*6", {}, "participant.self_mute", ["muted"]),
        ("*6", {"self_muted": True}, "participant.self_unmute", ["unmuted"]),
        ("*9", {"hands": 2}, "participant.raise_hand", ["hand-up", "hand-place"]),
        ("*9", {"hand_up": True}, "participant.lower_hand", ["hand-down"]),
        ("*9", {"has_floor": True}, "participant.yield_floor", []),
        ("*2", {}, "participant.gain", ["quieter"]),
        ("*3", {}, "participant.gain", ["louder"]),
    ],
)
def test_b31_what_everybody_can_do(keys: str, standing: dict[str, Any], command: str, reply: list[str]) -> None:
    out = Phone(**standing).keys(keys)
    assert (commands(out), said(out)) == ([command], reply)
    assert isinstance(out[0], Act)
    assert out[0].about is About.SELF


@pytest.mark.parametrize(
    ("keys", "standing", "command", "reply"),
    [
        ("*5", {}, "conference.lock", ["lock-on"]),
        ("*5", {"locked": True}, "conference.unlock", ["lock-off"]),
        ("99", {}, "conference.mute_all", ["mute-all-on"]),
        ("99", {"all_muted": True}, "conference.unmute_all", ["mute-all-off"]),
        ("*7", {}, "conference.record_start", []),
        ("*7", {"recording": True}, "conference.record_stop", []),
        ("*98", {}, "conference.extend", ["extended"]),
        ("*81", {}, "conference.roll_call", []),
        ("*82", {"waiting": 1}, "conference.admit_next", ["admitted-one"]),
        ("*83", {"waiting": 2}, "conference.admit_all", ["admitted-all"]),
        ("*84", {"waiting": 1}, "conference.refuse_next", ["refused-one"]),
        ("*85", {}, "conference.set_mode", ["mode-questions"]),
        ("*85", {"mode": Mode.QUESTIONS}, "conference.set_mode", ["mode-lecture"]),
        ("*85", {"mode": Mode.LECTURE}, "conference.set_mode", ["mode-conversation"]),
        ("*86", {"hands": 1}, "conference.give_floor", ["floor-passed"]),
        ("*87", {"floor_held": True}, "conference.take_floor", ["floor-free"]),
    ],
)
def test_b31_n16_what_the_chair_can_do(keys: str, standing: dict[str, Any], command: str, reply: list[str]) -> None:
    out = Phone(CHAIR, **standing).keys(keys)
    assert (commands(out), said(out)) == ([command], reply)
    assert isinstance(out[0], Act)
    assert out[0].about is About.CONFERENCE


@pytest.mark.parametrize(
    ("keys", "standing", "reply"),
    [
        ("*#", {"participants": 1}, [phrase("alone-now")]),
        ("*#", {"participants": 7}, [phrase("count", count=7)]),
        ("*80", {"seconds_left": 90.0}, [phrase("time-left", left=90.0)]),
        ("*2", {"listen_gain_db": -12.0}, [phrase("quietest")]),
        ("*3", {"listen_gain_db": 12.0}, [phrase("loudest")]),
        ("*82", {}, [phrase("knock-none")]),
        ("*83", {}, [phrase("knock-none")]),
        ("*84", {}, [phrase("knock-none")]),
        ("*86", {}, [phrase("hands-none")]),
        ("*86", {"hands": 1, "mode": Mode.LECTURE}, [phrase("mode-lecture")]),
        ("*87", {}, [phrase("floor-free")]),
    ],
)
def test_what_needs_no_command_is_a_reply(keys: str, standing: dict[str, Any], reply: list[object]) -> None:
    assert Phone(CHAIR, **standing).keys(keys) == [Reply(tuple(reply))]  # type: ignore[arg-type]


def test_the_place_in_the_queue_is_told() -> None:
    out = Phone(hands=2).keys("*9")
    assert isinstance(out[0], Act)
    assert out[0].reply[1] == phrase("hand-place", place=3)


def test_volume_goes_in_steps_to_its_bounds() -> None:
    phone = Phone(listen_gain_db=10.0)
    (louder,) = phone.keys("*3")
    assert isinstance(louder, Act)
    assert louder.values == (("listen_gain_db", 12.0),)


@pytest.mark.parametrize(
    ("why", "reply"),
    [
        (Why.CHAIR, "muted-chair-only"),
        (Why.LISTEN_ONLY, "muted-chair-only"),
        (Why.ALL_MUTED, "muted-chair-only"),
        (Why.LECTURE, "mode-lecture"),
        (Why.QUESTIONS, "mode-questions"),
    ],
)
def test_n2_the_chairs_mute_and_the_mode_win_over_ones_own_key_and_the_reply_says_so(why: Why, reply: str) -> None:
    out = Phone(why_unheard=why).keys("*6")
    assert (commands(out), said(out)) == ([], [reply])


def test_n2_who_is_muted_twice_takes_his_own_off_and_is_told_of_the_chairs() -> None:
    out = Phone(why_unheard=Why.CHAIR, self_muted=True).keys("*6")
    assert (commands(out), said(out)) == (["participant.self_unmute"], ["muted-chair-only"])


def test_n2_a_chair_is_never_stuck_muted() -> None:
    out = Phone(CHAIR, why_unheard=Why.CHAIR).keys("*6")
    assert (commands(out), said(out)) == (["participant.unmute"], ["unmuted"])
    twice = Phone(CHAIR, why_unheard=Why.CHAIR, self_muted=True).keys("*6")
    assert commands(twice) == ["participant.self_unmute", "participant.unmute"]


def test_without_a_key_for_the_hand_the_questions_mode_names_none() -> None:
    phone = Phone(changes={"hand": ""}, why_unheard=Why.QUESTIONS)
    assert said(phone.keys("*6")) == ["muted-chair-only"]


def test_a_sequence_that_begins_another_counts_after_a_pause() -> None:
    phone = Phone(CHAIR)
    assert phone.keys("*9") == []
    assert phone.pad.timer() == phone.now + KeypadSettings().pause_seconds
    assert commands(phone.wait()) == ["participant.raise_hand"]
    assert commands(phone.keys("*98")) == ["conference.extend"]


def test_a_guest_does_not_wait_for_a_longer_sequence_that_he_does_not_have() -> None:
    assert commands(Phone().keys("*9")) == ["participant.raise_hand"]


def test_a_sequence_ended_by_the_next_one_counts_before_it() -> None:
    assert commands(Phone(CHAIR).keys("*9*5")) == ["participant.raise_hand", "conference.lock"]
    assert commands(Phone(CHAIR, changes={"lock": "5"}).keys("*95")) == ["participant.raise_hand", "conference.lock"]


def test_star_in_the_middle_begins_anew() -> None:
    phone = Phone()
    assert phone.keys("*8") == []
    assert commands(phone.keys("*6")) == ["participant.self_mute"]


def test_a_slow_key_begins_a_new_sequence() -> None:
    out = Phone(CHAIR).keys("*98", apart=2.0)
    assert (commands(out), said(out)) == ([], ["key-unknown"])


def test_an_unknown_sequence_is_answered_with_the_key_for_help() -> None:
    assert Phone(CHAIR).keys("*88") == [Reply((phrase("key-unknown", key="*0"),))]
    assert said(Phone(CHAIR, changes={"help": ""}).keys("*88")) == ["key-failed"]


def test_keys_without_star_that_mean_nothing_are_passed_over() -> None:
    phone = Phone(CHAIR)
    assert phone.keys("123#ABCD") == []
    assert phone.keys("959") == []
    assert commands(phone.keys("9")) == ["conference.mute_all"]
    assert phone.keys("9") == []
    assert phone.wait() == []


def test_the_chairs_keys_are_refused_to_guests() -> None:
    for keys in ("*5", "*81", "*1"):
        assert said(Phone().keys(keys)) == ["key-not-allowed"], keys


def test_a_new_role_has_its_keys_at_once() -> None:
    phone = Phone()
    assert said(phone.keys("*5")) == ["key-not-allowed"]
    assert phone.keys("*") == []
    phone.stand(role=CHAIR)
    assert commands(phone.keys("5")) == ["conference.lock"]
    phone.keys("*8")
    phone.stand(role=GUEST)
    assert said(phone.keys("1")) == ["key-not-allowed"]


def test_ending_the_conference_asks_for_the_same_keys_once_more() -> None:
    phone = Phone(CHAIR)
    assert phone.keys("*4") == [Reply((phrase("end-confirm", key="*4"),))]
    assert commands(phone.keys("*4")) == ["conference.end"]


def test_ending_is_dropped_after_a_while_or_by_another_command() -> None:
    phone = Phone(CHAIR)
    phone.keys("*4")
    assert said(phone.wait()) == ["key-cancelled"]
    assert said(phone.keys("*4")) == ["end-confirm"]
    assert commands(phone.keys("*5")) == ["conference.lock"]
    assert said(phone.keys("*4")) == ["end-confirm"]
    assert commands(phone.keys("*1375#")) == ["conference.invite_number"]
    assert said(phone.keys("*4")) == ["end-confirm"]


def test_a_slip_while_ending_is_confirmed_changes_nothing_and_the_wait_still_ends() -> None:
    phone = Phone(CHAIR)
    phone.keys("*4")
    assert phone.keys("5") == []
    assert said(phone.keys("*88")) == ["key-unknown"]
    assert phone.pad.timer() is not None
    assert commands(phone.keys("*4")) == ["conference.end"]
    phone.keys("*45")
    assert said(phone.wait()) == ["key-cancelled"]


def test_n3_the_chair_invites_by_keying_a_number() -> None:
    phone = Phone(CHAIR)
    assert said(phone.keys("*1")) == ["invite-enter"]
    assert said(phone.keys("37*")) == ["input-cleared"]
    (act,) = phone.keys("375291234567#")
    assert act == Act(
        "conference.invite_number",
        values=(("number", "375291234567"),),
        reply=(phrase("invite-calling", number="375291234567"),),
    )
    assert commands(phone.keys("*5")) == ["conference.lock"]


@pytest.mark.parametrize("keys", ["*1#", "*1*"])
def test_an_invitation_without_number_is_cancelled(keys: str) -> None:
    phone = Phone(CHAIR)
    assert said(phone.keys(keys)) == ["invite-enter", "key-cancelled"]
    assert commands(phone.keys("*5")) == ["conference.lock"]


def test_a_number_left_unfinished_calls_nobody() -> None:
    phone = Phone(CHAIR)
    phone.keys("*1375")
    assert phone.pad.timer() == phone.now + KeypadSettings().entry_seconds
    assert said(phone.wait()) == ["key-cancelled"]
    assert phone.keys("#") == []


def test_who_is_no_chair_any_more_invites_nobody() -> None:
    phone = Phone(CHAIR)
    phone.keys("*1375")
    phone.stand(role=GUEST)
    assert said(phone.keys("#")) == ["key-cancelled"]


def test_an_overlong_number_keeps_its_first_digits() -> None:
    phone = Phone(CHAIR)
    phone.keys("*1" + "7" * (MAX_NUMBER + 3))
    (act,) = phone.keys("#")
    assert isinstance(act, Act)
    assert act.values == (("number", "7" * MAX_NUMBER),)


def test_b31_help_reads_the_keys_that_this_role_has() -> None:
    (guest,) = Phone(changes={"mute": "*8#"}).keys("*0")
    assert isinstance(guest, Reply)
    assert guest.phrases[:2] == (phrase("help-intro"), phrase("help-mute", key="*8#"))
    assert "help-lock" not in said([guest])
    (chair,) = Phone(CHAIR, changes={"lock": ""}).keys("*0")
    assert {"help-mute", "help-chair", "help-extend", "help-invite"} <= set(said([chair]))
    assert "help-lock" not in said([chair])
    assert len(said([chair])) == 2 + len(Function) - 1


@given(st.lists(st.tuples(st.sampled_from("0123456789*#A"), st.floats(0, 5)), max_size=40), st.sampled_from(Role))
@settings(max_examples=200, deadline=None)
def test_no_keys_at_any_time_leave_the_keypad_waiting_for_ever(keys: list[tuple[str, float]], role: Role) -> None:
    phone = Phone(role)
    for key, later in keys:
        phone.keys(key, apart=later)
        due = phone.pad.timer()
        assert due is None or due > phone.now
    for _ in range(3):
        if phone.pad.timer() is not None:
            phone.wait()
    assert phone.pad.timer() is None
    assert commands(phone.keys("*6")) == ["participant.self_mute"]


@given(st.sampled_from(Function), st.sampled_from(Role))
@settings(max_examples=60, deadline=None)
def test_every_function_is_reached_by_its_keys(function: Function, role: Role) -> None:
    keymap = make_keymap({})
    phone = Phone(role)
    out = phone.keys(keymap.keys[function])
    if phone.pad.timer() is not None and not out:
        out = phone.wait()
    if function in keymap.of(role):
        assert out
        assert not {"key-unknown", "key-not-allowed"} & set(said(out))
