"""The server: its parts started in order, a line telling where they are, and an orderly stop.

Start: store, accounts, media, conferences, SIP, HTTP; whoever reaches one finds all that it needs. Stop, on SIGTERM or
Ctrl-C: it is announced to all who listen to events, calls get their BYE and their records, HTTP says goodbye, then the
others end in reverse. Conferences are kept, and go on with the next server.
"""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from importlib import metadata
from typing import Any

import structlog

from control import logging
from control.accounts import Accounts
from control.calls import CallSettings
from control.config import Config, TrunkConfig
from control.http.app import Health, HttpServer
from control.media import CAPACITY, MediaError, MixerPool
from control.memory import give_back
from control.service import ConferenceService
from control.store import Store, StoreError
from sip.config import SipConfig
from sip.endpoint import Endpoint
from sip.peer import Peer
from sip.trunk import PrefixRule, Trunk

DEFAULT_SIP_PORT = 5060
RING_GRACE_SECONDS = 5.0
"""The conference gives a ringing phone up first; the SIP agent's own limit is there for what it misses."""
_ELSEWHERE = ("192.0.2.1", "2001:db8::1")
_WILDCARDS = {"0.0.0.0", "::"}  # noqa: S104 compared with, not bound to

log = structlog.get_logger(__name__)


class StartError(Exception):
    """The server cannot start; ``str()`` is one clear line."""


def run(config: Config) -> None:
    """Serve until SIGTERM or Ctrl-C. Ends in SystemExit: 0 after an orderly stop, 2 when the start failed."""
    logging.configure(config.log)
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(_serve(config))
    except StartError as error:
        sys.stderr.write(f"veche: {error}\n")
        raise SystemExit(2) from None
    raise SystemExit(0)


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(config: Config) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    loop.set_exception_handler(_log_loose_end)
    async with running(config) as server:
        server.announce()
        # what stands now stays: the collector need not look at it again
        gc.collect()
        gc.freeze()
        tidying = asyncio.create_task(give_back(), name="memory")
        await stop.wait()
        tidying.cancel()
        log.info("stopping", calls=len(server.service.calls.legs))
    log.info("stopped")


def _log_loose_end(loop: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    error = context.get("exception")
    log.error("unhandled", what=context.get("message"), exc_info=error if error is not None else False)


class Server:
    """The running parts."""

    def __init__(
        self, config: Config, store: Store, media: MixerPool, endpoint: Endpoint, service: ConferenceService
    ) -> None:
        self.config = config
        self.store = store
        self.media = media
        self.endpoint = endpoint
        self.service = service
        self.http: HttpServer

    @property
    def sip_host(self) -> str:
        """What phones call: host, and port if it is not the usual one."""
        target = next(t for t in _ELSEWHERE if (":" in t) == (":" in self.config.sip.host))
        host, port = self.endpoint.local_address(Peer("udp", target, DEFAULT_SIP_PORT))
        host = self.config.sip.domain or (f"[{host}]" if ":" in host else host)
        return host if port == DEFAULT_SIP_PORT else f"{host}:{port}"

    def health(self) -> Health:
        return Health(
            components={"media": None if self.media.healthy else "the mixer is being restarted", "sip": None},
            version=metadata.version("veche"),
            sip=(self.config.sip.host, self.endpoint.port),
        )

    def announce(self) -> None:
        """Say where things are: to a person on a terminal, else to the log."""
        host, port = self.http.address
        shown = "localhost" if host in _WILDCARDS else f"[{host}]" if ":" in host else host
        base = f"http://{shown}:{port}"
        sip, media = self.sip_host, self.config.media
        if not sys.stdout.isatty():
            log.info("ready", portal=f"{base}/", docs=f"{base}/api/v1/docs", sip=sip, media=f"{media.ports}/udp")
            return
        sys.stdout.write(
            f"\nVeche {metadata.version('veche')} is ready. Ctrl-C stops it.\n\n"
            f"  Portal      {base}/\n"
            f"  API         {base}/api/v1/docs\n"
            f"  Phones      sip:NUMBER@{sip}  ({', '.join(self.config.sip.transports).upper()})\n"
            f"  Media       UDP {media.ports} at {media.announce or media.host}\n"
            f"  Data        {self.config.data.folder}\n\n"
            "  A token     ./veche token create --name me --scope operator\n\n"
        )
        sys.stdout.flush()


@asynccontextmanager
async def running(config: Config, *, mixer_capacity: int = CAPACITY) -> AsyncIterator[Server]:
    """Start the parts, and stop them at the end. ``mixer_capacity``: most legs of a mixer. Raises StartError."""
    async with AsyncExitStack() as parts:
        try:
            server = await _start(config, parts, mixer_capacity)
        except (StoreError, MediaError) as error:
            raise StartError(str(error)) from error
        yield server


async def _start(config: Config, parts: AsyncExitStack, mixer_capacity: int) -> Server:
    store = await Store.open(config.data, exclusive=True)
    parts.push_async_callback(store.close)
    accounts = Accounts(store, config.sip.realm)
    await accounts.start()
    parts.push_async_callback(accounts.close)
    media = MixerPool(config.media, capacity=mixer_capacity)
    await media.start()
    parts.push_async_callback(media.close)
    endpoint = Endpoint(_sip_config(config), accounts.credentials, _trunks(config.sip.trunk))
    service = ConferenceService(
        store,
        endpoint,
        media,
        config.conference,
        sip_host="",
        calls=CallSettings(config.media.codecs, config.media.inactivity_seconds),
    )
    await service.start()
    try:
        await endpoint.start()
    except OSError as error:
        raise _in_use("sip", config.sip.host, config.sip.port, error) from error
    parts.push_async_callback(endpoint.close, "The server is being stopped")
    server = Server(config, store, media, endpoint, service)
    service.sip_host = server.sip_host
    server.http = HttpServer(config.http, service=service, store=store, accounts=accounts, health=server.health)
    parts.push_async_callback(server.http.close)
    parts.push_async_callback(service.stop)
    try:
        await server.http.start()
    except OSError as error:
        raise _in_use("http", config.http.host, config.http.port, error) from error
    return server


def _in_use(section: str, host: str, port: int, error: OSError) -> StartError:
    return StartError(
        f"{section}.port: cannot listen on {host} port {port}: {os.strerror(error.errno) if error.errno else error}"
        f" (choose others with VECHE_{section.upper()}__HOST and VECHE_{section.upper()}__PORT)"
    )


def _sip_config(config: Config) -> SipConfig:
    sip = config.sip
    return SipConfig(
        hosts=(sip.host,),
        port=sip.port,
        transports=sip.transports,
        announce=sip.announce,
        domain=sip.realm,
        ring_seconds=config.conference.ring_seconds + RING_GRACE_SECONDS,
        user_agent=f"Veche/{metadata.version('veche')}",
        min_expires=sip.min_expires,
        max_expires=sip.max_expires,
    )


def _trunks(config: TrunkConfig) -> list[Trunk]:
    if config.target is None:
        return []
    host, port = config.target
    rules = tuple(PrefixRule(rule.match, rule.strip, rule.add) for rule in config.prefixes)
    return [
        Trunk(
            "trunk",
            host,
            port,
            transport=config.transport,
            user=config.user,
            password=config.password.get_secret_value(),
            from_user=config.from_user,
            prefixes=rules,
        )
    ]
