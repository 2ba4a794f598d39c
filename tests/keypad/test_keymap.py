"""Key maps: the default is the mission's, profiles change it, conflicts are one clear line."""

from __future__ import annotations

import pytest

from control.keypad.functions import perform
from control.keypad.keymap import DEFAULT, FOR_ALL, Function, make_keymap
from control.keypad.messages import INTERNAL, Act, Standing
from control.participant import Role


def test_b31_the_default_keys_are_the_missions() -> None:
    wanted = {
        Function.MUTE: "*6", Function.HAND: "*9", Function.COUNT: "*#", Function.HELP: "*0",
        Function.LOCK: "*5", Function.MUTE_ALL: "99", Function.RECORD: "*7", Function.EXTEND: "*98",
        Function.END: "*4", Function.INVITE: "*1",
    }  # fmt: skip
    assert wanted.items() <= make_keymap({}).keys.items()
    assert set(DEFAULT) == set(Function)


def test_b31_a_profile_changes_and_takes_away_keys() -> None:
    keymap = make_keymap({"mute": "*8#", "lock": ""})
    assert keymap.keys[Function.MUTE] == "*8#"
    assert Function.LOCK not in keymap.keys
    assert keymap.keys[Function.HAND] == "*9"


def test_a_guest_has_the_keys_for_all_only() -> None:
    keymap = make_keymap({})
    assert set(keymap.of(Role.GUEST)) == FOR_ALL
    assert set(keymap.of(Role.CHAIR)) == set(Function)


@pytest.mark.parametrize(
    ("changes", "line"),
    [
        ({"mute": "*9"}, r"mute and hand both have the keys \*9"),
        ({"lock": "*15"}, r"lock \(\*15\) cannot be told from invite \(\*1\) and the digits after it"),
        ({"invite": "*9"}, "hand and invite both have the keys"),
        ({"invite": "*"}, r"cannot be told from invite \(\*\)"),
        ({"fly": "*6"}, "fly is no function of the keypad; there are mute, hand"),
        ({"mute": "6a"}, 'mute = "6a" must be 1 to 6 of the keys'),
        ({"mute": "*666666"}, "must be 1 to 6 of the keys"),
    ],
)
def test_b31_a_conflict_is_one_clear_line(changes: dict[str, str], line: str) -> None:
    with pytest.raises(ValueError, match=line) as caught:
        make_keymap(changes)
    assert "\n" not in str(caught.value)


def test_two_functions_may_swap_their_keys() -> None:
    keymap = make_keymap({"mute": "*9", "hand": "*6"})
    assert (keymap.keys[Function.MUTE], keymap.keys[Function.HAND]) == ("*9", "*6")


def test_every_command_of_the_keypad_is_in_the_table_or_named_as_still_missing() -> None:
    from control.commands import COMMANDS

    given = set()
    for function in set(Function) - {Function.INVITE}:
        for standing in (
            Standing(Role.CHAIR, hands=1, waiting=1, floor_held=True),
            Standing(Role.CHAIR, self_muted=True, hand_up=True, locked=True, all_muted=True, recording=True),
            Standing(Role.CHAIR, has_floor=True),
        ):
            outputs = perform(function, standing, make_keymap({}), extend_minutes=30)
            given |= {o.command for o in outputs if isinstance(o, Act)}
    assert given | {"conference.invite_number"} == given & set(COMMANDS) | set(INTERNAL)
