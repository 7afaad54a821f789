# SPDX-License-Identifier: Apache-2.0
"""The metrics by TLS and with passwords, as a web configuration file asks for them, to real clients."""

from __future__ import annotations

import base64
import contextlib
import http.client
import socket
import ssl
import time
from pathlib import Path

import bcrypt
import pytest

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import command
from tests.e2e.support.agent import Agent
from tests.e2e.support.certificates import Authority

TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key%s}\n"
PASSWORD = "correct horse battery staple"
USERS = f"basic_auth_users: {{alice: {bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()}}}\n"
VERIFIED = ", client_auth_type: RequireAndVerifyClientCert, client_ca_file: ca.crt"


@pytest.fixture(name="authority")
def _authority(tmp_path: Path) -> Authority:
    """With a certificate for the agent."""
    made = Authority(tmp_path)
    made.issue("server", "127.0.0.1")
    return made


def serving(make_agent: MakeAgent, authority: Authority, text: str) -> Agent:
    """An agent with that web configuration."""
    file = authority.folder / "web.yml"
    file.write_text(text)
    return make_agent("--web.config.file", str(file)).start()


def got(agent: Agent, context: ssl.SSLContext | None, password: str = "", path: str = "/metrics") -> tuple[int, str]:
    """Status and body."""
    connection = (
        http.client.HTTPConnection("127.0.0.1", agent.port, timeout=60)
        if context is None
        else http.client.HTTPSConnection("127.0.0.1", agent.port, timeout=60, context=context)
    )
    words = base64.b64encode(f"alice:{password}".encode()).decode()
    with contextlib.closing(connection):
        connection.request("GET", path, headers={"Authorization": f"Basic {words}"} if password else {})
        answer = connection.getresponse()
        return answer.status, answer.read().decode()


def test_tls_and_passwords(make_agent: MakeAgent, authority: Authority) -> None:
    """A whole scrape with both; nothing without; by a password that is changed at once."""
    agent = serving(make_agent, authority, TLS % "" + USERS)
    client = authority.client()
    status, text = got(agent, client, PASSWORD)
    assert status == 200 and 'containeragent_tasks{cgroup="/"}' in text
    for path in ("/metrics", "/", "/other"):
        assert got(agent, client, path=path)[0] == got(agent, client, "wrong", path)[0] == 401
    assert got(agent, None) == (400, "Client sent an HTTP request to an HTTPS server.\n")
    with pytest.raises(ssl.SSLCertVerificationError):
        got(agent, ssl.create_default_context(), PASSWORD)
    (authority.folder / "web.yml").write_text(TLS % "")
    assert got(agent, client)[0] == 200
    assert PASSWORD not in agent.log.read_text() and "$2b$" not in agent.log.read_text()


def test_a_cached_password_costs_nothing(make_agent: MakeAgent, authority: Authority) -> None:
    """Scrapes after the first are not slowed down by bcrypt."""
    agent = serving(make_agent, authority, USERS)
    got(agent, None, PASSWORD)
    started = time.monotonic()
    for _ in range(20):
        assert got(agent, None, PASSWORD, "/none")[0] == 404
    quick = time.monotonic() - started
    started = time.monotonic()
    for _ in range(20):
        assert got(agent, None, "wrong", "/none")[0] == 401
    assert quick < (time.monotonic() - started) / 2


def test_certificates_of_clients(make_agent: MakeAgent, authority: Authority, tmp_path: Path) -> None:
    """Only those of the authority, and of the names that are allowed."""
    authority.issue("good", "prometheus.example")
    authority.issue("other", "other.example")
    (tmp_path / "stranger").mkdir()
    stranger = Authority(tmp_path / "stranger")
    stranger.issue("good", "prometheus.example")
    agent = serving(make_agent, authority, TLS % (VERIFIED + ", client_allowed_sans: [prometheus.example]"))
    assert got(agent, authority.client("good"))[0] == 200
    forged = authority.client()
    forged.load_cert_chain(stranger.folder / "good.crt", stranger.folder / "good.key")
    for client in (authority.client(), authority.client("other"), forged):
        with pytest.raises((OSError, http.client.BadStatusLine)):
            got(agent, client)
    (authority.folder / "web.yml").write_text(TLS % VERIFIED)
    assert got(agent, authority.client("other"))[0] == 200


def test_a_new_certificate_needs_no_restart(make_agent: MakeAgent, authority: Authority) -> None:
    """Of another authority even; connections that are there go on."""
    agent = serving(make_agent, authority, TLS % "")
    before = authority.client()
    open_one = http.client.HTTPSConnection("127.0.0.1", agent.port, timeout=60, context=before)
    with contextlib.closing(open_one):
        open_one.request("GET", "/metrics")
        assert b"containeragent_" in open_one.getresponse().read()
        renewed = Authority(authority.folder)
        renewed.issue("server", "127.0.0.1")
        assert got(agent, renewed.client())[0] == 200
        with pytest.raises(ssl.SSLCertVerificationError):
            got(agent, before)
        open_one.request("GET", "/metrics")
        assert open_one.getresponse().status == 200


def test_old_tls_is_refused(make_agent: MakeAgent, authority: Authority) -> None:
    """Below min_version, which is TLS 1.2 where nothing is said."""
    agent = serving(make_agent, authority, TLS % ", min_version: TLS13")
    client = authority.client()
    client.maximum_version = ssl.TLSVersion.TLSv1_2
    with pytest.raises(ssl.SSLError):
        got(agent, client)
    assert got(agent, authority.client())[0] == 200


def test_silent_and_rude_clients_hold_nobody_up(make_agent: MakeAgent, authority: Authority) -> None:
    """Connections without a handshake, with half of one, with garbage; the agent goes on."""
    agent = serving(make_agent, authority, TLS % "")
    with contextlib.ExitStack() as stack:
        for start in (b"", b"\x16\x03\x01", b"\x00" * 600, b"GET / HTTP/1.1\r\n\r\n"):
            for _ in range(1 if start == b"\x16\x03\x01" else 20):
                one = stack.enter_context(socket.create_connection(("127.0.0.1", agent.port), timeout=60))
                one.sendall(start)
        started = time.monotonic()
        assert got(agent, authority.client())[0] == 200
        assert time.monotonic() - started < 8


@pytest.mark.parametrize(
    "text, word",
    [("nonsense: 1", "nonsense"), (TLS.replace("server.key", "none.key") % "", "none.key"), ("a: [", "line")],
)
def test_what_is_wrong_is_refused(make_agent: MakeAgent, authority: Authority, text: str, word: str) -> None:
    """At the start, by one line; check says the same."""
    file = authority.folder / "web.yml"
    file.write_text(text)
    agent = make_agent()
    options = ["--web-config-file", str(file)]
    command.containeragent("check", *options).refused(word, str(authority.folder))
    command.containeragent("run", *agent.run_options(), *options).refused(word, str(authority.folder))
    command.containeragent("check", "--web-config-file", str(file) + ".none").refused("web_config_file", "none")
