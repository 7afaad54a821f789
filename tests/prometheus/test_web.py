# SPDX-License-Identifier: Apache-2.0
"""A real Prometheus scrapes by TLS and with a password, and is refused with a wrong one."""

from __future__ import annotations

from pathlib import Path

import bcrypt

from tests.e2e.support.agent import Agent
from tests.e2e.support.certificates import Authority
from tests.e2e.support.waiting import until
from tests.prometheus.conftest import running

SCRAPE = """scrape_configs:
  - job_name: {job}
    scheme: https
    tls_config: {{ca_file: {folder}/ca.crt, cert_file: {folder}/prometheus.crt, key_file: {folder}/prometheus.key}}
    basic_auth: {{username: prometheus, password: right}}
    static_configs: [{{targets: ["{address}"]}}]
  - job_name: wrong
    scheme: https
    tls_config: {{ca_file: {folder}/ca.crt, cert_file: {folder}/prometheus.crt, key_file: {folder}/prometheus.key}}
    basic_auth: {{username: prometheus, password: wrong}}
    static_configs: [{{targets: ["{address}"]}}]
  - job_name: stranger
    scheme: https
    tls_config: {{ca_file: {folder}/ca.crt}}
    basic_auth: {{username: prometheus, password: right}}
    static_configs: [{{targets: ["{address}"]}}]
"""


def test_prometheus_by_tls_with_a_password(tmp_path: Path) -> None:
    """With both, and its own certificate, it has the metrics; the log of the agent has no secret."""
    authority = Authority(tmp_path)
    authority.issue("server", "127.0.0.1")
    authority.issue("prometheus", "prometheus.example")
    hashed = bcrypt.hashpw(b"right", bcrypt.gensalt(10)).decode()
    (tmp_path / "web.yml").write_text(
        "tls_server_config: {cert_file: server.crt, key_file: server.key, client_ca_file: ca.crt, "
        f"client_auth_type: RequireAndVerifyClientCert}}\nbasic_auth_users: {{prometheus: {hashed}}}\n"
    )
    agent = Agent("--web-config-file", str(tmp_path / "web.yml"))
    try:
        agent.start()
        with running(tmp_path, SCRAPE.format(job="right", folder=tmp_path, address=agent.address)) as prometheus:
            until(lambda: prometheus.value('up{job="right"}'), lambda value: value == 1, "a scrape")
            until(lambda: prometheus.value("count(containeragent_tasks)"), bool, "containers")
            for job in ("wrong", "stranger"):
                until(lambda job=job: prometheus.value(f'up{{job="{job}"}}'), lambda value: value == 0, job)  # type: ignore[misc]
            assert prometheus.query('{job=~"wrong|stranger",__name__=~"containeragent_.*"}') == []
        assert hashed not in agent.log.read_text() and "Traceback" not in agent.log.read_text()
    finally:
        agent.close()
