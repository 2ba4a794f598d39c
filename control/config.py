"""The configuration: typed, frozen, and read from files and the environment with one clear line on any mistake.

Layers, weakest first: the defaults below, ``config/veche.toml`` as shipped, the file given with ``--config``, the
environment (``VECHE_SECTION__KEY``). ``config/veche.toml`` documents every key.
"""

from __future__ import annotations

import base64
import binascii
import difflib
import ipaddress
import json
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainSerializer,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from control.keypad.keymap import Keymap, make_keymap

ROOT = Path(__file__).resolve().parent.parent
"""The working tree: the folder that holds ./veche. Relative data directories start here."""
SHIPPED = ROOT / "config" / "veche.toml"
ENV_PREFIX = "VECHE_"
MAX_LANES = 64
MAX_LANGUAGES = 9
DATABASE_FILE = "veche.db"

_HOST_NAME = re.compile(
    r"(?=.{1,253}$)[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?(\.[A-Za-z0-9_]([A-Za-z0-9_-]*[A-Za-z0-9_])?)*\.?"
)


class ConfigError(Exception):
    """The configuration cannot be used; ``str()`` is one line: key, value, what is allowed, where it came from."""


class PortRange(NamedTuple):
    """A range of UDP ports, both ends included; written "40000-40007" or "40000"."""

    first: int
    last: int

    def __str__(self) -> str:
        return f"{self.first}-{self.last}" if self.last > self.first else str(self.first)

    @property
    def numbers(self) -> range:
        return range(self.first, self.last + 1)


def _port_range(value: object) -> object:
    if isinstance(value, PortRange):
        return value
    match = re.fullmatch(r"\s*(\d{1,5})\s*(?:-\s*(\d{1,5})\s*)?", str(value)) if isinstance(value, int | str) else None
    if match is None:
        raise ValueError('must be a range of UDP ports such as "40000-40007"')
    first, last = int(match[1]), int(match[2] or match[1])
    if not 1 <= first <= last <= 65535:
        raise ValueError("must lie within 1-65535, the lower port first")
    if last - first >= MAX_LANES:
        raise ValueError(f"must hold at most {MAX_LANES} ports")
    return PortRange(first, last)


def _comma_list(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _json_list(value: object) -> object:
    """Tables inside a list have no spelling in the environment: there the value is JSON."""
    if not isinstance(value, str):
        return value
    try:
        return json.loads(value)
    except ValueError as error:
        raise ValueError("must be a list of tables in JSON, see config/veche.toml") from error


def _lower(value: object) -> object:
    return value.lower() if isinstance(value, str) else value


def _upper(value: object) -> object:
    return value.upper() if isinstance(value, str) else value


def _distinct(value: tuple[str, ...]) -> tuple[str, ...]:
    if not value:
        raise ValueError("must name at least one")
    if len(set(value)) < len(value):
        raise ValueError("must not name one twice")
    return value


def _address(value: str) -> str:
    try:
        ipaddress.ip_address(value)
    except ValueError as error:
        raise ValueError("must be an IPv4 or IPv6 address such as 127.0.0.1") from error
    return value


def _host(value: str) -> str:
    if not _HOST_NAME.fullmatch(value):
        return _address(value)
    if re.fullmatch(r"[\d.]+", value):
        return _address(value)
    return value


def split_host_port(value: str) -> tuple[str, int]:
    """``host:port`` or ``[v6]:port`` -> (host, port). Raises ValueError."""
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.]+)\]|([^\[\]:\s]+)):(\d{1,5})", value)
    if match is None or not 1 <= int(match[3]) <= 65535:
        raise ValueError('must be "host:port", e.g. "sip.example.net:5060" or "[2001:db8::1]:5060"')
    return _host(match[1] or match[2]), int(match[3])


def _trunk_address(value: str) -> str:
    split_host_port(value)
    return value


def _v6(value: str) -> str:
    if ipaddress.ip_address(_address(value)).version != 6:
        raise ValueError("must be an IPv6 address")
    return value


def _sealing_key(value: SecretStr) -> SecretStr:
    if value.get_secret_value():
        decode_key(value.get_secret_value())
    return value


def decode_key(text: str) -> bytes:
    """The 32 bytes of a base64 (either alphabet) key. Raises ValueError."""
    try:
        key = base64.b64decode(text.strip().replace("-", "+").replace("_", "/"), validate=True)
    except binascii.Error as error:
        raise ValueError("must be 32 bytes in base64 (make one: openssl rand -base64 32)") from error
    if len(key) != 32:
        raise ValueError("must be 32 bytes in base64 (make one: openssl rand -base64 32)")
    return key


def _not_empty(value: object) -> object:
    if value == "":
        raise ValueError("must name a folder")
    return value


def _or_empty(check: Any) -> Any:
    return AfterValidator(lambda value: check(value) if value else value)


Host = Annotated[str, AfterValidator(_host)]
OptionalHost = Annotated[str, _or_empty(_host)]
Address = Annotated[str, AfterValidator(_address)]
Port = Annotated[int, Field(ge=0, le=65535)]
Ports = Annotated[PortRange, BeforeValidator(_port_range), PlainSerializer(str)]
Transport = Annotated[Literal["udp", "tcp"], BeforeValidator(_lower)]
Language = Annotated[str, Field(pattern=r"^[a-z]{2,3}$")]
CodecName = Annotated[Literal["OPUS", "G722", "PCMA", "PCMU"], BeforeValidator(_upper)]


class Section(BaseModel):
    """Base of all sections: nothing unknown, nothing changed later."""

    model_config = ConfigDict(frozen=True, extra="forbid", hide_input_in_errors=True)

    @field_validator("*", mode="before")
    @classmethod
    def _no_booleans(cls, value: object) -> object:
        # pydantic would read true as the number 1
        if isinstance(value, bool):
            raise ValueError("must not be true or false")
        return value

    def _check_order(self, low: str, high: str) -> None:
        if getattr(self, low) > getattr(self, high):
            raise ValueError(f"{low} {getattr(self, low)} must not be above {high} {getattr(self, high)}")


class HttpConfig(Section):
    """Where the API and the portal listen."""

    host: Host = "127.0.0.1"
    port: Port = 8080


class PrefixRule(Section):
    """A number that begins with ``match`` loses ``strip`` characters in front and gets ``add`` there."""

    match: str = Field(default="", pattern=r"^[+\d*#]*$")
    strip: int = Field(default=0, ge=0, le=20)
    add: str = Field(default="", pattern=r"^[+\d*#]*$")


class TrunkConfig(Section):
    """The provider that takes calls to numbers not registered here."""

    address: Annotated[str, _or_empty(_trunk_address)] = ""
    transport: Transport = "udp"
    user: str = ""
    password: SecretStr = SecretStr("")
    from_user: str = ""
    prefixes: Annotated[tuple[PrefixRule, ...], BeforeValidator(_json_list)] = (PrefixRule(),)

    @property
    def target(self) -> tuple[str, int] | None:
        """(host, port), or None when there is no trunk."""
        return split_host_port(self.address) if self.address else None


class SipConfig(Section):
    """Where phones reach us, the registrar's bounds, the trunk."""

    host: Host = "127.0.0.1"
    port: Port = 5060
    transports: Annotated[tuple[Transport, ...], BeforeValidator(_comma_list), AfterValidator(_distinct)] = (
        "udp",
        "tcp",
    )
    domain: OptionalHost = ""
    announce: OptionalHost = ""
    min_expires: int = Field(default=60, ge=1, le=86400)
    max_expires: int = Field(default=3600, ge=1, le=86400)
    trunk: TrunkConfig = TrunkConfig()

    @property
    def realm(self) -> str:
        """The digest realm phone passwords are bound to."""
        return self.domain or self.host

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        self._check_order("min_expires", "max_expires")
        return self


class MediaConfig(Section):
    """The media sockets, the jitter buffer's bounds, the codecs."""

    host: Address = "127.0.0.1"
    host6: Annotated[str, _or_empty(_v6)] = ""
    ports: Ports = PortRange(40000, 40007)
    announce: OptionalHost = ""
    mixers: int = Field(default=0, ge=0, le=64)
    jitter_min_ms: int = Field(default=10, ge=0, le=1000)
    jitter_max_ms: int = Field(default=400, ge=20, le=2000)
    inactivity_seconds: float = Field(default=30, gt=0, le=3600)
    codecs: Annotated[tuple[CodecName, ...], BeforeValidator(_comma_list), AfterValidator(_distinct)] = (
        "OPUS",
        "G722",
        "PCMA",
        "PCMU",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        self._check_order("jitter_min_ms", "jitter_max_ms")
        return self


class ConferenceConfig(Section):
    """What new conferences get and the most they may have."""

    number_digits: int = Field(default=6, ge=3, le=12)
    pin_digits: int = Field(default=6, ge=4, le=12)
    default_duration_minutes: int = Field(default=60, ge=1)
    max_duration_minutes: int = Field(default=1440, ge=1, le=43200)
    default_seats: int = Field(default=50, ge=1)
    max_seats: int = Field(default=2000, ge=1, le=100_000)
    ring_seconds: float = Field(default=45, gt=0, le=600)

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        self._check_order("default_duration_minutes", "max_duration_minutes")
        self._check_order("default_seats", "max_seats")
        return self


class GuideLine(Section):
    """A dial-in number: callers of it are asked for the conference's number, in a language of their choice."""

    number: str = Field(pattern=r"^\d{1,32}$")
    language: Language = "ru"
    languages: Annotated[tuple[Language, ...], BeforeValidator(_comma_list), AfterValidator(_distinct)] = (
        "ru",
        "be",
        "en",
    )
    keypad: str = Field(default="default", min_length=1)

    @model_validator(mode="after")
    def _offered(self) -> Self:
        if self.language not in self.languages:
            raise ValueError(f"language {self.language} must be one of languages {', '.join(self.languages)}")
        if len(self.languages) > MAX_LANGUAGES:
            raise ValueError(f"languages must name at most {MAX_LANGUAGES}: each needs a key")
        return self


class GuideConfig(Section):
    """The voice guide: dial-in numbers, and how patient it is."""

    lines: Annotated[tuple[GuideLine, ...], BeforeValidator(_json_list)] = ()
    language: Language = "ru"
    attempts: int = Field(default=3, ge=1, le=10)
    answer_seconds: float = Field(default=8, ge=2, le=60)
    pause_seconds: float = Field(default=4, ge=1, le=20)
    limit_seconds: float = Field(default=300, ge=30, le=3600)
    wait_minutes: float = Field(default=30, ge=1, le=1440)
    name_seconds: float = Field(default=5, ge=1, le=30)

    @model_validator(mode="after")
    def _once(self) -> Self:
        numbers = [line.number for line in self.lines]
        if len(set(numbers)) < len(numbers):
            raise ValueError("lines must not name a number twice")
        return self


class KeypadProfile(Section):
    """Which keys do what in a conference, where it differs from the default."""

    name: str = Field(min_length=1)
    keys: dict[str, str] = {}

    @model_validator(mode="after")
    def _unambiguous(self) -> Self:
        make_keymap(self.keys)
        return self


class KeypadConfig(Section):
    """The keypad in a conference."""

    pause_seconds: float = Field(default=1.5, ge=0.5, le=10)
    extend_minutes: int = Field(default=30, ge=1, le=1440)
    profiles: Annotated[tuple[KeypadProfile, ...], BeforeValidator(_json_list)] = ()

    @model_validator(mode="after")
    def _once(self) -> Self:
        names = [profile.name for profile in self.profiles]
        if len(set(names)) < len(names):
            raise ValueError("profiles must not name one twice")
        return self

    @property
    def keymaps(self) -> dict[str, Keymap]:
        """By profile name; ``default`` is always among them."""
        return {"default": make_keymap({}), **{profile.name: make_keymap(profile.keys) for profile in self.profiles}}


class PromptsConfig(Section):
    """What is spoken to people on the telephone, and the music they wait with."""

    languages: Annotated[tuple[Language, ...], BeforeValidator(_comma_list), AfterValidator(_distinct)] = (
        "ru",
        "be",
        "en",
    )
    prepare: Annotated[Literal["start", "use"], BeforeValidator(_lower)] = "start"
    level_dbov: float = Field(default=-24, ge=-40, le=-12)
    music_level_dbov: float = Field(default=-34, ge=-60, le=-12)
    cache_dir: str = ""

    @property
    def cache_folder(self) -> Path | None:
        """``cache_dir`` as an absolute path; a relative one starts at the working tree. None: in the data folder."""
        return ROOT / Path(self.cache_dir).expanduser() if self.cache_dir else None


class DataConfig(Section):
    """Where things are kept, and the key secrets are sealed with."""

    dir: Annotated[Path, BeforeValidator(_not_empty)] = Path("data")
    url: str = Field(default="", pattern=r"^$|^(sqlite|postgresql)://.*$")
    key: Annotated[SecretStr, AfterValidator(_sealing_key)] = SecretStr("")

    @property
    def folder(self) -> Path:
        """``dir`` as an absolute path; a relative one starts at the working tree."""
        return ROOT / self.dir.expanduser()

    @property
    def database_url(self) -> str:
        return self.url or f"sqlite:///{self.folder / DATABASE_FILE}"


class LogConfig(Section):
    """How loud, and for whom."""

    level: Annotated[Literal["debug", "info", "warning", "error"], BeforeValidator(_lower)] = "info"
    format: Annotated[Literal["auto", "json", "console"], BeforeValidator(_lower)] = "auto"


class Config(Section):
    """The whole configuration."""

    http: HttpConfig = HttpConfig()
    sip: SipConfig = SipConfig()
    media: MediaConfig = MediaConfig()
    conference: ConferenceConfig = ConferenceConfig()
    guide: GuideConfig = GuideConfig()
    keypad: KeypadConfig = KeypadConfig()
    prompts: PromptsConfig = PromptsConfig()
    data: DataConfig = DataConfig()
    log: LogConfig = LogConfig()

    @model_validator(mode="after")
    def _apart(self) -> Self:
        if "udp" in self.sip.transports and self.sip.port in self.media.ports.numbers:
            raise ValueError(f"media.ports {self.media.ports} must not hold sip.port {self.sip.port}: both are UDP")
        for line in self.guide.lines:
            if line.keypad not in self.keypad.keymaps:
                raise ValueError(f"guide.lines {line.number}: keypad.profiles has no profile {line.keypad}")
        spoken = {self.guide.language, *(language for line in self.guide.lines for language in line.languages)}
        if unknown := sorted(spoken - set(self.prompts.languages)):
            raise ValueError(f"guide uses the language {', '.join(unknown)}, which prompts.languages does not have")
        return self


_LISTED: Mapping[str, type[Section]] = {
    "sip.trunk.prefixes": PrefixRule,
    "guide.lines": GuideLine,
    "keypad.profiles": KeypadProfile,
}
"""What the tables of a list hold."""


# --- reading it ------------------------------------------------------------------------------------------------------


def load_config(path: Path | None, environ: Mapping[str, str]) -> Config:
    """The configuration from the shipped file, ``path`` (if given) and ``environ``. Raises ConfigError."""
    values: dict[str, Any] = {}
    origins: dict[str, str] = {}
    for file in (SHIPPED, path):
        if file is not None and (file != SHIPPED or file.exists()):
            _merge(values, _read(file), origins, str(file))
    for name, text in environ.items():
        if name.startswith(ENV_PREFIX) and "__" in name:
            _set_from_environment(values, origins, name, text)
    try:
        return Config.model_validate(values)
    except ValidationError as error:
        raise ConfigError(_describe(error.errors(include_url=False)[0], origins)) from None


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(f"configuration file {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"configuration file {path}: not TOML: {error}") from error


def _merge(into: dict[str, Any], layer: Mapping[str, Any], origins: dict[str, str], origin: str, at: str = "") -> None:
    for key, value in layer.items():
        name = f"{at}{key}"
        if isinstance(value, dict) and isinstance(into.get(key, {}), dict):
            _merge(into.setdefault(key, {}), value, origins, origin, f"{name}.")
        else:
            into[key] = value
        origins[name] = origin


def _set_from_environment(values: dict[str, Any], origins: dict[str, str], name: str, text: str) -> None:
    keys = name.removeprefix(ENV_PREFIX).lower().split("__")
    if _model_at(keys) is not None or _model_at(keys[:-1]) is None:
        raise ConfigError(f"environment {name}: no such key; {_known(keys)}")
    layer: dict[str, Any] = {keys[-1]: text}
    for key in reversed(keys[:-1]):
        layer = {key: layer}
    _merge(values, layer, origins, f"environment {name}")


def _model_at(keys: list[str]) -> type[Section] | None:
    """The section class ``keys`` lead to; None when they lead to a plain key or nowhere."""
    model: type[Section] = Config
    for key in keys:
        field = model.model_fields.get(key)
        if field is None or not (isinstance(field.annotation, type) and issubclass(field.annotation, Section)):
            return None
        model = field.annotation
    return model


def _known(keys: list[str]) -> str:
    """What would have been right in place of the unknown ``keys``."""
    depth = next((d for d in range(len(keys) - 1, -1, -1) if _model_at(keys[:d]) is not None), 0)
    model = _model_at(keys[:depth]) or Config
    names = list(model.model_fields)
    close = difflib.get_close_matches(keys[depth], names, n=1) if depth < len(keys) else []
    where = f"keys of [{'.'.join(keys[:depth])}]" if depth else "sections"
    return f"{where}: {', '.join(names)}" + (f" (did you mean {close[0]}?)" if close else "")


def _describe(error: ErrorDetails, origins: Mapping[str, str]) -> str:
    """One line: key = value, what is allowed, where it came from."""
    keys = [str(part) for part in error["loc"]]
    name = ".".join(keys)
    message = error["msg"].removeprefix("Value error, ")
    message = message.replace("Input should be", "must be").replace("String should", "must")
    across = isinstance(error["input"], dict | Section) and error["type"] == "value_error"
    inside_a_list = any(key.isdigit() for key in keys)
    origin = _origin([] if across and not inside_a_list else keys, message, origins)
    if error["type"] == "extra_forbidden":
        dotted = [key for key in keys if not key.isdigit()]
        listed = _LISTED.get(".".join(dotted[:-1]))
        known = f"known: {', '.join(listed.model_fields)}" if listed else _known(dotted)
        return f"{name}: no such key; {known} (from {origin})"
    if error["type"] == "model_type":
        message = "must be a table"
    elif across:
        return f"{name + ': ' if name else ''}{message} (from {origin})"
    secret = keys[-1] in {"password", "key"}
    shown = "(hidden)" if secret else json.dumps(error["input"], default=str, ensure_ascii=False)
    return f"{name} = {shown}: {message} (from {origin})"


def _origin(keys: list[str], message: str, origins: Mapping[str, str]) -> str:
    """Where the value at ``keys`` came from; for a check of several keys, where those the message names came from."""
    for length in range(len(keys), 0, -1):
        if (name := ".".join(keys[:length])) in origins:
            return origins[name]
    words = set(message.split())
    named = {origin: None for key, origin in origins.items() if key in words or key.rsplit(".", 1)[-1] in words}
    return ", ".join(named) or "the built-in defaults"
