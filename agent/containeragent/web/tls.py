# SPDX-License-Identifier: Apache-2.0
"""TLS as the web configuration file wants it, as a context of Python's ssl."""

from __future__ import annotations

import os
import re
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from containeragent import small_file, trust
from containeragent.errors import Refused
from containeragent.events.event import printable
from containeragent.web.file import Tls

_CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}
_VERSIONS = {
    "TLS10": ssl.TLSVersion.TLSv1,
    "TLS11": ssl.TLSVersion.TLSv1_1,
    "TLS12": ssl.TLSVersion.TLSv1_2,
    "TLS13": ssl.TLSVersion.TLSv1_3,
}
_VERIFY = {
    "NoClientCert": ssl.CERT_NONE,
    "VerifyClientCertIfGiven": ssl.CERT_OPTIONAL,
    "RequireAndVerifyClientCert": ssl.CERT_REQUIRED,
}
_SUITE = re.compile(
    r"TLS_(ECDHE)_(RSA|ECDSA)_WITH_(?:AES_(128|256)_(?:CBC|(GCM))_(SHA\d*)|(CHACHA20)_(POLY1305)_SHA256)"
)


def context(tls: Tls) -> ssl.SSLContext:
    """Refused in one line that names the file or key that cannot be used."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version, made.maximum_version = _VERSIONS[tls.min_version], _VERSIONS[tls.max_version]
    made.verify_mode = _VERIFY[tls.client_auth_type]
    made.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_NO_COMPRESSION
    if not tls.prefer_server_cipher_suites:
        made.options &= ~ssl.OP_CIPHER_SERVER_PREFERENCE
    _set_ciphers(made, tls)
    try:
        with _in_memory(tls.cert, tls.cert_file) as cert, _in_memory(tls.key, tls.key_file) as key:
            made.load_cert_chain(cert, key, password=lambda: "")  # never asks on a terminal
    except (OSError, ValueError) as error:
        shown = f"{tls.cert_file or 'cert'} and {tls.key_file or 'key'}"
        raise _unusable(f"the certificate and key of {shown}", error) from None
    if tls.client_ca or tls.client_ca_file:
        try:
            with _in_memory(tls.client_ca, tls.client_ca_file) as authorities:
                made.load_verify_locations(authorities)
        except (OSError, ValueError) as error:
            raise _unusable(tls.client_ca_file or "client_ca", error) from None
    return made


def _set_ciphers(made: ssl.SSLContext, tls: Tls) -> None:
    suites = [_openssl_name(suite) for suite in tls.cipher_suites]
    chosen = [suite for suite in suites if suite]
    if chosen:
        try:
            made.set_ciphers(":".join(chosen))
        except ssl.SSLError:
            raise Refused("EINVAL", f"none of the cipher_suites {', '.join(tls.cipher_suites)} is there") from None
    if len(tls.curve_preferences) > 1:
        raise Refused("EINVAL", "curve_preferences has more than one curve, which is not possible here; name one")
    for curve in tls.curve_preferences:
        if curve not in _CURVES:
            raise Refused("EINVAL", f"curve_preferences: {curve!r} is none of {', '.join(_CURVES)}")
        try:
            made.set_ecdh_curve(_CURVES[curve])
        except (ssl.SSLError, ValueError):
            raise Refused("EINVAL", f"curve_preferences: Python cannot choose {curve} alone; leave it out") from None


def _openssl_name(suite: str) -> str:
    """Go calls them by their IANA names. "" for those of TLS 1.3, which cannot be chosen, there as here."""
    if suite in ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256"):
        return ""
    match = _SUITE.fullmatch(suite)
    if match is None:
        raise Refused("EINVAL", f"cipher_suites: {suite!r} is none that exporter-toolkit allows")
    exchange, signature, bits, gcm, digest, chacha, poly = match.groups()
    parts = [chacha, poly] if chacha else ["AES" + bits, gcm, digest]
    return "-".join(part for part in (exchange, signature, *parts) if part)


def _unusable(what: str, error: Exception) -> Refused:
    why = getattr(error, "strerror", None) or getattr(error, "reason", None) or error
    return Refused("EINVAL", printable(f"{what} cannot be used: {str(why).lower()}"))


def trusted(file: Path) -> bytes:
    """What it says. OSError where it cannot be read, Refused where others may write it."""
    raw, found = small_file.read(file, follow=True)
    if why := trust.distrust(file, found, or_own=True):
        raise small_file.refusal(file, why)
    return raw


@contextmanager
def _in_memory(text: str, file: str) -> Iterator[str]:
    """Name of a file in memory with PEM text, or with what the file says: ssl reads keys from files alone, and would
    wait for a pipe.
    """
    raw = trusted(Path(file)) if file else text.encode()
    descriptor = os.memfd_create("pem", os.MFD_CLOEXEC)
    try:
        os.write(descriptor, raw)
        yield f"/proc/self/fd/{descriptor}"
    finally:
        os.close(descriptor)


def is_allowed(certificate: Any, sans: tuple[str, ...]) -> bool:
    """Whether a client's certificate (getpeercert) has one of these alternative names; with none of them, always."""
    if not sans:
        return True
    names = {value for _, value in (certificate or {}).get("subjectAltName", ())}
    return bool(names & set(sans))
