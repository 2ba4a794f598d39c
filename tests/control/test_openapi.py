"""The OpenAPI document: valid, complete, and true to the command table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from openapi_spec_validator import OpenAPIV31SpecValidator, validate

from control.commands import COMMANDS
from control.http import openapi
from tests.control.edge import Edge


def document() -> dict[str, Any]:
    return openapi.document(COMMANDS, "1.2.3")


def test_b39_the_document_is_valid_openapi_3_1() -> None:
    validate(document(), cls=OpenAPIV31SpecValidator)


def test_b39_every_command_is_described_with_who_may_call_it() -> None:
    paths = document()["paths"]
    for command in COMMANDS.values():
        operation = paths[command.http.path][command.http.method.lower()]
        assert operation["operationId"] == command.name
        assert set(operation["x-scopes"]) >= {*map(str, command.scopes), "admin"}
        assert str(command.http.status) in operation["responses"]
        named = {p["name"] for p in operation["parameters"] if p["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", command.http.path))


def test_b39_every_reference_leads_somewhere() -> None:
    whole = document()

    def references(part: Any) -> list[str]:
        if isinstance(part, dict):
            own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
            return own + [ref for value in part.values() for ref in references(value)]
        return [ref for value in part for ref in references(value)] if isinstance(part, list) else []

    found = references(whole)
    assert found
    for reference in found:
        at = whole
        for key in reference.removeprefix("#/").split("/"):
            at = at[key]


def test_every_list_has_pages() -> None:
    schemas = document()["components"]["schemas"]
    lists = [schema for schema in schemas.values() if "items" in schema.get("properties", {})]
    assert len(lists) >= 4
    for schema in lists:
        assert {"items", "next_cursor", "total"} <= set(schema["required"])


async def test_anybody_may_read_the_document_and_its_paths_are_served(tmp_path: Path) -> None:
    async with Edge(tmp_path) as edge:
        status, served, _ = await edge.ask("GET", "openapi.json", token=None)
        assert (status, served["openapi"], served["info"]["version"]) == (200, "3.1.0", "1.2.3")
        for path, operations in served["paths"].items():
            for method in operations:
                where = re.sub(r"{\w+}", "x", path)
                status, _, _ = await edge.ask(method.upper(), where, token=None)
                assert status == (200 if path == "/healthz" else 401), f"{method} {path}"
