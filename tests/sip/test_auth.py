"""Digest authentication, both sides, and the brake on guessing."""

from __future__ import annotations

import pytest

from sip.auth import AuthError, DigestClient, DigestServer, HashedCredentials, parse_digest
from sip.authenticator import Authenticator
from sip.message import Headers, Request, Response
from sip.peer import Peer
from sip.throttle import Throttle

REALM = "veche.example"
ACCOUNTS = {"1001": HashedCredentials.of("1001", REALM, "right"), "1002": HashedCredentials.of("1002", REALM, "other")}
PEER = Peer("udp", "192.0.2.7", 5060)


def server(**options: int) -> DigestServer:
    return DigestServer(REALM, ACCOUNTS.get, b"secret", **options)


def client(password: str = "right") -> DigestClient:
    return DigestClient("1001", password)


def register(authorization: str | None = None) -> Request:
    headers = Headers([("Via", "SIP/2.0/UDP h"), ("From", "<sip:1001@v>;tag=1"), ("To", "<sip:1001@v>"),
                       ("Call-ID", "c"), ("CSeq", "1 REGISTER")])  # fmt: skip
    if authorization is not None:
        headers.add("Authorization", authorization)
    return Request("REGISTER", "sip:v", headers)


def test_rfc_7616_example_responses() -> None:
    """Section 3.9.1: the same credentials with both algorithms."""
    challenge = (
        'Digest realm="http-auth@example.org", qop="auth, auth-int", algorithm={}, '
        'nonce="7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v", opaque="FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS"'
    )
    expected = {
        "SHA-256": "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1",
        "MD5": "8ca523f5e9506fed4657c9700eebdbec",
    }
    for algorithm, response in expected.items():
        value = DigestClient("Mufasa", "Circle of Life").authorize(
            "GET", "/dir/index.html", [challenge.format(algorithm)], b"", "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"
        )
        fields = parse_digest(value)
        assert fields is not None
        assert (fields["response"], fields["opaque"][:4]) == (response, "FQhe")


def test_rfc_2069_style_response_without_qop() -> None:
    """RFC 2069 section 2.4 as corrected by its erratum 749."""
    value = DigestClient("Mufasa", "CircleOfLife").authorize(
        "GET", "/dir/index.html",
        ['Digest realm="testrealm@host.com", nonce="dcd98b7102dd2f0e8b11d0f600bfb0c093"'], b"", "unused",
    )  # fmt: skip
    assert 'response="1949323746fe6a43ef61f9606e7febea"' in value
    assert "qop" not in value


def test_b35_sha256_is_offered_first_and_preferred() -> None:
    challenges = server().challenge(0.0)
    assert ["SHA-256" in challenges[0], "MD5" in challenges[1]] == [True, True]
    for order in (challenges, challenges[::-1]):
        assert "algorithm=SHA-256" in client().authorize("REGISTER", "sip:v", order, b"", "c")


@pytest.mark.parametrize("algorithm", [0, 1], ids=["SHA-256", "MD5"])
@pytest.mark.parametrize("qop", [True, False])
def test_b35_right_password_signs_in_with_either_algorithm_with_and_without_qop(algorithm: int, qop: bool) -> None:
    digest = server()
    challenge = digest.challenge(0.0)[algorithm]
    challenge = challenge if qop else challenge.replace(', qop="auth"', "")
    result = digest.check("REGISTER", "sip:v", client().authorize("REGISTER", "sip:v", [challenge], b"", "c"), b"", 1.0)
    assert (result.ok, result.account) == (True, "1001")


def test_b35_wrong_password_and_unknown_account_are_told_apart_inside_only() -> None:
    digest = server()
    challenges = digest.challenge(0.0)
    wrong = digest.check(
        "REGISTER", "sip:v", client("bad").authorize("REGISTER", "sip:v", challenges, b"", "c"), b"", 1.0
    )
    nobody = DigestClient("9999", "").authorize("REGISTER", "sip:v", challenges, b"", "c")
    unknown = digest.check("REGISTER", "sip:v", nobody, b"", 1.0)
    assert (wrong.ok, wrong.stale, wrong.reason, wrong.user) == (False, False, "wrong password", "1001")
    assert (unknown.ok, unknown.stale, unknown.reason, unknown.user) == (False, False, "unknown account", "9999")


@pytest.mark.parametrize(
    ("old", "new"),
    [("REGISTER", "INVITE"), ("sip:v", "sip:w"), ("sip:v", "sip:1002@v")],
)
def test_credentials_are_good_for_their_method_and_uri_only(old: str, new: str) -> None:
    digest = server()
    value = client().authorize("REGISTER", "sip:v", digest.challenge(0.0), b"", "c")
    method, uri = "REGISTER".replace(old, new), "sip:v".replace(old, new)
    assert not digest.check(method, uri, value, b"", 1.0).ok


def test_port_and_parameters_of_the_uri_may_differ() -> None:
    digest = server()
    value = client().authorize("REGISTER", "sip:v", digest.challenge(0.0), b"", "c")
    assert digest.check("REGISTER", "sip:V:5080;transport=tcp", value, b"", 1.0).ok


def test_replayed_credentials_are_stale() -> None:
    digest = server()
    value = client().authorize("REGISTER", "sip:v", digest.challenge(0.0), b"", "c")
    assert digest.check("REGISTER", "sip:v", value, b"", 1.0).ok
    again = digest.check("REGISTER", "sip:v", value, b"", 1.0)
    assert (again.ok, again.stale) == (False, True)


def test_nonce_counts_may_arrive_out_of_order_but_once_each() -> None:
    digest, phone = server(), client()
    challenges = digest.challenge(0.0)
    values = [phone.authorize("REGISTER", "sip:v", challenges, b"", "c") for _ in range(100)]

    def ok(number: int) -> bool:
        return digest.check("REGISTER", "sip:v", values[number - 1], b"", 1.0).ok

    assert [ok(n) for n in (1, 3, 2, 2, 3, 1, 80, 79, 20, 16, 17, 17, 100)] == [
        True, True, True, False, False, False, True, True, True, False, True, False, True,
    ]  # fmt: skip


def test_without_qop_a_nonce_is_good_once() -> None:
    digest = server()
    challenge = [digest.challenge(0.0)[1].replace(', qop="auth"', "")]
    value = client().authorize("REGISTER", "sip:v", challenge, b"", "c")
    results = [digest.check("REGISTER", "sip:v", value, b"", 1.0) for _ in range(2)]
    assert [(r.ok, r.stale) for r in results] == [(True, False), (False, True)]


def test_old_nonce_is_stale_only_for_the_right_password() -> None:
    digest = server()
    challenges = digest.challenge(0.0)
    right, wrong = (client(p).authorize("REGISTER", "sip:v", challenges, b"", "c") for p in ("right", "wrong"))
    assert digest.check("REGISTER", "sip:v", right, b"", 301.0).stale
    assert not digest.check("REGISTER", "sip:v", wrong, b"", 301.0).stale


@pytest.mark.parametrize("nonce", ["", "x", "AAAA", "é", "A" * 48, "=" * 48])
def test_foreign_nonce_is_refused(nonce: str) -> None:
    digest = server()
    challenge = f'Digest realm="{REALM}", nonce="{nonce}", qop="auth", algorithm=MD5'
    value = client().authorize("REGISTER", "sip:v", [challenge], b"", "c")
    assert not digest.check("REGISTER", "sip:v", value, b"", 1.0).ok


def test_nonce_of_another_secret_or_realm_is_not_ours() -> None:
    for other in (DigestServer(REALM, ACCOUNTS.get, b"other"), DigestServer("else", ACCOUNTS.get, b"secret")):
        challenge = other.challenge(0.0)[0].replace('realm="else"', f'realm="{REALM}"')
        value = client().authorize("REGISTER", "sip:v", [challenge], b"", "c")
        assert server().check("REGISTER", "sip:v", value, b"", 1.0).stale


def test_a_nonce_pushed_out_of_memory_cannot_be_used_again() -> None:
    digest = server(max_nonces=2)
    values = [client().authorize("REGISTER", "sip:v", digest.challenge(float(t)), b"", "c") for t in range(4)]
    assert [digest.check("REGISTER", "sip:v", v, b"", 5.0).ok for v in values] == [True] * 4
    assert [digest.check("REGISTER", "sip:v", v, b"", 5.0).ok for v in values] == [False] * 4
    fresh = client().authorize("REGISTER", "sip:v", digest.challenge(6.0), b"", "c")
    assert digest.check("REGISTER", "sip:v", fresh, b"", 6.0).ok


@pytest.mark.parametrize(
    "value",
    ["", "Basic Zm9v", "Digest", "Digest realm", f'Digest realm="{REALM}"', f'Digest realm="{REALM}", username="1001"',
     f'Digest realm="{REALM}", username="1001", nonce="n", uri="sip:v", response="é"',
     f'Digest realm="{REALM}", username="1001", nonce="n", uri="sip:v", response="r", algorithm=SHA-512-256',
     f'Digest realm="{REALM}", username="1001", nonce="n", uri="sip:v", response="r", qop=auth-int',
     f'Digest realm="{REALM}", username="1001", nonce="n", uri="sip:v", response="r", qop=auth, nc=1, cnonce="c"',
     f'Digest realm="{REALM}", username="1", nonce="n", uri="sip:v", response="r", qop=auth, nc=00000000, cnonce="c"',
     f'Digest realm="{REALM}", realm="x", username="1001"'],
)  # fmt: skip
def test_malformed_credentials_are_refused_without_an_exception(value: str) -> None:
    result = server().check("REGISTER", "sip:v", value, b"", 0.0)
    assert (result.ok, result.account) == (False, None)
    assert result.reason


def test_credentials_that_say_two_things_are_refused() -> None:
    digest = server()
    value = client().authorize("REGISTER", "sip:v", digest.challenge(0.0), b"", "c")
    assert not digest.check("REGISTER", "sip:v", value + ', username="1002"', b"", 1.0).ok
    assert not digest.check("REGISTER", "sip:v", 'Digest username="1002", ' + value[7:], b"", 1.0).ok


def test_credentials_for_another_realm_beside_ours_do_not_matter() -> None:
    digest = server()
    ours = client().authorize("REGISTER", "sip:v", digest.challenge(0.0), b"", "c")
    theirs = ours.replace(REALM, "other.example")
    assert digest.check("REGISTER", "sip:v", [theirs, ours], b"", 1.0).ok
    assert digest.claimed_user([theirs]) is None


def refused(status: int, *challenges: str) -> Response:
    name = "Proxy-Authenticate" if status == 407 else "WWW-Authenticate"
    return Response(status, headers=Headers([(name, value) for value in challenges]))


def test_client_answers_proxies_and_servers_in_their_own_fields() -> None:
    challenges = server().challenge(0.0)
    assert client().answer(register(), refused(401, *challenges), "c")[0] == "Authorization"
    assert client().answer(register(), refused(407, *challenges), "c")[0] == "Proxy-Authorization"


def test_client_gives_up_when_refused_and_tries_again_when_stale() -> None:
    digest, phone = server(), client()
    tried = register(phone.answer(register(), refused(401, *digest.challenge(0.0)), "c")[1])
    with pytest.raises(AuthError, match="refused"):
        phone.answer(tried, refused(401, *digest.challenge(1.0)), "c")
    assert phone.answer(tried, refused(401, *digest.challenge(1.0, stale=True)), "c")[0] == "Authorization"


@pytest.mark.parametrize(
    "challenges",
    [(), ("Basic realm=x",), ('Digest realm="r", nonce="n", algorithm=MD4',),
     ('Digest realm="r", nonce="n", qop="auth-int"',), ('Digest nonce="n"',)],
)  # fmt: skip
def test_client_says_so_when_it_knows_no_answer(challenges: tuple[str, ...]) -> None:
    with pytest.raises(AuthError):
        client().answer(register(), refused(401, *challenges), "c")


def test_secrets_are_not_shown() -> None:
    assert "right" not in repr(client())
    assert ACCOUNTS["1001"].md5 not in repr(ACCOUNTS["1001"])


def sign_in(authenticator: Authenticator, password: str, now: float, peer: Peer = PEER, user: str = "1001") -> int:
    """The status a phone gets that answers a fresh challenge; 200 for success."""
    value = DigestClient(user, password).authorize("REGISTER", "sip:v", authenticator.digest.challenge(now), b"", "c")
    verdict = authenticator.authenticate(register(value), peer, now)
    return 200 if verdict.response is None else verdict.response.status


def test_first_challenge_is_no_failure_but_wrong_credentials_are() -> None:
    authenticator = Authenticator(server())
    first = authenticator.authenticate(register(), PEER, 0.0)
    assert first.response is not None
    assert (first.response.status, first.failure) == (401, None)
    assert len(first.response.headers.get_all("WWW-Authenticate")) == 2
    value = client("wrong").authorize("REGISTER", "sip:v", authenticator.digest.challenge(0.0), b"", "c")
    second = authenticator.authenticate(register(value), PEER, 0.0)
    assert second.failure is not None
    assert (second.failure.account, second.failure.source) == ("1001", ("192.0.2.7", 5060))


@pytest.mark.parametrize(
    ("user_agent", "offered"),
    [
        ("baresip v1.0.0 (x86_64/linux)", ["MD5"]),
        ("baresip v3.11.0 (x86_64/Linux)", ["MD5"]),
        ("PJSUA v2.10 Linux-5.10", ["MD5"]),
        ("baresip v3.12.0 (x86_64/Linux)", ["SHA-256", "MD5"]),
        ("baresip v4.1.0", ["SHA-256", "MD5"]),
        ("PJSUA v2.15.1 Linux-6.1", ["SHA-256", "MD5"]),
        ("Linphone/5.2", ["SHA-256", "MD5"]),
    ],
)
def test_b35_phones_that_stumble_over_sha256_are_offered_md5_only(user_agent: str, offered: list[str]) -> None:
    request = register()
    request.headers.add("User-Agent", user_agent)
    response = Authenticator(server()).authenticate(request, PEER, 0.0).response
    assert response is not None
    challenges = [parse_digest(value) for value in response.headers.get_all("WWW-Authenticate")]
    assert [fields and fields["algorithm"] for fields in challenges] == offered


def test_guessing_is_slowed_down_even_when_the_guess_is_right_at_last() -> None:
    authenticator = Authenticator(server())
    assert [sign_in(authenticator, "wrong", 0.0) for _ in range(5)] == [401] * 5
    assert sign_in(authenticator, "right", 0.0) == 503
    assert sign_in(authenticator, "right", 1.9) == 503
    assert sign_in(authenticator, "right", 2.1) == 200
    assert [sign_in(authenticator, "wrong", 3.0) for _ in range(5)] == [401] * 5


def test_a_guesser_elsewhere_does_not_lock_the_owner_out() -> None:
    authenticator = Authenticator(server())
    for _ in range(20):
        sign_in(authenticator, "wrong", 0.0)
    assert sign_in(authenticator, "right", 0.0, Peer("udp", "192.0.2.99", 5060)) == 200


def test_an_address_that_tries_many_accounts_is_slowed_down_whole() -> None:
    authenticator = Authenticator(server())
    statuses = [sign_in(authenticator, "x", 0.0, user=f"20{n:02}") for n in range(40)]
    assert statuses == [401] * 31 + [503] * 9
    assert sign_in(authenticator, "right", 0.0) == 503


def test_waiting_phone_is_told_how_long() -> None:
    authenticator = Authenticator(server())
    for _ in range(5):
        sign_in(authenticator, "wrong", 0.0)
    value = client().authorize("REGISTER", "sip:v", authenticator.digest.challenge(0.0), b"", "c")
    response = authenticator.authenticate(register(value), PEER, 0.5).response
    assert response is not None
    assert response.headers.get("Retry-After") == "2"


def test_throttle_doubles_up_to_its_longest_forgets_and_stays_small() -> None:
    throttle = Throttle(free=1, first=2.0, longest=7.0, forget=100.0, max_keys=3)
    waits = []
    for _ in range(5):
        throttle.fail("a", 0.0)
        waits.append(throttle.wait("a", 0.0))
    assert waits == [0.0, 2.0, 4.0, 7.0, 7.0]
    throttle.fail("a", 200.0)
    assert throttle.wait("a", 200.0) == 0.0
    for key in "bcdef":
        throttle.fail(key, 200.0)
    assert len(throttle) == 3
