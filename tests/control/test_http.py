"""The REST edge: who may, what is refused and how, paging, idempotent creation."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from control import events, schemas
from control.commands import COMMANDS, Context
from control.http import privacy
from control.http.replay import KEPT
from control.store.records import IdempotencyRecord
from tests.control.edge import Edge


@pytest.fixture
async def edge(tmp_path: Path) -> AsyncIterator[Edge]:
    async with Edge(tmp_path) as running:
        yield running


async def test_creates_a_conference_and_says_where_it_is(edge: Edge) -> None:
    status, made, response = await edge.ask("POST", "conferences", {"topic": "Совет", "seats": 3})
    assert status == 201
    assert response.headers["Location"] == f"/api/v1/conferences/{made['id']}"
    assert (made["topic"], made["seats"], made["state"]) == ("Совет", 3, "waiting")
    assert made["number"].isdigit()
    assert made["chair_pin"].isdigit()
    assert (await edge.ask("GET", f"conferences/{made['id']}"))[1] == made


async def test_an_empty_body_creates_a_conference_with_the_defaults(edge: Edge) -> None:
    status, made, _ = await edge.ask("POST", "conferences")
    assert (status, made["duration_minutes"]) == (201, 60)


async def test_a_conference_runs_through_its_fixed_addresses(edge: Edge) -> None:
    made = await edge.make(guest_pin=None)
    path = f"conferences/{made['id']}"
    _, person, response = await edge.ask("POST", f"{path}/participants", {"number": "+375 29 123-45-67", "name": "Ян"})
    assert response.headers["Location"] == f"/api/v1/{path}/participants/{person['id']}"
    assert person["number"] == "375291234567"
    assert (await edge.ask("POST", f"{path}/lock"))[1]["locked"] is True
    assert (await edge.ask("POST", f"{path}/unlock"))[1]["locked"] is False
    _, extended, _ = await edge.ask("POST", f"{path}/extend", {"minutes": 15})
    assert datetime.fromisoformat(extended["end"]) - datetime.fromisoformat(made["end"]) == timedelta(minutes=15)
    assert (await edge.ask("POST", f"{path}/end"))[1]["state"] == "ended"
    status, problem, _ = await edge.ask("POST", f"{path}/extend", {"minutes": 15})
    assert (status, problem["title"]) == (410, "The conference has ended")


async def test_n9_sound_is_chosen_at_creation_and_changed_live(edge: Edge) -> None:
    made = await edge.make(talkers=3)
    assert (made["levelling"], made["talkers"], made["silence_music"]) == (True, 3, False)
    path = f"conferences/{made['id']}/sound"
    status, changed, _ = await edge.ask("POST", path, {"levelling": False})
    assert (status, changed["levelling"], changed["talkers"]) == (200, False, 3)
    for body, word in (({}, "give levelling"), ({"talkers": 101}, "100"), ({"talkers": -1}, "0")):
        status, problem, _ = await edge.ask("POST", path, body)
        assert status == 422
        assert word in problem["errors"][0]["detail"]


# --- who may -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("header", [None, "Bearer", "Bearer nonsense", "Basic dXNlcjpwYXNz", f"Bearer {'x' * 300}"])
async def test_a_request_without_a_valid_token_is_told_so(edge: Edge, header: str | None) -> None:
    headers = {} if header is None else {"Authorization": header}
    status, problem, response = await edge.ask("GET", "conferences", token=None, headers=headers)
    assert status == 401
    assert response.headers["WWW-Authenticate"].startswith('Bearer realm="veche"')
    assert response.content_type == "application/problem+json"
    assert "token" in problem["detail"]


async def test_a_revoked_token_and_an_expired_one_are_worthless_at_once(edge: Edge) -> None:
    token, record = await edge.tokens.create("gone", ["operator"])
    assert (await edge.ask("GET", "conferences", token=token))[0] == 200
    await edge.tokens.revoke(record.id)
    assert (await edge.ask("GET", "conferences", token=token))[0] == 401
    short, _ = await edge.tokens.create("short", ["operator"], lifetime=timedelta(microseconds=1))
    assert (await edge.ask("GET", "conferences", token=short))[0] == 401


async def test_a_monitor_may_look_but_not_touch(edge: Edge) -> None:
    assert (await edge.ask("GET", "conferences", token=edge.monitor))[0] == 200
    status, problem, response = await edge.ask("POST", "conferences", {}, token=edge.monitor)
    assert status == 403
    assert "monitor" in problem["detail"]
    assert 'error="insufficient_scope"' in response.headers["WWW-Authenticate"]


async def test_an_administrator_may_do_what_an_operator_may(edge: Edge) -> None:
    admin, _ = await edge.tokens.create("root", ["admin"])
    assert (await edge.ask("POST", "conferences", {}, token=admin))[0] == 201


async def test_n6_phone_numbers_and_pins_are_hidden_from_a_monitor(edge: Edge) -> None:
    made = await edge.make(guest_pin=None)
    people = f"conferences/{made['id']}/participants"
    await edge.ask("POST", people, {"number": "375291234567", "name": "Ян 80291234567", "email": "yan@example.by"})
    person = (await edge.ask("GET", people, token=edge.monitor))[1]["items"][0]
    assert person["number"] == "**********67"
    assert person["name"] == "Ян *********67"
    assert person["email"] == "y***@example.by"
    seen = (await edge.ask("GET", f"conferences/{made['id']}", token=edge.monitor))[1]
    assert (seen["chair_pin"], seen["guest_pin"], seen["number"]) == ("****", None, made["number"])
    with_numbers, _ = await edge.tokens.create("board", ["monitor", "numbers"])
    assert (await edge.ask("GET", people, token=with_numbers))[1]["items"][0]["number"] == "375291234567"


def test_n6_every_output_field_that_may_hold_a_phone_number_is_masked() -> None:
    own = {(schemas.ConferenceView, "number")}
    for model in vars(schemas).values():
        if isinstance(model, type) and issubclass(model, schemas.Output):
            for field in model.model_fields:
                if "number" in field and (model, field) not in own:
                    assert field in privacy.PHONES.get(model, ()), f"{model.__name__}.{field}"


def test_n6_every_event_field_that_may_hold_a_phone_number_is_masked() -> None:
    def kinds(base: type[events.ConferenceEvent]) -> list[type[events.ConferenceEvent]]:
        return [base, *(kind for child in base.__subclasses__() for kind in kinds(child))]

    named = {field.name for kind in kinds(events.ConferenceEvent) for field in fields(kind)}
    assert "number" in named
    assert {name for name in named if "number" in name or "name" in name or "uri" in name} <= privacy.EVENT_FIELDS


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("375291234567", "**********67"),
        ("+375 29 123-45-67", "+*** ** ***-**-67"),
        ("100", "*00"),
        ("sip:375291234567@10.0.0.1", "sip:**********67"),
        ("sip:alice@example.org", "sip:****"),
        ("Anna", "Anna"),
        ("Room 12", "Room 12"),
        ("", ""),
    ],
)
def test_n6_a_masked_number_keeps_its_last_two_digits(text: str, masked: str) -> None:
    assert privacy.mask(text) == masked


# --- what is refused -----------------------------------------------------------------------------------------------


async def test_every_wrong_field_is_named_with_its_reason(edge: Edge) -> None:
    body = {"seats": 0, "start": "tomorrow", "chair_pin": "12", "colour": "red", "duration_minutes": "5"}
    status, problem, response = await edge.ask("POST", "conferences", body)
    assert (status, response.content_type) == (422, "application/problem+json")
    found = {error["pointer"]: error["detail"] for error in problem["errors"]}
    assert found.keys() == {"#/seats", "#/start", "#/chair_pin", "#/colour", "#/duration_minutes"}
    assert found["#/seats"] == "must be greater than or equal to 1"
    assert found["#/colour"] == "is not a field known here"
    assert "now" in found["#/start"]
    assert "seats: must be greater than or equal to 1" in problem["detail"]


async def test_a_field_inside_a_list_is_pointed_at(edge: Edge) -> None:
    made = await edge.make()
    body = {"participants": ["a", 7]}
    _, problem, _ = await edge.ask("POST", f"conferences/{made['id']}/participants/invite", body)
    assert [error["pointer"] for error in problem["errors"]] == ["#/participants/1"]


async def test_a_refusal_by_the_service_names_the_field_too(edge: Edge) -> None:
    await edge.make(number="2048")
    status, problem, _ = await edge.ask("POST", "conferences", {"number": "2048"})
    assert (status, problem["errors"][0]["pointer"]) == (409, "#/number")
    assert problem["detail"].startswith("number: ")


@pytest.mark.parametrize("body", [b"{", b"[1,", b'{"seats": NaN}', b"\xff", b"[" * 100_000])
async def test_a_body_that_is_not_json_is_refused(edge: Edge, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    status, problem, _ = await edge.ask("POST", "conferences", data=body, headers=headers)
    assert (status, problem["title"]) == (400, "The body is not JSON")


@pytest.mark.parametrize("body", [b"[]", b'"x"', b"7", b"null"])
async def test_a_body_that_is_no_object_is_refused(edge: Edge, body: bytes) -> None:
    headers = {"Content-Type": "application/json"}
    status, problem, _ = await edge.ask("POST", "conferences", data=body, headers=headers)
    assert (status, problem["errors"][0]["pointer"]) == (422, "#")


async def test_a_body_of_another_type_is_refused(edge: Edge) -> None:
    status, problem, _ = await edge.ask("POST", "conferences", data=b"topic=x", headers={"Content-Type": "text/plain"})
    assert status == 415
    assert "application/json" in problem["detail"]


async def test_a_body_that_is_too_large_is_refused(edge: Edge) -> None:
    headers = {"Content-Type": "application/json"}
    status, _, response = await edge.ask("POST", "conferences", data=b" " * (1 << 20) + b"{} ", headers=headers)
    assert (status, response.content_type) == (413, "application/problem+json")


@pytest.mark.parametrize(
    ("query", "name"), [("?limit=0", "limit"), ("?limit=x", "limit"), ("?x=1", "x"), ("?limit=1&limit=2", "limit")]
)
@pytest.mark.parametrize("path", ["conferences", "accounts", "events"])
async def test_a_wrong_query_parameter_is_named(edge: Edge, path: str, query: str, name: str) -> None:
    status, problem, _ = await edge.ask("GET", path + query)
    assert (status, problem["errors"][0]["parameter"]) == (422, name)


@pytest.mark.parametrize("cursor", ["zzzz", "9" * 30])
@pytest.mark.parametrize("path", ["conferences", "accounts", "events"])
async def test_a_made_up_cursor_is_refused(edge: Edge, path: str, cursor: str) -> None:
    status, problem, _ = await edge.ask("GET", f"{path}?cursor={cursor}")
    assert (status, problem["errors"][0]["parameter"]) == (422, "cursor")


async def test_what_takes_no_body_or_parameters_says_so(edge: Edge) -> None:
    made = await edge.make()
    assert (await edge.ask("POST", f"conferences/{made['id']}/lock", {"x": 1}))[0] == 422
    assert (await edge.ask("POST", f"conferences/{made['id']}/lock?x=1"))[0] == 422
    assert (await edge.ask("GET", f"conferences/{made['id']}?x=1"))[0] == 422


async def test_unknown_addresses_methods_and_things_are_problems(edge: Edge) -> None:
    for method, path, expected in (
        ("GET", "/api/v1/nothing", 404),
        ("GET", "/api/", 404),
        ("GET", "conferences/none", 404),
        ("POST", "conferences/none/end", 404),
        ("DELETE", "conferences", 405),
        ("POST", "/healthz", 405),
    ):
        status, problem, response = await edge.ask(method, path)
        assert (status, problem["status"], response.content_type) == (expected, expected, "application/problem+json")
        assert problem["type"].startswith("/api/v1/docs#problem-")


async def test_options_tells_the_methods_and_head_answers_like_get(edge: Edge) -> None:
    status, _, response = await edge.ask("OPTIONS", "conferences")
    assert (status, response.headers["Allow"]) == (204, "GET, HEAD, OPTIONS, POST")
    status, text, response = await edge.ask("HEAD", "conferences")
    assert (status, text, response.content_type) == (200, "", "application/json")


async def test_an_unforeseen_error_is_a_plain_500_that_tells_nothing(tmp_path: Path) -> None:
    async def run(context: Context, ids: Any, value: Any) -> None:
        raise KeyError("secret detail")

    edge = Edge(tmp_path)
    edge.commands["conference.get"] = replace(COMMANDS["conference.get"], run=run)
    async with edge:
        status, problem, response = await edge.ask("GET", "conferences/x")
    assert status == 500
    assert "secret" not in str(problem)
    assert problem["instance"] == f"urn:request:{response.headers['X-Request-Id']}"


async def test_a_request_that_takes_too_long_ends(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    async def run(context: Context, ids: Any, value: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("control.http.app.REQUEST_SECONDS", 0.01)
    edge = Edge(tmp_path)
    edge.commands["conference.get"] = replace(COMMANDS["conference.get"], run=run)
    async with edge:
        status, problem, _ = await edge.ask("GET", "conferences/x")
    assert (status, problem["title"]) == (503, "The request took too long")


async def test_every_answer_carries_its_request_id_and_security_headers(edge: Edge) -> None:
    for path in ("/healthz", "conferences", "/api/v1/nothing", "/"):
        _, _, response = await edge.ask("GET", path, headers={"X-Request-Id": "trace-7"})
        assert response.headers["X-Request-Id"] == "trace-7"
        assert response.headers["X-Content-Type-Options"] == "nosniff"
        assert "aiohttp" not in response.headers["Server"]
    _, _, response = await edge.ask("GET", "conferences", headers={"X-Request-Id": "a b"})
    assert response.headers["X-Request-Id"] != "a b"
    assert response.headers["Cache-Control"] == "no-store"


# --- paging --------------------------------------------------------------------------------------------------------


async def _walk(edge: Edge, path: str) -> list[dict[str, Any]]:
    """All pages, by their Link fields."""
    items: list[dict[str, Any]] = []
    following: str | None = path
    while following:
        status, page, response = await edge.ask("GET", following)
        assert status == 200, page
        items += page["items"]
        link = response.links.get("next")
        assert (link is None) == (page["next_cursor"] is None)
        following = None if link is None else str(URL(link["url"]).relative())
    assert page["total"] == len(items)
    return items


async def test_conferences_come_in_pages_newest_first(edge: Edge) -> None:
    made = [(await edge.make(topic=str(n)))["id"] for n in range(7)]
    assert [item["id"] for item in await _walk(edge, "conferences?limit=3")] == made[::-1]


async def test_ended_conferences_can_be_listed_alone(edge: Edge) -> None:
    over, _ = await edge.make(), await edge.make()
    await edge.ask("POST", f"conferences/{over['id']}/end")
    assert [item["id"] for item in await _walk(edge, "conferences?state=ended")] == [over["id"]]


async def test_lists_that_a_command_gives_whole_are_paged_too(edge: Edge) -> None:
    made = await edge.make()
    people = f"conferences/{made['id']}/participants"
    added = [(await edge.ask("POST", people, {"number": f"37529000000{n}"}))[1]["id"] for n in range(5)]
    assert [item["id"] for item in await _walk(edge, f"{people}?limit=2")] == added


# --- idempotent creation -------------------------------------------------------------------------------------------


async def test_n12_a_repeated_creation_is_answered_again_and_creates_nothing(edge: Edge) -> None:
    headers = {"Idempotency-Key": "order-7"}
    first = await edge.ask("POST", "conferences", {"topic": "a", "seats": 2}, headers=headers)
    second = await edge.ask("POST", "conferences", {"seats": 2, "topic": "a"}, headers=headers)
    assert first[:2] == second[:2]
    assert (first[2].headers.get("Idempotency-Replayed"), second[2].headers["Idempotency-Replayed"]) == (None, "true")
    assert second[2].headers["Location"] == first[2].headers["Location"]
    assert (await edge.ask("GET", "conferences"))[1]["total"] == 1


async def test_n12_duplicates_at_the_same_moment_make_one_conference(tmp_path: Path) -> None:
    started: list[str | None] = []

    async def slowly(context: Context, ids: Any, value: Any) -> Any:
        started.append(context.request_key)
        for _ in range(100):
            await asyncio.sleep(0)
        return await COMMANDS["conference.create"].run(context, ids, value)

    edge = Edge(tmp_path)
    edge.commands["conference.create"] = replace(COMMANDS["conference.create"], run=slowly)
    async with edge:
        headers = {"Idempotency-Key": "order-8"}
        answers = await asyncio.gather(*(edge.ask("POST", "conferences", {}, headers=headers) for _ in range(10)))
        assert (await edge.ask("GET", "conferences"))[1]["total"] == 1
    assert {status for status, _, _ in answers} == {201}
    assert len({made["id"] for _, made, _ in answers}) == 1
    assert len(started) == 1


async def test_n12_a_key_belongs_to_one_request(edge: Edge) -> None:
    headers = {"Idempotency-Key": "order-9"}
    made = (await edge.ask("POST", "conferences", {"topic": "a"}, headers=headers))[1]
    status, problem, _ = await edge.ask("POST", "conferences", {"topic": "b"}, headers=headers)
    assert (status, problem["errors"][0]["parameter"]) == (422, "Idempotency-Key")
    people = f"conferences/{made['id']}/participants"
    assert (await edge.ask("POST", people, {"number": "100"}, headers=headers))[0] == 422


async def test_n12_keys_of_different_tokens_do_not_meet(edge: Edge) -> None:
    other, _ = await edge.tokens.create("other", ["operator"])
    headers = {"Idempotency-Key": "1"}
    one = (await edge.ask("POST", "conferences", {}, headers=headers))[1]
    two = (await edge.ask("POST", "conferences", {}, headers=headers, token=other))[1]
    assert one["id"] != two["id"]


async def test_n12_a_refused_creation_can_be_tried_again_under_its_key(edge: Edge) -> None:
    headers = {"Idempotency-Key": "2"}
    await edge.make(number="2048")
    assert (await edge.ask("POST", "conferences", {"number": "2048"}, headers=headers))[0] == 409
    assert (await edge.ask("POST", "conferences", {"number": "2049"}, headers=headers))[0] == 201


async def test_n12_a_creation_cut_off_by_a_crash_is_found_and_not_repeated(edge: Edge) -> None:
    headers = {"Idempotency-Key": "3"}
    made = (await edge.ask("POST", "conferences", {"topic": "x"}, headers=headers))[1]
    token = (await edge.tokens.recognise(edge.operator)) or pytest.fail("the token is there")
    record = (await edge.store.idempotency.get(token.id, "3")) or pytest.fail("the key is there")
    await edge.store.idempotency.finish(replace(record, status=None, body=""))  # as if the answer was never kept
    again = await edge.ask("POST", "conferences", {"topic": "x"}, headers=headers)
    assert (again[0], again[1]["id"]) == (201, made["id"])
    assert (await edge.ask("GET", "conferences"))[1]["total"] == 1


async def test_n12_a_key_is_kept_for_a_day(edge: Edge) -> None:
    token = (await edge.tokens.recognise(edge.operator)) or pytest.fail("the token is there")
    old = IdempotencyRecord(
        token=token.id,
        key="4",
        fingerprint="of another request",
        created=datetime.now(UTC) - KEPT,
        status=201,
        body="{}",
    )
    await edge.store.idempotency.claim(old)
    assert (await edge.ask("POST", "conferences", {}, headers={"Idempotency-Key": "4"}))[0] == 201


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_n12_a_key_of_wrong_length_is_refused(edge: Edge, key: str) -> None:
    assert (await edge.ask("POST", "conferences", {}, headers={"Idempotency-Key": key}))[0] == 400


# --- accounts, health, portal ----------------------------------------------------------------------------------------


async def test_accounts_are_made_listed_blocked_and_deleted(edge: Edge) -> None:
    status, made, _ = await edge.ask("POST", "accounts", {"number": "+375 29 123-45-67", "name": "Ян"})
    assert (status, made["number"]) == (201, "375291234567")
    assert len(made["password"]) >= 12
    assert edge.accounts.credentials("375291234567") is not None
    assert (await edge.ask("POST", "accounts/375291234567/block"))[1]["blocked"] is True
    assert edge.accounts.credentials("375291234567") is None
    assert (await edge.ask("POST", "accounts", {"number": "375291234567"}))[0] == 409
    assert "password" not in (await edge.ask("GET", "accounts"))[1]["items"][0]
    status, text, _ = await edge.ask("DELETE", "accounts/375291234567")
    assert (status, text) == (204, "")
    assert (await edge.ask("DELETE", "accounts/375291234567"))[0] == 404


async def test_health_needs_no_token_and_fails_with_its_parts(edge: Edge) -> None:
    status, health, _ = await edge.ask("GET", "/healthz", token=None)
    assert (status, health["status"], health["version"]) == (200, "ok", "1.2.3")
    assert health["sip"] == {"host": "127.0.0.1", "port": 5060}
    edge.components["mixer"] = "no mixer answers"
    status, health, _ = await edge.ask("GET", "/healthz", token=None)
    assert (status, health["components"]["mixer"]["detail"]) == (503, "no mixer answers")
    assert health["components"]["store"]["ok"] is True


async def test_a_spoilt_database_makes_requests_unavailable(edge: Edge, tmp_path: Path) -> None:
    (tmp_path / "veche.db").write_bytes(b"spoilt")
    (tmp_path / "veche.db-wal").write_bytes(b"spoilt")
    status, problem, response = await edge.ask("GET", "conferences")
    assert (status, problem["title"]) == (503, "Not available now")
    assert response.headers["Retry-After"]


async def test_health_fails_while_the_database_takes_no_writes(
    edge: Edge, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("control.http.app.PING_SECONDS", 0.05)
    other = sqlite3.connect(tmp_path / "veche.db", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    edge.store.append("x", conference=None, data={})
    status, health, _ = await edge.ask("GET", "/healthz", token=None)
    assert (status, health["components"]["store"]["ok"]) == (503, False)
    other.execute("COMMIT")
    other.close()
    await edge.store.flush()
    assert (await edge.ask("GET", "/healthz", token=None))[0] == 200


async def test_a_missing_portal_is_said_in_plain_html(edge: Edge) -> None:
    for path in ("/", "/api/v1/docs"):
        status, text, response = await edge.ask("GET", path, token=None, headers={"Accept": "text/html"})
        assert (status, response.content_type) == (503, "text/html")
        assert "webui/dist" in text


async def test_the_built_portal_is_served_with_caching_and_a_policy(tmp_path: Path) -> None:
    dist = tmp_path / "dist"
    (dist / "assets").mkdir(parents=True)
    (dist / "index.html").write_text("<p>portal")
    (dist / "docs.html").write_text("<p>reference")
    (dist / "assets" / "app-1a2b.js").write_text("1")
    (tmp_path / "outside.txt").write_text("secret")
    async with Edge(tmp_path / "data", dist) as edge:
        pages = {
            "/": "<p>portal",
            "/api/v1/docs": "<p>reference",
            "/docs.html": "<p>reference",
            "/planning": "<p>portal",
        }
        for path, text in pages.items():
            status, found, response = await edge.ask("GET", path, token=None, headers={"Accept": "text/html"})
            assert (status, found, response.headers["Cache-Control"]) == (200, text, "no-cache")
            assert "default-src 'self'" in response.headers["Content-Security-Policy"]
        _, _, response = await edge.ask("GET", "/assets/app-1a2b.js", token=None)
        assert "immutable" in response.headers["Cache-Control"]
        for path in ("/assets/none.js", "/%2e%2e/outside.txt", "/..%2foutside.txt", "/robots.txt"):
            assert (await edge.ask("GET", path, token=None))[0] == 404
