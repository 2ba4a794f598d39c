"""Outside lines, and what their refusals mean."""

from __future__ import annotations

import pytest

from sip.events import FailureKind
from sip.peer import Peer
from sip.reasons import PHRASES, failure_kind, phrase, words
from sip.trunk import PrefixRule, Trunk, Trunks


def numbers(*rules: PrefixRule, number: str) -> list[str]:
    trunk = Trunk("one", "192.0.2.50", prefixes=rules)
    return [route.uri.partition(":")[2].partition("@")[0] for route in Trunks([trunk]).routes(number)]


def test_b35_number_goes_to_the_trunk_as_it_is_without_rules() -> None:
    (route,) = Trunks([Trunk("one", "192.0.2.50", 5070, from_user="100", user="u", password="p")]).routes(
        "+375291234567"
    )
    assert route.uri == "sip:+375291234567@192.0.2.50:5070"
    assert (route.peer, route.from_user) == (Peer("udp", "192.0.2.50", 5070), "100")
    assert route.client is not None
    assert route.client.user == "u"


def test_b35_prefix_rules_match_strip_and_add() -> None:
    rules = (PrefixRule("80", 2, "+375"), PrefixRule("8", 1, "8"), PrefixRule("00", 2, "+"))
    assert numbers(*rules, number="80291234567") == ["+375291234567"]
    assert numbers(*rules, number="0049301234") == ["+49301234"]
    assert numbers(*rules, number="8123") == ["8123"]


def test_b35_number_no_rule_takes_is_a_wrong_number() -> None:
    assert numbers(PrefixRule("8", 0, ""), number="123") == []
    assert numbers(number="123") == [], "an empty list of rules lets nothing out"
    assert Trunks().routes("123") == []


def test_longest_prefix_of_a_trunk_wins_whatever_the_order() -> None:
    assert numbers(PrefixRule(), PrefixRule("80", 2, "+375"), PrefixRule("8", 1, "7"), number="8029") == ["+37529"]


def test_longest_prefix_wins_over_all_trunks_and_others_follow() -> None:
    home = Trunk("home", "192.0.2.1", prefixes=(PrefixRule("8"),))
    mobile = Trunk("mobile", "192.0.2.2", transport="tcp", prefixes=(PrefixRule("8029", 1, "7"), PrefixRule("99")))
    routes = Trunks([home, mobile]).routes("80291112233")
    assert [(route.trunk.name, route.uri) for route in routes] == [
        ("mobile", "sip:70291112233@192.0.2.2;transport=tcp"),
        ("home", "sip:80291112233@192.0.2.1"),
    ]
    assert routes[0].client is None


@pytest.mark.parametrize("number", ["", "+", "abc", "1 2", "12@evil", "1;x=y", "9" * 33, "٣٤"])
def test_what_is_no_number_goes_nowhere(number: str) -> None:
    assert Trunks([Trunk("one", "192.0.2.50")]).routes(number) == []


def test_a_rule_that_leaves_nothing_goes_nowhere() -> None:
    assert numbers(PrefixRule("9", 5), number="9") == []


def test_star_and_hash_are_dialled_escaped() -> None:
    assert numbers(PrefixRule(), number="*21#") == ["*21%23"]


def test_bad_trunk_tables_are_refused() -> None:
    with pytest.raises(ValueError, match="strip"):
        PrefixRule("8", -1)
    with pytest.raises(ValueError, match="same name"):
        Trunks([Trunk("a", "h"), Trunk("a", "i")])


def test_trunk_password_is_not_shown() -> None:
    assert "hush" not in repr(Trunk("one", "h", user="u", password="hush"))


def test_ipv6_trunk_is_written_in_brackets() -> None:
    (route,) = Trunks([Trunk("six", "2001:db8::5")]).routes("100")
    assert route.uri == "sip:100@[2001:db8::5]"


@pytest.mark.parametrize(
    ("status", "kind"),
    [(486, "busy"), (600, "busy"), (408, "no_answer"), (603, "rejected"), (607, "rejected"), (404, "wrong_number"),
     (484, "wrong_number"), (604, "wrong_number"), (480, "unreachable"), (503, "network"), (500, "network"),
     (403, "forbidden"), (407, "forbidden"), (488, "unsupported"), (487, "cancelled"), (499, "network"),
     (302, "unreachable"), (699, "rejected")],
)  # fmt: skip
def test_n1_every_refusal_has_a_kind_people_understand(status: int, kind: str) -> None:
    assert failure_kind(status) == kind


@pytest.mark.parametrize(
    ("status", "reason", "kind"),
    [
        (503, "Q.850;cause=17;text=\"User busy\"", "busy"),
        (480, "Q.850 ; text=\"no answer\" ; cause=19", "no_answer"),
        (500, "q.850;cause=1", "wrong_number"),
        (480, "Q.850;cause=16", "unreachable"),
        (480, "SIP;cause=486", "unreachable"),
        (486, "Q.850;cause=1", "busy"),
        (480, "Q.850;cause=1x;cause", "wrong_number"),
        (480, "nonsense", "unreachable"),
    ],
)  # fmt: skip
def test_n1_the_telephone_network_s_own_cause_tells_more_than_the_gateway_s_status(
    status: int, reason: str, kind: str
) -> None:
    assert failure_kind(status, [reason]) == kind


def test_every_final_status_and_kind_has_words() -> None:
    for status in [*PHRASES, *range(300, 700)]:
        assert phrase(status)
        if status >= 300:
            assert words(failure_kind(status))
    assert {words(kind) for kind in FailureKind}
