"""Errors as problem details (RFC 9457): whatever goes wrong, the answer is application/problem+json."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

import structlog
from aiohttp import web
from pydantic import ValidationError

from control.errors import CommandError
from control.store import CursorError, StoreError

CONTENT_TYPE = "application/problem+json"
TYPES = "/api/v1/docs#problem-"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class InvalidField:
    """One field at fault: ``pointer`` is a JSON Pointer into the body (RFC 6901), or a query parameter's name."""

    pointer: str
    reason: str
    parameter: bool = False

    @property
    def name(self) -> str:
        return self.pointer.lstrip("/")

    def json(self) -> dict[str, str]:
        where = {"parameter": self.pointer} if self.parameter else {"pointer": f"#{self.pointer}"}
        return {**where, "detail": self.reason}


class ProblemError(Exception):
    """Ends a request with a problem; ``kind`` names the type of problem, e.g. ``unsupported-media-type``."""

    def __init__(
        self,
        status: int,
        kind: str,
        title: str,
        detail: str,
        *,
        fields: Iterable[InvalidField] = (),
        headers: Mapping[str, str] | None = None,
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind
        self.title = title
        self.detail = detail
        self.fields = tuple(fields)
        self.headers = dict(headers or {})

    def response(self, instance: str) -> web.Response:
        """``instance`` names this very request: its X-Request-Id."""
        body: dict[str, Any] = {
            "type": TYPES + self.kind,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "instance": f"urn:request:{instance}",
        }
        if self.fields:
            body["errors"] = [field.json() for field in self.fields]
        return web.Response(
            status=self.status,
            body=json.dumps(body, ensure_ascii=False).encode(),
            headers={**self.headers, "Content-Type": CONTENT_TYPE, "Cache-Control": "no-store"},
        )


def invalid(fields: Iterable[InvalidField]) -> ProblemError:
    """422 with every field at fault."""
    fields = tuple(fields)
    detail = "; ".join(f"{field.name}: {field.reason}" if field.name else field.reason for field in fields)
    return ProblemError(422, "invalid-input", "A value is not acceptable", detail, fields=fields)


def invalid_parameter(name: str, reason: str) -> ProblemError:
    return invalid([InvalidField(name, reason, parameter=True)])


def problem_of(error: Exception) -> ProblemError:
    """The problem an exception of a handler stands for; what nobody foresaw is logged and becomes a plain 500."""
    if isinstance(error, ProblemError):
        return error
    if isinstance(error, CommandError):
        return _of_command(error)
    if isinstance(error, CursorError):
        return invalid_parameter("cursor", f"is {error}; start again without one")
    if isinstance(error, StoreError):
        log.error("request failed", error=str(error))
        title = "Not available now"
        return ProblemError(503, "unavailable", title, "the store does not answer", headers={"Retry-After": "10"})
    if isinstance(error, TimeoutError):
        return ProblemError(503, "timeout", "The request took too long", "nothing was answered in time")
    if isinstance(error, web.HTTPException):
        return _of_http(error)
    log.exception("request failed")
    return ProblemError(500, "internal", "The server made a mistake", "it is in the server's log under this request id")


def _of_command(error: CommandError) -> ProblemError:
    retry: int | None = getattr(error, "retry_after", None)
    kind = re.sub(r"(?<!^)(?=[A-Z])", "-", type(error).__name__.removesuffix("Error")).lower()
    field = error.field
    detail = f"{field.strip('/')}: {error.detail}" if field else error.detail
    return ProblemError(
        error.status,
        kind,
        error.title,
        detail,
        fields=[InvalidField(field, error.detail)] if field else (),
        headers={} if retry is None else {"Retry-After": str(retry)},
    )


_HTTP_DETAILS = {
    400: "the request is malformed",
    404: "there is nothing at this address",
    413: "the request's body is too large",
}


def _of_http(error: web.HTTPException) -> ProblemError:
    phrase = HTTPStatus(error.status).phrase
    kind = phrase.lower().replace(" ", "-")
    headers = {}
    detail = _HTTP_DETAILS.get(error.status, phrase)
    if isinstance(error, web.HTTPMethodNotAllowed):
        allow = ", ".join(sorted({*error.allowed_methods, "OPTIONS"}))
        headers["Allow"] = allow
        detail = f"{error.method} is not possible here; possible: {allow}"
    return ProblemError(error.status, kind, phrase, detail, headers=headers)


def fields_of(error: ValidationError, document: Any, *, parameters: bool = False) -> list[InvalidField]:
    """Each field pydantic found at fault, once; several reasons for one (the branches of a union) are joined."""
    reasons: dict[str, list[str]] = {}
    for one in error.errors(include_url=False, include_input=False):
        pointer = _pointer(one["loc"], document, missing=one["type"] in {"missing", "extra_forbidden"})
        reason = _reason(one["type"], one["msg"])
        if reason not in reasons.setdefault(pointer, []):
            reasons[pointer].append(reason)
    return [
        InvalidField(pointer.lstrip("/") if parameters else pointer, " or ".join(found), parameters)
        for pointer, found in reasons.items()
    ]


def _pointer(location: tuple[int | str, ...], document: Any, *, missing: bool) -> str:
    """``location`` as a JSON Pointer without the parts pydantic adds for the branches of a union."""
    parts, at = [], document
    for index, part in enumerate(location):
        if part in (at if isinstance(at, dict) else range(len(at)) if isinstance(at, list) else ()):
            at = at[part]
        elif not (missing and index == len(location) - 1):
            continue
        parts.append(str(part).replace("~", "~0").replace("/", "~1"))
    return "".join(f"/{part}" for part in parts)


def _reason(kind: str, message: str) -> str:
    if kind == "missing":
        return "is required"
    if kind == "extra_forbidden":
        return "is not a field known here"
    message = message.removeprefix("Value error, ").removeprefix("Input should ").removeprefix("String should ")
    return f"must {message}" if message.startswith(("be ", "have ", "match ", "not ")) else message
