"""The OpenAPI 3.1 document, made of the command table and its pydantic models."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel
from pydantic.json_schema import models_json_schema

from control.commands import API, Command
from control.http import paging
from control.http.feed import EventPage, EventQuery
from control.http.problems import CONTENT_TYPE
from control.tokens import sufficient

REFERENCE = "#/components/schemas/{model}"

PROBLEM = {
    "type": "object",
    "description": "A problem (RFC 9457).",
    "required": ["type", "title", "status", "detail", "instance"],
    "properties": {
        "type": {"type": "string", "format": "uri-reference"},
        "title": {"type": "string"},
        "status": {"type": "integer"},
        "detail": {"type": "string", "description": "What is wrong, in words; names the field at fault"},
        "instance": {"type": "string", "format": "uri", "description": "This request, as in X-Request-Id"},
        "errors": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["detail"],
                "properties": {
                    "pointer": {"type": "string", "description": "JSON Pointer into the body, e.g. #/seats"},
                    "parameter": {"type": "string", "description": "Name of the query parameter or header field"},
                    "detail": {"type": "string"},
                },
            },
        },
    },
}

RESPONSES = {
    "400": "The body is not JSON, or a header field is malformed",
    "401": "No valid token",
    "403": "The token's scopes do not allow this",
    "404": "Not found",
    "409": "The present state does not allow this",
    "410": "The conference has ended",
    "413": "The body is too large",
    "415": "The body is not application/json",
    "422": "A value is not acceptable; `errors` names each field",
    "503": "Not available now; see Retry-After",
}

ABOUT = """Everything Veche does with conferences. Every request needs a token made with `./veche token create`:
`Authorization: Bearer TOKEN`. Errors are problem details (RFC 9457). Every list has `limit` and `cursor`, gives `total`
and `next_cursor`, and a `Link: rel="next"` while there is more. `X-Request-Id` names the request in the log."""

EVENTS_ABOUT = """Events in order, after the sequence number `since`. With `Upgrade: websocket` the same address is a
WebSocket: one JSON text message per event, first what happened after `since` (nothing older when it is left out), then
each event as it comes, without gap or duplicate. A client that reads too slowly is closed with code 1013 and goes on
with `since` = the last `seq` it got. With `figures` there are messages of the kind `conference.figures` in between
while the conference runs: `time`, `conference` and as `data` its network state report, without a `seq`. A browser,
which cannot set Authorization, gives the token as subprotocol
(`new WebSocket(url, ["veche.events.v1", "bearer." + token])`) or as its first message (`{"token": "..."}`)."""


def document(commands: Mapping[str, Command], version: str) -> dict[str, Any]:
    """The whole document as JSON."""
    schemas = _Schemas(commands)
    paths: dict[str, dict[str, Any]] = {}
    for command in commands.values():
        paths.setdefault(command.http.path, {})[command.http.method.lower()] = _operation(command, schemas)
    paths[f"{API}/events"] = {"get": _events(schemas)}
    paths["/healthz"] = {"get": _HEALTH}
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Veche",
            "version": version,
            "description": ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": [{"bearer": []}],
        "tags": [{"name": name} for name in sorted({c.target.value for c in commands.values()} | {"server"})],
        "paths": paths,
        "components": {
            "schemas": {**schemas.definitions, "Problem": PROBLEM},
            "responses": {
                status: {
                    "description": text,
                    "content": {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }
                for status, text in RESPONSES.items()
            },
            "securitySchemes": {"bearer": {"type": "http", "scheme": "bearer"}},
        },
    }


_HEALTH = {
    "operationId": "server.health",
    "summary": "Is it up?",
    "description": "May be asked by anybody.",
    "tags": ["server"],
    "security": [],
    "responses": {
        "200": {"description": "Store, mixers and SIP are up", "content": {"application/json": {}}},
        "503": {"description": "One of them is not; `components` says which", "content": {"application/json": {}}},
    },
}


class _Schemas:
    """The models' JSON schemas, shared under components."""

    def __init__(self, commands: Mapping[str, Command]) -> None:
        wanted: dict[tuple[type[BaseModel], Literal["validation", "serialization"]], None] = {}
        for command in commands.values():
            if command.input is not None and command.http.method != "GET":
                wanted[command.input, "validation"] = None
            if command.output is not None:
                wanted[command.output, "serialization"] = None
        wanted[EventPage, "serialization"] = None
        self._references, whole = models_json_schema(list(wanted), ref_template=REFERENCE)
        self.definitions: dict[str, Any] = whole["$defs"]
        for command in commands.values():
            if paging.is_whole_list(command) and command.output is not None:
                self._add_page_fields(self.definitions[self.name(command.output, "serialization")])

    def name(self, model: type[BaseModel], mode: Literal["validation", "serialization"]) -> str:
        return str(self._references[model, mode]["$ref"]).rsplit("/", 1)[-1]

    def reference(self, model: type[BaseModel], mode: Literal["validation", "serialization"]) -> dict[str, Any]:
        return {"application/json": {"schema": self._references[model, mode]}}

    @staticmethod
    def _add_page_fields(schema: dict[str, Any]) -> None:
        schema["properties"]["next_cursor"] = {"anyOf": [{"type": "string"}, {"type": "null"}]}
        schema["properties"]["total"] = {"type": "integer", "description": "How many there are on all pages"}
        schema["required"] = [*schema.get("required", []), "next_cursor", "total"]


def _operation(command: Command, schemas: _Schemas) -> dict[str, Any]:
    parameters = [
        {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}
        for name in re.findall(r"{(\w+)}", command.http.path)
    ]
    errors = ["401", "403", "422", "503"]
    if parameters:
        errors.append("404")
    if command.http.method == "GET":
        query = paging.Window if paging.is_whole_list(command) else command.input
        parameters += [] if query is None else _query_parameters(query)
    else:
        errors += ["400", "409", "410", "413", "415"]
    if command.idempotent_by_key:
        parameters.append(_IDEMPOTENCY)
    operation: dict[str, Any] = {
        "operationId": command.name,
        "summary": command.summary,
        "description": _who_may(command.scopes),
        "tags": [command.target.value],
        "parameters": parameters,
        "responses": {
            str(command.http.status): _success(command, schemas),
            **{status: {"$ref": f"#/components/responses/{status}"} for status in sorted(errors)},
        },
        "x-scopes": sufficient(command.scopes),
    }
    if command.input is not None and command.http.method != "GET":
        needed = any(field.is_required() for field in command.input.model_fields.values())
        operation["requestBody"] = {"required": needed, "content": schemas.reference(command.input, "validation")}
    return operation


_IDEMPOTENCY = {
    "name": "Idempotency-Key",
    "in": "header",
    "required": False,
    "description": "Any text of 1 to 255 characters: a request repeated with the same key and body within 24 hours is "
    "answered as the first one was (Idempotency-Replayed: true) and creates nothing more.",
    "schema": {"type": "string", "minLength": 1, "maxLength": 255},
}


def _who_may(scopes: frozenset[Any]) -> str:
    return f"May be called with a token of the scope {' or '.join(sufficient(scopes))}."


def _success(command: Command, schemas: _Schemas) -> dict[str, Any]:
    if command.output is None:
        return {"description": "Done"}
    return {"description": "Done", "content": schemas.reference(command.output, "serialization")}


def _query_parameters(model: type[BaseModel]) -> list[dict[str, Any]]:
    schema = model.model_json_schema()
    required = schema.get("required", [])
    return [
        {
            "name": name,
            "in": "query",
            "required": name in required,
            "description": shape.pop("description", ""),
            "schema": shape,
        }
        for name, shape in schema["properties"].items()
    ]


def _events(schemas: _Schemas) -> dict[str, Any]:
    scopes = frozenset({"operator", "monitor"})
    return {
        "operationId": "events.list",
        "summary": "What has happened, also live over a WebSocket",
        "description": f"{EVENTS_ABOUT}\n\n{_who_may(scopes)}",
        "tags": ["server"],
        "parameters": _query_parameters(EventQuery),
        "responses": {
            "200": {"description": "A page of events", "content": schemas.reference(EventPage, "serialization")},
            **{status: {"$ref": f"#/components/responses/{status}"} for status in ("401", "403", "404", "422", "503")},
        },
        "x-scopes": sufficient(scopes),
    }
