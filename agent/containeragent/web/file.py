# SPDX-License-Identifier: Apache-2.0
"""The web configuration file of Prometheus' exporters (exporter-toolkit): who may read the metrics, and by TLS or not.

In: YAML. Out: a WebConfig, or Refused with one line; a key that exporter-toolkit does not know is refused, and so is
what it knows and we cannot do. Scalars are read as text, as Go does where text is wanted: a user may be called `no`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from containeragent import small_file
from containeragent.errors import Refused

VERSIONS = ("TLS10", "TLS11", "TLS12", "TLS13")
CLIENT_AUTH = ("NoClientCert", "VerifyClientCertIfGiven", "RequireAndVerifyClientCert")
_UNVERIFIED = ("RequestClientCert", "RequireAnyClientCert", "RequireClientCert")
_HEADERS: dict[str, tuple[str, ...]] = {
    "Content-Security-Policy": (),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-Content-Type-Options": ("nosniff",),
    "X-XSS-Protection": (),
    "Strict-Transport-Security": (),
}
_TOP = ("tls_server_config", "http_server_config", "basic_auth_users", "rate_limit")
_TEXTS = ("cert", "key", "client_ca", "cert_file", "key_file", "client_ca_file")
_LISTS = ("client_allowed_sans", "cipher_suites", "curve_preferences")
_TLS = (*_TEXTS, *_LISTS, "client_auth_type", "min_version", "max_version", "prefer_server_cipher_suites")
_HASH = re.compile(r"\$2[aby]\$(0[4-9]|[12][0-9]|3[01])\$[./A-Za-z0-9]{53}")
_DURATION = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ns|us|ms|s|m|h)")
_SECONDS = {"ns": 1e-9, "us": 1e-6, "ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


@dataclass(frozen=True)
class Tls:
    """Certificates and keys are files, or PEM text; "" is none."""

    cert: str = field(default="", repr=False)
    key: str = field(default="", repr=False)
    client_ca: str = field(default="", repr=False)
    cert_file: str = ""
    key_file: str = ""
    client_ca_file: str = ""
    client_auth_type: str = "NoClientCert"
    client_allowed_sans: tuple[str, ...] = ()
    cipher_suites: tuple[str, ...] = ()
    curve_preferences: tuple[str, ...] = ()
    min_version: str = "TLS12"
    max_version: str = "TLS13"
    prefer_server_cipher_suites: bool = True


@dataclass(frozen=True)
class WebConfig:
    """`users` are bcrypt hashes by name; none: nobody is asked. `rate` is the seconds between requests, 0 for no limit,
    and how many may come at once.
    """

    tls: Tls | None = None
    users: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict)
    rate: tuple[float, int] = (0.0, 0)


class _Loader(yaml.BaseLoader):
    """All scalars are text; the same key twice is an error."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        """Of texts."""
        keys = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if not isinstance(key, str):
                raise yaml.constructor.ConstructorError(None, None, "a key is not text", node.start_mark)
            if key in keys:
                raise yaml.constructor.ConstructorError(None, None, f"{key} is there twice", node.start_mark)
            keys.add(key)
        return super().construct_mapping(node, deep)


class _Shape:
    """Takes a document apart, and refuses what does not fit. Secrets are never shown."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def refuse(self, why: str) -> Refused:
        return small_file.refusal(self._path, why)

    def mapping(self, value: Any, where: str, known: tuple[str, ...] | None = None) -> dict[str, Any]:
        if value == "" or value is None:
            return {}
        if not isinstance(value, dict):
            raise self.refuse(f"{where} is no mapping")
        unknown = set(value) - set(known) if known is not None else set()
        if unknown:
            raise self.refuse(f"there is no key {min(unknown)!r} in {where}; known are {', '.join(known or ())}")
        return value

    def text(self, value: Any, key: str) -> str:
        if not isinstance(value, str):
            raise self.refuse(f"{key} is no text")
        return value

    def texts(self, value: Any, key: str) -> tuple[str, ...]:
        if not isinstance(value, list):
            raise self.refuse(f"{key} is no list")
        return tuple(self.text(one, key) for one in value)

    def choice(self, value: Any, key: str, choices: tuple[str, ...]) -> str:
        if value not in choices:
            raise self.refuse(f"{key} is none of {', '.join(choices)}")
        return str(value)

    def yes(self, value: Any, key: str) -> bool:
        return self.choice(value, key, ("true", "false")) == "true"


def parse(text: str, path: Path) -> WebConfig:
    """`path` is where the text is from: names of files in it are relative to its folder."""
    shape = _Shape(path)
    try:
        found = yaml.load(text, _Loader)  # it makes texts alone
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise shape.refuse(f"line {line}: {error.problem}") from None
    except (yaml.YAMLError, RecursionError):
        raise shape.refuse("it is no YAML") from None
    top = shape.mapping(found, "the file", _TOP)
    http = shape.mapping(top.get("http_server_config"), "http_server_config", ("http2", "headers"))
    if "http2" in http:
        shape.yes(http["http2"], "http2")  # whether it is allowed: we speak HTTP/1.1
    tls = shape.mapping(top.get("tls_server_config"), "tls_server_config", _TLS)
    return WebConfig(
        tls=_tls(shape, tls, path.parent) if any(tls.get(key) for key in (*_TEXTS, "client_auth_type")) else None,
        users=_users(shape, shape.mapping(top.get("basic_auth_users"), "basic_auth_users")),
        headers=_headers(shape, shape.mapping(http.get("headers"), "headers", tuple(_HEADERS))),
        rate=_rate(shape, shape.mapping(top.get("rate_limit"), "rate_limit", ("interval", "burst"))),
    )


def _tls(shape: _Shape, found: dict[str, Any], folder: Path) -> Tls:
    values: dict[str, Any] = {key: shape.text(found[key], key) for key in _TEXTS if found.get(key)}
    for key in ("cert_file", "key_file", "client_ca_file"):
        if key in values:
            values[key] = str(folder / values[key])
    values |= {key: shape.texts(found[key], key) for key in _LISTS if found.get(key)}
    values |= {key: shape.choice(found[key], key, VERSIONS) for key in ("min_version", "max_version") if found.get(key)}
    if "prefer_server_cipher_suites" in found:
        values["prefer_server_cipher_suites"] = shape.yes(
            found["prefer_server_cipher_suites"], "prefer_server_cipher_suites"
        )
    if (kind := found.get("client_auth_type")) in _UNVERIFIED:
        raise shape.refuse(f"client_auth_type {kind} asks for a certificate and does not verify it, which is not done "
                           "here; take RequireAndVerifyClientCert")  # fmt: skip
    if kind:
        values["client_auth_type"] = shape.choice(kind, "client_auth_type", CLIENT_AUTH)
    tls = Tls(**values)
    for key in ("cert", "key"):
        if f"{key}_file" not in values and key not in values:
            raise shape.refuse(f"tls_server_config has neither {key} nor {key}_file")
    if (tls.client_ca or tls.client_ca_file) and tls.client_auth_type == "NoClientCert":
        raise shape.refuse("there is a client CA, but client_auth_type does not ask for certificates of clients")
    if tls.client_auth_type != "NoClientCert" and not (tls.client_ca or tls.client_ca_file):
        raise shape.refuse("certificates of clients cannot be verified without client_ca_file")
    if tls.client_allowed_sans and tls.client_auth_type != "RequireAndVerifyClientCert":
        raise shape.refuse("client_allowed_sans needs client_auth_type: RequireAndVerifyClientCert")
    return tls


def _users(shape: _Shape, found: dict[str, Any]) -> dict[str, str]:
    for user, hashed in found.items():
        if not isinstance(hashed, str) or not _HASH.fullmatch(hashed):
            raise shape.refuse(f"the password of {user!r} is no bcrypt hash; make one with: htpasswd -nBC 10 {user}")
    return found


def _headers(shape: _Shape, found: dict[str, Any]) -> dict[str, str]:
    for name, value in found.items():
        shape.text(value, name)
        if not value.isprintable() or not value.isascii():
            raise shape.refuse(f"the header {name} has characters that no header can have")
        if value and _HEADERS[name]:
            shape.choice(value, name, _HEADERS[name])
    return {name: value for name, value in found.items() if value}


def _rate(shape: _Shape, found: dict[str, Any]) -> tuple[float, int]:
    interval, burst = found.get("interval", "0"), found.get("burst", "0")
    parts = _DURATION.findall(interval) if isinstance(interval, str) else []
    if interval != "0" and (not parts or "".join(map("".join, parts)) != interval):
        raise shape.refuse("rate_limit: interval is no duration such as 1s or 500ms")
    if not isinstance(burst, str) or not re.fullmatch("[0-9]{1,9}", burst):
        raise shape.refuse("rate_limit: burst is no whole number")
    return sum(float(number) * _SECONDS[unit] for number, unit in parts), int(burst)
