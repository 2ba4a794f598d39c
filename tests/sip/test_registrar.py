"""Phones sign in: RFC 3261 section 10."""

from __future__ import annotations

import pytest

from sip.auth import DigestClient, DigestServer, HashedCredentials
from sip.authenticator import Authenticator
from sip.events import Registered, RegistrationFailed
from sip.message import Headers, Request, Response
from sip.peer import Peer
from sip.registrar import Registrar, RegistrarSettings

REALM = "veche.example"
PEER = Peer("udp", "198.51.100.7", 5062)
HOME = "<sip:1001@198.51.100.7:5062>"


class Phone:
    """Registers over a challenge each time, as phones do."""

    def __init__(self, registrar: Registrar, user: str = "1001", password: str = "pw", call_id: str = "call") -> None:
        self.registrar = registrar
        self.user = user
        self.client = DigestClient(user, password)
        self.call_id = call_id
        self.cseq = 0
        self.events: list[object] = []

    def register(
        self,
        *contacts: str,
        now: float = 0.0,
        peer: Peer = PEER,
        expires: str | None = None,
        to: str | None = None,
        cseq: int | None = None,
        via: str | None = None,
    ) -> Response:
        self.cseq = cseq if cseq is not None else self.cseq + 1
        headers = Headers([
            ("Via", f"SIP/2.0/{peer.transport.upper()} {via or f'{peer.host}:{peer.port}'};rport;branch=z9hG4bK1"),
            ("From", f"<sip:{self.user}@v>;tag=1"), ("To", to or f"<sip:{self.user}@v>"),
            ("Call-ID", self.call_id), ("CSeq", f"{self.cseq} REGISTER"),
        ])  # fmt: skip
        for contact in contacts:
            headers.add("Contact", contact)
        if expires is not None:
            headers.add("Expires", expires)
        request = Request("REGISTER", "sip:v", headers)
        challenge, _ = self.registrar.receive(request, peer, now, "t")
        assert challenge.status == 401
        request.headers.add(*self.client.answer(request, challenge, "cnonce"))
        response, self.events = self.registrar.receive(request, peer, now, "t")  # type: ignore[assignment]
        return response


@pytest.fixture
def registrar() -> Registrar:
    accounts = {user: HashedCredentials.of(user, REALM, "pw") for user in ("1001", "1002")}
    digest = DigestServer(REALM, accounts.get, b"secret")
    return Registrar(Authenticator(digest), RegistrarSettings(min_expires=60, max_expires=3600, max_contacts=3))


def uris(registrar: Registrar, now: float = 0.0, account: str = "1001") -> list[str]:
    return [target.uri for target in registrar.targets(account, now)]


def test_b35_right_password_signs_in_and_lists_the_contact(registrar: Registrar) -> None:
    phone = Phone(registrar)
    response = phone.register(HOME, expires="600")
    assert (response.status, response.headers.get_all("Contact")) == (200, [f"{HOME};expires=600"])
    assert response.to.tag == "t"
    assert phone.events == [Registered("1001", ("sip:1001@198.51.100.7:5062",))]
    assert registrar.targets("1001", 0.0)[0].peer == PEER


def test_b35_wrong_password_is_refused_and_reported(registrar: Registrar) -> None:
    phone = Phone(registrar, password="wrong")
    assert phone.register(HOME).status == 401
    assert phone.events == [RegistrationFailed("1001", ("198.51.100.7", 5062), "wrong password")]
    assert uris(registrar) == []


def test_unknown_account_gets_the_answer_of_a_wrong_password(registrar: Registrar) -> None:
    phone = Phone(registrar, user="9999")
    assert phone.register(HOME).status == 401
    assert phone.events == [RegistrationFailed("9999", ("198.51.100.7", 5062), "unknown account")]


def test_nobody_registers_for_somebody_else(registrar: Registrar) -> None:
    assert Phone(registrar).register(HOME, to="<sip:1002@v>").status == 403
    assert Phone(registrar).register(HOME, to="<isbn:1>").status == 404
    assert len(registrar) == 0


def test_binding_runs_out_on_time(registrar: Registrar) -> None:
    Phone(registrar).register(HOME, expires="100")
    assert registrar.timer() == 100.0
    assert registrar.handle_timer(99.9) == []
    assert uris(registrar, 99.9) == ["sip:1001@198.51.100.7:5062"]
    assert uris(registrar, 100.0) == []
    assert registrar.handle_timer(100.0) == [Registered("1001", ())]
    assert (len(registrar), registrar.timer()) == (0, None)


def test_refresh_puts_the_end_off(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(HOME, expires="100")
    phone.register(HOME, expires="100", now=50.0)
    assert registrar.handle_timer(100.0) == []
    assert registrar.timer() == 150.0
    assert registrar.handle_timer(150.0) == [Registered("1001", ())]


def test_each_contact_has_its_own_expiry_and_the_field_is_for_the_rest(registrar: Registrar) -> None:
    response = Phone(registrar).register(f"{HOME};expires=90", "<sip:1001@198.51.100.8>", expires="300")
    assert response.headers.get_all("Contact") == [
        "<sip:1001@198.51.100.8>;expires=300", f"{HOME};expires=90",
    ]  # fmt: skip
    assert registrar.handle_timer(90.0) == [Registered("1001", ("sip:1001@198.51.100.8",))]


@pytest.mark.parametrize(
    ("wish", "granted"), [(None, 3600), ("60", 60), ("99999", 3600), ("99999999999999", 3600), ("soon", 3600)]
)
def test_expiry_is_kept_within_bounds(registrar: Registrar, wish: str | None, granted: int) -> None:
    response = Phone(registrar).register(HOME, expires=wish)
    assert response.headers.get("Contact") == f"{HOME};expires={granted}"


def test_too_short_an_expiry_gets_423_and_changes_nothing(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(HOME, expires="600")
    response = phone.register(f"{HOME};expires=59", "<sip:1001@198.51.100.8>")
    assert (response.status, response.headers.get("Min-Expires")) == (423, "60")
    assert uris(registrar) == ["sip:1001@198.51.100.7:5062"]


def test_contacts_come_sorted_by_preference_newest_first(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register("<sip:a@198.51.100.7>;q=0.5", "<sip:b@198.51.100.7>;q=0.9", expires="600")
    phone.register("<sip:c@198.51.100.7>;q=0.5", expires="600", now=10.0)
    assert uris(registrar, 10.0) == ["sip:b@198.51.100.7", "sip:c@198.51.100.7", "sip:a@198.51.100.7"]


def test_expires_zero_signs_one_phone_out_and_star_all(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register("<sip:a@198.51.100.7>", "<sip:b@198.51.100.7>", "<sip:c@198.51.100.7>")
    assert phone.register("<sip:a@198.51.100.7>;expires=0").status == 200
    assert sorted(uris(registrar)) == ["sip:b@198.51.100.7", "sip:c@198.51.100.7"]
    response = phone.register("*", expires="0")
    assert (response.status, response.headers.get_all("Contact")) == (200, [])
    assert phone.events == [Registered("1001", ())]


@pytest.mark.parametrize(("contacts", "expires"), [(("*",), "60"), (("*",), None), (("*", HOME), "0")])
def test_star_with_anything_else_is_refused(
    registrar: Registrar, contacts: tuple[str, ...], expires: str | None
) -> None:
    phone = Phone(registrar)
    phone.register(HOME)
    assert phone.register(*contacts, expires=expires).status == 400
    assert len(registrar) == 1


def test_query_lists_contacts_and_changes_nothing(registrar: Registrar) -> None:
    phone = Phone(registrar)
    phone.register(HOME, expires="600")
    response = phone.register(now=100.0)
    assert response.headers.get_all("Contact") == [f"{HOME};expires=500"]
    assert phone.events == []


@pytest.mark.parametrize("contact", [HOME, "*"])
def test_request_older_than_the_binding_is_refused_whole(registrar: Registrar, contact: str) -> None:
    phone = Phone(registrar)
    phone.register(HOME, cseq=10)
    assert phone.register("<sip:new@198.51.100.7>", contact, cseq=9).status in (400, 500)
    assert phone.register(contact, cseq=10, expires="0").status == 500
    assert uris(registrar) == ["sip:1001@198.51.100.7:5062"]


def test_restarted_phone_with_a_new_call_id_may_count_from_one(registrar: Registrar) -> None:
    Phone(registrar).register(HOME, cseq=10)
    assert Phone(registrar, call_id="after reboot".replace(" ", "-")).register(HOME, cseq=1).status == 200
    assert len(registrar) == 1


def test_same_device_at_a_new_address_replaces_its_old_contact(registrar: Registrar) -> None:
    phone = Phone(registrar)
    instance = ';+sip.instance="<urn:uuid:1>";reg-id=1'
    phone.register(f"<sip:1001@198.51.100.7:1111>{instance}")
    phone.register(f"<sip:1001@198.51.100.7:2222>{instance}")
    assert uris(registrar) == ["sip:1001@198.51.100.7:2222"]


def test_contacts_beyond_the_limit_drive_out_the_one_that_ends_first(registrar: Registrar) -> None:
    phone = Phone(registrar)
    for n in range(5):
        assert phone.register(f"<sip:{n}@198.51.100.7>", expires="600", now=float(n)).status == 200
    assert uris(registrar, 5.0) == ["sip:4@198.51.100.7", "sip:3@198.51.100.7", "sip:2@198.51.100.7"]
    assert phone.register(*(f"<sip:{n}@198.51.100.7>" for n in range(4))).status == 403


@pytest.mark.parametrize("contact", ["<tel:123>", "<sip:a b>", "sip:1001@h?x=y"])
def test_contact_that_cannot_be_called_is_refused(registrar: Registrar, contact: str) -> None:
    assert Phone(registrar).register(contact).status == 400


@pytest.mark.parametrize(
    ("contact", "via", "host", "port"),
    [
        ("sip:1001@9.9.9.9:5062", None, "9.9.9.9", 5062),
        ("sip:1001@192.168.1.20:5060", "192.168.1.20:5060", "9.9.9.9", 5062),  # behind a NAT
        ("sip:1001@192.168.1.20:5060", None, "9.9.9.9", 5062),  # private, seen from outside
        ("sip:1001@9.9.9.9:5070", None, "9.9.9.9", 5070),  # no NAT, another port is meant
        ("sip:1001@9.9.9.9:5070", "192.168.1.20", "9.9.9.9", 5062),
        ("sip:+37529@8.8.4.4:5070", None, "9.9.9.9", 5062),  # somebody else's address, perhaps a trunk's
        ("sip:1001@phone.local", None, "9.9.9.9", 5062),
        ("sip:1001@0.0.0.0", None, "9.9.9.9", 5062),
    ],
)
def test_calls_go_where_the_phone_can_be_reached(
    registrar: Registrar, contact: str, via: str | None, host: str, port: int
) -> None:
    Phone(registrar).register(f"<{contact}>", via=via, peer=Peer("udp", "9.9.9.9", 5062))
    (target,) = registrar.targets("1001", 0.0)
    assert (target.uri, target.peer) == (contact, Peer("udp", host, port))


def test_calls_to_a_phone_on_tcp_go_over_its_connection_and_end_with_it(registrar: Registrar) -> None:
    flow = Peer("tcp", "198.51.100.7", 40001, flow=7)
    phone = Phone(registrar)
    phone.register("<sip:1001@192.168.1.20:5060;transport=tcp>", peer=flow)
    phone.register(HOME)
    assert {target.peer for target in registrar.targets("1001", 0.0)} == {flow, PEER}
    assert registrar.connection_lost(8, 1.0) == []
    assert registrar.connection_lost(7, 1.0) == [Registered("1001", ("sip:1001@198.51.100.7:5062",))]


def test_caller_at_a_registered_address_is_known(registrar: Registrar) -> None:
    Phone(registrar).register(HOME, expires="100")
    assert registrar.known_at("1001", PEER, 1.0)
    assert not registrar.known_at("1002", PEER, 1.0)
    assert not registrar.known_at("1001", Peer("udp", PEER.host, 5063), 1.0)
    assert not registrar.known_at("1001", PEER, 100.0)


def test_thousands_of_refreshes_keep_one_timer_an_account(registrar: Registrar) -> None:
    phone = Phone(registrar)
    for n in range(200):
        phone.register(HOME, now=float(n), expires="3600")
    fired = 0
    while (due := registrar.timer()) is not None and due < 4000.0:
        fired += len(registrar.handle_timer(due)) + 1
        assert fired < 5
    assert len(registrar) == 0
