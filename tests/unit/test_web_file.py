# SPDX-License-Identifier: Apache-2.0
"""The web configuration file: what exporter-toolkit knows is read, everything else is refused in one line."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import bcrypt
import pytest
import trustme

from containeragent.errors import Refused
from containeragent.web import reading, tls
from containeragent.web.file import CLIENT_AUTH, Tls, WebConfig, parse

PATH = Path("/etc/containeragent/web.yml")
HASH = "$2y$10$" + "a" * 53
TLS = "tls_server_config: {cert_file: c, key_file: /k, %s}"


def test_nothing() -> None:
    """An empty file asks for nothing."""
    for text in ("", "{}", "# nothing", "tls_server_config:\nbasic_auth_users:\n"):
        assert parse(text, PATH) == WebConfig()


def test_everything() -> None:
    """Every key of exporter-toolkit's documentation."""
    found = parse(
        f"""
tls_server_config:
  cert_file: server.crt
  key_file: /keys/server.key
  client_auth_type: "RequireAndVerifyClientCert"
  client_ca_file: ca.crt
  client_allowed_sans: [a.example, b.example]
  min_version: TLS13
  max_version: TLS13
  cipher_suites: [TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256]
  prefer_server_cipher_suites: false
  curve_preferences: [CurveP256]
http_server_config:
  http2: true
  headers: {{X-Frame-Options: deny, Strict-Transport-Security: max-age=31536000, X-XSS-Protection: ""}}
basic_auth_users: {{alice: {HASH}, "no": "{HASH}"}}
rate_limit: {{interval: 1m500ms, burst: 20}}
""",
        PATH,
    )
    assert found.tls == Tls(
        cert_file="/etc/containeragent/server.crt",
        key_file="/keys/server.key",
        client_ca_file="/etc/containeragent/ca.crt",
        client_auth_type="RequireAndVerifyClientCert",
        client_allowed_sans=("a.example", "b.example"),
        cipher_suites=("TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",),
        curve_preferences=("CurveP256",),
        min_version="TLS13",
        prefer_server_cipher_suites=False,
    )
    assert found.users == {"alice": HASH, "no": HASH} and found.rate == (60.5, 20)
    assert found.headers == {"X-Frame-Options": "deny", "Strict-Transport-Security": "max-age=31536000"}
    assert HASH not in repr(found)


@pytest.mark.parametrize(
    "text, words",
    [
        ("tls_server_conf: {}", ["tls_server_conf", "tls_server_config"]),
        ("tls_server_config: {certfile: x}", ["certfile", "cert_file"]),
        ("http_server_config: {headers: {X-Powered-By: us}}", ["X-Powered-By"]),
        ("http_server_config: {headers: {X-Frame-Options: allow}}", ["X-Frame-Options", "deny"]),
        ('http_server_config: {headers: {X-XSS-Protection: "1\\r\\nX: y"}}', ["X-XSS-Protection", "characters"]),
        ("http_server_config: {http2: 2}", ["http2"]),
        ("basic_auth_users: {alice: secret}", ["'alice'", "bcrypt", "htpasswd"]),
        ("basic_auth_users: [alice]", ["basic_auth_users"]),
        (f"basic_auth_users: {{alice: {HASH}, alice: {HASH}}}", ["alice", "twice"]),
        ("[]", ["mapping"]),
        ("text", ["mapping"]),
        ("a: [", ["line"]),
        ("a: \x00", ["YAML"]),
        ("? [a]\n: b", ["key"]),
        ("tls_server_config: {key_file: x}", ["cert_file"]),
        ("tls_server_config: {cert_file: x}", ["key_file"]),
        ("tls_server_config: {client_auth_type: NoClientCert}", ["cert_file"]),
        (TLS % "client_auth_type: Never", ["client_auth_type", *CLIENT_AUTH]),
        (TLS % "client_auth_type: RequireAnyClientCert", ["RequireAnyClientCert", "RequireAndVerifyClientCert"]),
        (TLS % "client_auth_type: RequireAndVerifyClientCert", ["client_ca_file"]),
        (TLS % "client_ca_file: x", ["client_auth_type"]),
        (TLS % "client_allowed_sans: [x]", ["client_allowed_sans"]),
        (TLS % "client_allowed_sans: x", ["client_allowed_sans", "list"]),
        (TLS % "min_version: SSL3", ["min_version", "TLS12"]),
        (TLS % "prefer_server_cipher_suites: perhaps", ["prefer_server_cipher_suites"]),
        ("rate_limit: {interval: 1y}", ["interval"]),
        ("rate_limit: {interval: 1s, burst: -1}", ["burst"]),
    ],
)
def test_refused(text: str, words: list[str]) -> None:
    """In one line that names the file; what is secret is not shown."""
    with pytest.raises(Refused) as refused:
        parse(text, PATH)
    for word in [str(PATH), *words]:
        assert word in refused.value.message
    assert "\n" not in refused.value.message and "secret" not in refused.value.message


@pytest.fixture(name="pair")
def _pair(tmp_path: Path) -> Path:
    """A folder with server.crt and server.key."""
    made = trustme.CA().issue_cert("localhost")
    made.private_key_pem.write_to_path(tmp_path / "server.key")
    made.cert_chain_pems[0].write_to_path(tmp_path / "server.crt")
    return tmp_path


def test_every_cipher_suite_that_go_offers(pair: Path) -> None:
    """Those of tls.CipherSuites() are there under their names."""
    suites = [f"TLS_ECDHE_{kind}_WITH_{cipher}" for kind in ("RSA", "ECDSA") for cipher in (
        "AES_128_CBC_SHA", "AES_256_CBC_SHA", "AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256",
    )]  # fmt: skip
    plain = Tls(cert_file=str(pair / "server.crt"), key_file=str(pair / "server.key"))
    made = tls.context(replace(plain, cipher_suites=(*suites, "TLS_AES_128_GCM_SHA256")))
    chosen = [one["name"] for one in made.get_ciphers() if not one["name"].startswith("TLS_")]
    assert len(chosen) == len(suites)
    for wrong in ("TLS_RSA_WITH_RC4_128_SHA", "", "ECDHE-RSA-AES128-SHA:ALL"):
        with pytest.raises(Refused, match="cipher_suites"):
            tls.context(replace(plain, cipher_suites=(wrong,)))


@pytest.mark.parametrize("curve", ["CurveP256", "CurveP384", "CurveP521"])
def test_curves(pair: Path, curve: str) -> None:
    """One of those that Go has; more than one, and others, are refused."""
    plain = Tls(cert_file=str(pair / "server.crt"), key_file=str(pair / "server.key"))
    tls.context(replace(plain, curve_preferences=(curve,)))
    for wrong in ((curve, "CurveP256"), ("P-256",)):
        with pytest.raises(Refused, match="curve_preferences"):
            tls.context(replace(plain, curve_preferences=wrong))


def test_certificates_that_cannot_be_used(pair: Path) -> None:
    """Which file it is."""
    (pair / "other.key").write_text("no key")
    for cert, key in (("none.crt", "server.key"), ("server.crt", "other.key"), ("server.crt", "none.key")):
        with pytest.raises(Refused, match=key):
            tls.context(Tls(cert_file=str(pair / cert), key_file=str(pair / key)))
    with pytest.raises(Refused, match=r"other\.key"):
        tls.context(
            Tls(
                cert_file=str(pair / "server.crt"),
                key_file=str(pair / "server.key"),
                client_ca_file=str(pair / "other.key"),
                client_auth_type="RequireAndVerifyClientCert",
            )
        )


def test_certificates_in_the_file_itself(pair: Path) -> None:
    """As PEM text."""
    (pair / "web.yml").write_text("tls_server_config:\n" + "".join(
        f"  {key}: |\n" + "".join(f"    {line}\n" for line in (pair / name).read_text().splitlines())
        for key, name in (("cert", "server.crt"), ("key", "server.key"))
    ))  # fmt: skip
    _, context = reading.read(pair / "web.yml")
    assert context is not None


def test_changes_are_seen(pair: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Of the file and of what it names; while it is wrong nobody is let in, and it is said once."""
    file = pair / "web.yml"
    plain = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
    file.write_text(plain)
    web = reading.Web(file)
    before = web.now()
    assert web.now() is before and web.has_tls
    other = trustme.CA().issue_cert("localhost")
    other.private_key_pem.write_to_path(pair / "server.key")
    for _ in range(2):
        with pytest.raises(Refused, match="certificate"):
            web.now()
    other.cert_chain_pems[0].write_to_path(pair / "server.crt")
    assert web.now()[1] is not before[1]
    for text in ("", "nonsense: 1", plain.replace("server.crt", "none.crt")):
        file.write_text(text)
        for _ in range(2):
            with pytest.raises(Refused):
                web.now()
    hashed = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
    file.write_text(plain + f"basic_auth_users: {{alice: {hashed}}}\n")
    assert web.now()[0].users == {"alice": hashed}
    assert len([record for record in caplog.records if record.levelname == "ERROR"]) == 4
