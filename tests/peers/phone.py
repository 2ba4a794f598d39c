"""A pjsua2 phone in a process of its own: commands as JSON lines on stdin, events as JSON lines on stdout.

Run as ``python -m tests.peers.phone``; ``tests.peers.phones.Phone`` is the other end. The first line configures it:
``{"transport": "udp" | "tcp", "codecs": ["PCMA", ...], "play": WAV | null, "record": WAV, "user": NUMBER, "password":
TEXT | null, "registrar": "host:port" | null, "register": bool, "answer": bool}``. Commands: ``call`` (uri), ``answer``
(code), ``hangup`` (code), ``hold``, ``unhold``, ``dtmf`` (digits, method "rfc4733" | "info"), ``register``,
``unregister``, ``quit``.
Events: ``ready`` (address), ``registered`` (status, reason), ``incoming`` (from), ``call`` (state, status, reason),
``media`` (status, codec), ``digit`` (digit), ``error`` (text). It speaks of one call at a time, the newest.
"""

from __future__ import annotations

import contextlib
import json
import os
import select
from typing import Any

import pjsua2 as pj

# stdout belongs to the events; whatever the library prints goes to stderr
EVENTS = os.fdopen(os.dup(1), "w", buffering=1)
os.dup2(2, 1)

CLOCK_RATE = 16_000
HOLD_STATES = {
    pj.PJSUA_CALL_MEDIA_ACTIVE: "active",
    pj.PJSUA_CALL_MEDIA_LOCAL_HOLD: "local_hold",
    pj.PJSUA_CALL_MEDIA_REMOTE_HOLD: "remote_hold",
    pj.PJSUA_CALL_MEDIA_NONE: "none",
    pj.PJSUA_CALL_MEDIA_ERROR: "error",
}


def emit(event: str, **fields: object) -> None:
    with contextlib.suppress(BrokenPipeError):
        EVENTS.write(json.dumps({"event": event, **fields}) + "\n")


class PhoneCall(pj.Call):  # type: ignore[misc]
    """Reports its states; joins the phone's player and recorder to its audio."""

    def __init__(self, phone: PhoneAccount, call_id: int = pj.PJSUA_INVALID_ID) -> None:
        super().__init__(phone, call_id)
        self.phone = phone

    def onCallState(self, prm: Any) -> None:
        info = self.getInfo()
        emit("call", state=info.stateText, status=info.lastStatusCode, reason=info.lastReason)
        if info.state == pj.PJSIP_INV_STATE_DISCONNECTED and self.phone.call is self:
            self.phone.ended = self
            self.phone.call = None

    def onCallMediaState(self, prm: Any) -> None:
        # the elements live only as long as the info they are in
        info = self.getInfo()
        for index, media in enumerate(info.media):
            if media.type != pj.PJMEDIA_TYPE_AUDIO:
                continue
            codec = ""
            if media.status in (pj.PJSUA_CALL_MEDIA_ACTIVE, pj.PJSUA_CALL_MEDIA_REMOTE_HOLD):
                audio = self.getAudioMedia(index)
                if self.phone.player is not None:
                    self.phone.player.startTransmit(audio)
                if self.phone.recorder is not None:
                    audio.startTransmit(self.phone.recorder)
                codec = self.getStreamInfo(index).codecName
            emit("media", status=HOLD_STATES.get(media.status, "?"), codec=codec)

    def onDtmfDigit(self, prm: Any) -> None:
        emit("digit", digit=prm.digit)


class PhoneAccount(pj.Account):  # type: ignore[misc]
    """The phone's one account, registered or not."""

    def __init__(self, settings: dict[str, Any]) -> None:
        super().__init__()
        self.settings = settings
        self.call: PhoneCall | None = None
        self.ended: PhoneCall | None = None
        self.player: Any = None
        self.recorder: Any = None

    def onIncomingCall(self, prm: Any) -> None:
        call = PhoneCall(self, prm.callId)
        self.call = call
        emit("incoming", **{"from": call.getInfo().remoteUri})
        reply = pj.CallOpParam()
        reply.statusCode = 200 if self.settings.get("answer") else 180
        call.answer(reply)

    def onRegState(self, prm: Any) -> None:
        emit("registered", status=prm.code, reason=prm.reason, active=self.getInfo().regIsActive)

    def current(self) -> PhoneCall:
        if self.call is None:
            raise RuntimeError("there is no call")
        return self.call


def place_call(phone: PhoneAccount, command: dict[str, Any]) -> None:
    phone.call = PhoneCall(phone)
    phone.call.makeCall(command["uri"], pj.CallOpParam(True))


def answer(phone: PhoneAccount, command: dict[str, Any]) -> None:
    parameters = pj.CallOpParam()
    parameters.statusCode = command.get("code", 200)
    phone.current().answer(parameters)


def hang_up(phone: PhoneAccount, command: dict[str, Any]) -> None:
    parameters = pj.CallOpParam()
    parameters.statusCode = command.get("code", 0)
    phone.current().hangup(parameters)


def hold(phone: PhoneAccount, command: dict[str, Any]) -> None:
    phone.current().setHold(pj.CallOpParam())


def unhold(phone: PhoneAccount, command: dict[str, Any]) -> None:
    parameters = pj.CallOpParam(True)
    parameters.opt.flag = pj.PJSUA_CALL_UNHOLD
    phone.current().reinvite(parameters)


def dtmf(phone: PhoneAccount, command: dict[str, Any]) -> None:
    parameters = pj.CallSendDtmfParam()
    parameters.digits = command["digits"]
    info = command.get("method") == "info"
    parameters.method = pj.PJSUA_DTMF_METHOD_SIP_INFO if info else pj.PJSUA_DTMF_METHOD_RFC2833
    phone.current().sendDtmf(parameters)


def register(phone: PhoneAccount, command: dict[str, Any]) -> None:
    phone.setRegistration(command["do"] == "register")


COMMANDS = {
    "call": place_call,
    "answer": answer,
    "hangup": hang_up,
    "hold": hold,
    "unhold": unhold,
    "dtmf": dtmf,
    "register": register,
    "unregister": register,
}


def start(settings: dict[str, Any]) -> tuple[Any, PhoneAccount]:
    """The library and the account, as the settings want them."""
    endpoint = pj.Endpoint()
    endpoint.libCreate()
    config = pj.EpConfig()
    config.logConfig.level = config.logConfig.consoleLevel = int(settings.get("verbose", 4))
    config.uaConfig.threadCnt = 0
    config.uaConfig.mainThreadOnly = True
    config.medConfig.clockRate = config.medConfig.sndClockRate = CLOCK_RATE
    config.medConfig.ecTailLen = 0
    config.medConfig.noVad = True
    endpoint.libInit(config)
    tcp = settings.get("transport") == "tcp"
    transport = pj.TransportConfig()
    transport.boundAddress = "127.0.0.1"
    number = endpoint.transportCreate(pj.PJSIP_TRANSPORT_TCP if tcp else pj.PJSIP_TRANSPORT_UDP, transport)
    endpoint.libStart()
    endpoint.audDevManager().setNullDev()
    for codec in endpoint.codecEnum2():
        name = codec.codecId.split("/")[0].upper()
        wanted = [c.upper() for c in settings["codecs"]]
        endpoint.codecSetPriority(codec.codecId, 250 - wanted.index(name) if name in wanted else 0)
    phone = PhoneAccount(settings)
    phone.create(account_config(settings, tcp))
    if settings.get("play"):
        phone.player = pj.AudioMediaPlayer()
        phone.player.createPlayer(settings["play"])
    if settings.get("record"):
        phone.recorder = pj.AudioMediaRecorder()
        phone.recorder.createRecorder(settings["record"])
    address = endpoint.transportGetInfo(number).localName
    emit("ready", address=address)
    return endpoint, phone


def account_config(settings: dict[str, Any], tcp: bool) -> Any:
    user, registrar = settings["user"], settings.get("registrar")
    config = pj.AccountConfig()
    config.idUri = f"sip:{user}@{registrar or '127.0.0.1'}"
    if settings.get("password"):
        config.sipConfig.authCreds.append(pj.AuthCredInfo("digest", "*", user, 0, settings["password"]))
    if registrar and settings.get("register", True):
        config.regConfig.registrarUri = f"sip:{registrar}" + (";transport=tcp" if tcp else "")
        config.regConfig.retryIntervalSec = 0
    config.mediaConfig.transportConfig.boundAddress = "127.0.0.1"
    config.mediaConfig.transportConfig.port = 0
    config.mediaConfig.streamKaEnabled = False
    return config


def serve(endpoint: Any, phone: PhoneAccount) -> None:
    """Commands and the library's work by turns, in one thread, until quit or the end of stdin."""
    pending = b""
    while True:
        endpoint.libHandleEvents(10)
        # a call may only go once no callback of its own is on the stack
        phone.ended = None
        readable, _, _ = select.select([0], [], [], 0)
        if not readable:
            continue
        data = os.read(0, 65536)
        if not data:
            return
        *lines, pending = (pending + data).split(b"\n")
        for line in lines:
            command = json.loads(line)
            if command["do"] == "quit":
                return
            try:
                COMMANDS[command["do"]](phone, command)
            except (pj.Error, RuntimeError) as error:
                emit("error", do=command["do"], text=error.info() if isinstance(error, pj.Error) else str(error))


def main() -> None:
    with open(0, "rb", buffering=0, closefd=False) as commands:
        settings = json.loads(commands.readline())
    endpoint, phone = start(settings)
    serve(endpoint, phone)
    endpoint.hangupAllCalls()
    phone.shutdown()
    # the recorder writes the WAV's length when it goes
    if phone.call is not None:
        phone.ended = phone.call
    phone.player = phone.recorder = None
    EVENTS.flush()
    endpoint.libDestroy()
    # the call objects refer to the library that is gone
    os._exit(0)


if __name__ == "__main__":
    main()
