"""REST out of the command table: each command becomes one route, its input read, checked and run as the table says."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from aiohttp import web
from pydantic import BaseModel, ValidationError

from control.accounts import Accounts
from control.commands import Command, Context
from control.errors import CommandError
from control.http import paging, query
from control.http.bearer import Caller, recognise, token_in
from control.http.privacy import view
from control.http.problems import InvalidField, ProblemError, fields_of, invalid, invalid_parameter
from control.http.replay import Answer, Replays
from control.service import ConferenceService
from control.tokens import Tokens

JSON = "application/json"


class Routes:
    """The commands as aiohttp handlers."""

    def __init__(
        self,
        commands: Mapping[str, Command],
        service: ConferenceService,
        accounts: Accounts,
        tokens: Tokens,
        replays: Replays,
    ) -> None:
        self._commands = commands
        self._service = service
        self._accounts = accounts
        self._tokens = tokens
        self._replays = replays
        readable = [command.http.path for command in commands.values() if command.http.method == "GET"]
        self._collections = {path.rpartition("/")[0] for path in readable if path.endswith("}")}

    def add_to(self, router: web.UrlDispatcher) -> None:
        for command in self._commands.values():
            if command.http.method == "GET":
                router.add_get(command.http.path, self._handler(command))
            else:
                router.add_route(command.http.method, command.http.path, self._handler(command))

    def _handler(self, command: Command) -> Any:
        async def handle(request: web.Request) -> web.StreamResponse:
            caller = await recognise(self._tokens, token_in(request))
            caller.require(command.scopes)
            if command.http.method == "GET":
                return await self._read(command, caller, request)
            return await self._change(command, caller, request)

        return handle

    def _context(self, caller: Caller, request_key: str | None = None) -> Context:
        return Context(self._service, self._accounts, actor=caller.token.name, request_key=request_key)

    async def _read(self, command: Command, caller: Caller, request: web.Request) -> web.Response:
        given = query.read(request)
        window = value = None
        if paging.is_whole_list(command):
            window = query.check(paging.Window, given)
        elif command.input is not None:
            value = query.check(command.input, given)
        else:
            query.refuse_any(given)
        try:
            output = await command.run(self._context(caller), request.match_info, value)
        except CommandError as error:
            if error.field is not None and error.field.strip("/") in given:
                raise invalid_parameter(error.field.strip("/"), error.detail) from error
            raise
        data = {} if output is None else view(output, caller.scopes)
        if window is not None:
            data = paging.cut(data, window)
        response = web.json_response(data, status=command.http.status)
        if following := data.get("next_cursor"):
            target = f"{request.path}?{urlencode({**given, 'cursor': following})}"
            response.headers["Link"] = f'<{target}>; rel="next"'
        return response

    async def _change(self, command: Command, caller: Caller, request: web.Request) -> web.Response:
        query.refuse_any(query.read(request))
        document = await _document(request)
        value = _checked_body(command.input, document)

        async def work(request_key: str | None) -> Answer:
            output = await command.run(self._context(caller, request_key), request.match_info, value)
            return Answer(command.http.status, {} if output is None else view(output, caller.scopes))

        key = request.headers.get("Idempotency-Key")
        if key is not None and command.idempotent_by_key:
            told = json.dumps([request.method, request.path, document], sort_keys=True)
            answer = await self._replays.once(caller.token.id, key, told.encode(), work)
        else:
            answer = await work(None)
        return self._answered(command, request, answer)

    def _answered(self, command: Command, request: web.Request, answer: Answer) -> web.Response:
        if answer.status == 204:
            return web.Response(status=204)
        response = web.json_response(answer.body, status=answer.status)
        if answer.status == 201 and command.http.path in self._collections:
            response.headers["Location"] = f"{request.path}/{answer.body['id']}"
        if answer.replayed:
            response.headers["Idempotency-Replayed"] = "true"
        return response


async def _document(request: web.Request) -> Any:
    """The JSON of the body; an empty body is an empty object. Raises 400, 413, 415 problems."""
    body = await request.read()
    if not body.strip():
        return {}
    if request.content_type != JSON:
        detail = f"the body must be {JSON}, not {request.content_type}"
        raise ProblemError(415, "unsupported-media-type", "Unsupported Media Type", detail, headers={"Accept": JSON})
    try:
        return json.loads(body.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        detail = f"the body is not JSON: {error}"
        raise ProblemError(400, "malformed-json", "The body is not JSON", detail) from None


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _checked_body(model: type[BaseModel] | None, document: Any) -> BaseModel | None:
    if model is None:
        if document:
            raise invalid([InvalidField("", "takes no body")])
        return None
    try:
        return model.model_validate_json(json.dumps(document), strict=True)
    except ValidationError as error:
        raise invalid(fields_of(error, document)) from None
