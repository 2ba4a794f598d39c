"""The configuration: layers, every key documented, and one clear line for any mistake."""

from __future__ import annotations

import base64
import re
import tomllib
from pathlib import Path

import pytest

from control.config import ROOT, SHIPPED, Config, ConfigError, PortRange, Section, load_config


def test_the_shipped_file_says_the_defaults() -> None:
    assert load_config(None, {}) == Config()


def test_every_key_is_in_the_shipped_file_and_explained() -> None:
    shipped = tomllib.loads(SHIPPED.read_text())
    text = SHIPPED.read_text()
    page = (ROOT / "docs" / "configuration.md").read_text()

    def walk(model: type[Section], values: dict[str, object], at: str) -> None:
        assert list(values) == list(model.model_fields), f"[{at}]"
        for name, field in model.model_fields.items():
            inner = field.annotation
            if isinstance(inner, type) and issubclass(inner, Section):
                walk(inner, values[name], f"{at}.{name}".strip("."))  # type: ignore[arg-type]
            else:
                assert re.search(rf"^{name} = ", text, re.MULTILINE), name
                assert f"VECHE_{at.upper().replace('.', '__')}__{name.upper()}" in page

    walk(Config, shipped, "")


def test_the_file_given_counts_more_than_the_shipped_one_and_the_environment_most(tmp_path: Path) -> None:
    file = tmp_path / "own.toml"
    file.write_text('[http]\nport = 9000\nhost = "::1"\n[sip.trunk]\naddress = "sip.example.net:5060"\n')
    config = load_config(file, {"VECHE_HTTP__PORT": "18080", "HOME": "/root", "VECHE_PASSWORD": "not a key"})
    assert (config.http.port, config.http.host, config.sip.port) == (18080, "::1", 5060)
    assert config.sip.trunk.target == ("sip.example.net", 5060)


def test_the_environment_spells_lists_ranges_and_tables() -> None:
    config = load_config(
        None,
        {
            "VECHE_MEDIA__PORTS": "41000-41003",
            "VECHE_MEDIA__CODECS": "pcma, opus",
            "VECHE_SIP__TRANSPORTS": "UDP",
            "VECHE_SIP__TRUNK__PREFIXES": '[{"match": "80", "strip": 2, "add": "375"}]',
            "VECHE_SIP__TRUNK__ADDRESS": "[2001:db8::1]:5080",
        },
    )
    assert config.media.ports == PortRange(41000, 41003)
    assert list(config.media.ports.numbers) == [41000, 41001, 41002, 41003]
    assert (config.media.codecs, config.sip.transports) == (("PCMA", "OPUS"), ("udp",))
    assert (config.sip.trunk.prefixes[0].match, config.sip.trunk.prefixes[0].strip) == ("80", 2)
    assert config.sip.trunk.target == ("2001:db8::1", 5080)


@pytest.mark.parametrize(
    ("name", "value", "line"),
    [
        ("VECHE_HTTP__PORT", "99999", 'http.port = "99999": must be less than or equal to 65535'),
        ("VECHE_HTTP__PORT", "abc", 'http.port = "abc": must be a valid integer'),
        ("VECHE_HTTP__HOST", "1.2.3", "must be an IPv4 or IPv6 address"),
        ("VECHE_MEDIA__PORTS", "5-4", "must lie within 1-65535, the lower port first"),
        ("VECHE_MEDIA__PORTS", "5000-6000", "must hold at most 64 ports"),
        ("VECHE_SIP__TRANSPORTS", "udp,tls", "must be 'udp' or 'tcp'"),
        ("VECHE_SIP__TRANSPORTS", "", "must name at least one"),
        ("VECHE_SIP__TRANSPORTS", "udp,udp", "must not name one twice"),
        ("VECHE_SIP__TRUNK__ADDRESS", "provider", 'must be "host:port"'),
        ("VECHE_SIP__TRUNK__PREFIXES", "80", "must be a"),
        ("VECHE_DATA__KEY", "short", "32 bytes in base64"),
        ("VECHE_DATA__URL", "mysql://db/x", "data.url"),
        ("VECHE_LOG__LEVEL", "loud", "must be 'debug', 'info', 'warning' or 'error'"),
        ("VECHE_MEDIA__JITTER_MIN_MS", "900", "jitter_min_ms 900 must not be above jitter_max_ms 400"),
        ("VECHE_GUIDE__LINES", '[{"number": "80", "langauge": "ru"}]', "known: number, language, languages, keypad"),
        ("VECHE_GUIDE__LINES", '[{"number": "80", "language": "de"}]', "language de must be one of languages ru, be"),
        ("VECHE_GUIDE__LINES", '[{"number": "80"}, {"number": "80"}]', "must not name a number twice"),
        ("VECHE_GUIDE__LINES", '[{"number": "80", "keypad": "x"}]', "keypad.profiles has no profile x"),
        ("VECHE_KEYPAD__PROFILES", '[{"name": "a", "keys": {"mute": "*9"}}]', "mute and hand both have the keys *9"),
        ("VECHE_KEYPAD__PROFILES", '[{"name": "a"}, {"name": "a"}]', "must not name one twice"),
        ("VECHE_SIP__PORT", "40001", "media.ports 40000-40007 must not hold sip.port 40001"),
    ],
)
def test_a_bad_value_is_one_line_with_key_reason_and_origin(name: str, value: str, line: str) -> None:
    with pytest.raises(ConfigError) as error:
        load_config(None, {name: value})
    assert line in str(error.value)
    assert f"(from environment {name}" in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("VECHE_HTTP__PRT", "did you mean port?"),
        ("VECHE_HTPP__PORT", "did you mean http?"),
        ("VECHE_SIP__TRUNK__PASSWORT", "did you mean password?"),
        ("VECHE_HTTP__PORT__X", "keys of [http]: host, port"),
        ("VECHE_SIP__TRUNK", "keys of [sip]"),
    ],
)
def test_an_unknown_environment_name_stops_the_start(name: str, hint: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(hint)) as error:
        load_config(None, {name: "1"})
    assert "no such key" in str(error.value)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("[http]\nprt = 1", "http.prt: no such key; keys of [http]: host, port (did you mean port?)"),
        ("[htp]\nport = 1", "htp: no such key; sections: http, sip"),
        ("http = 3", "http = 3: must be a table"),
        ("[http]\nport = true", "http.port = true: must not be true or false"),
        ('[sip.trunk]\nprefixes = [{mtch = "1"}]', "sip.trunk.prefixes.0.mtch: no such key"),
        ("[http", "not TOML"),
    ],
)
def test_a_mistake_in_a_file_names_the_file(tmp_path: Path, text: str, line: str) -> None:
    file = tmp_path / "own.toml"
    file.write_text(text)
    with pytest.raises(ConfigError) as error:
        load_config(file, {})
    assert line in str(error.value)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file"):
        load_config(tmp_path / "none.toml", {})


def test_secrets_are_not_shown() -> None:
    key = base64.b64encode(b"k" * 32).decode()
    config = load_config(None, {"VECHE_SIP__TRUNK__PASSWORD": "geheim-7", "VECHE_DATA__KEY": key})
    assert "geheim-7" not in repr(config)
    assert key not in repr(config)
    with pytest.raises(ConfigError) as error:
        load_config(None, {"VECHE_DATA__KEY": "geheim-7"})
    assert "geheim-7" not in str(error.value)


def test_a_relative_data_folder_starts_at_the_working_tree() -> None:
    assert load_config(None, {}).data.folder == ROOT / "data"
    assert load_config(None, {"VECHE_DATA__DIR": "/var/lib/veche"}).data.folder == Path("/var/lib/veche")
