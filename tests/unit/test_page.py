# SPDX-License-Identifier: Apache-2.0
"""The page's server side: requests come in, the page, documents and the metrics go out."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from containeragent.cgroups.naming import Names
from containeragent.containers.ranking import Ranking
from containeragent.limits.model import Hits, Limits, LimitState
from containeragent.page.history import History
from containeragent.page.rows import MOST_ROWS, Rows
from containeragent.page.site import Site
from containeragent.workloads.patterns import of_path
from tests.unit.snapshots import PAGE_BYTES, FakeSource, snapshot

SSH = "/system.slice/ssh.service"
PATHS = {1: "/", 2: "/containers", 3: "/containers/web", 4: "/containers/<img src=x>", 5: SSH}
NOW = snapshot((1, 90), (2, 40), (3, 20), (4, 5), (5, 50))
STATE = LimitState(Limits(task_limit=30, page_limit=1000), "kernel", "agent", Hits(2, 3), Hits(2, 3), 1.5)


def metrics(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """What is not the page's."""
    start_response("200 OK", [("Content-Type", "text/plain")])
    return [b"metrics"]


class Browser:
    """Asks the application without a server."""

    def __init__(self) -> None:
        names = Names("/containers")
        self.history = History(8)
        ranking = Ranking(lambda ids: [PATHS[number] for number in ids], names, of_path)
        source = FakeSource(NOW).as_source()
        rows = Rows(source, ranking, self.history, states=lambda _: {3: STATE}, workload_of=of_path)
        self.site = Site(metrics, rows)
        self.headers: dict[str, str] = {}

    def ask(self, target: str, method: str = "GET") -> tuple[int, bytes]:
        """Status and body."""
        path, _, query = target.partition("?")
        seen: list[Any] = []
        body = b"".join(
            self.site(
                {"REQUEST_METHOD": method, "PATH_INFO": path, "QUERY_STRING": query}, lambda *given: seen.extend(given)
            )
        )
        self.headers = dict(seen[1])
        return int(seen[0].split()[0]), body

    def document(self, target: str) -> Any:
        """Of an answer that is good."""
        status, body = self.ask(target)
        assert status == 200, body
        assert self.headers["Content-Type"] == "application/json" and self.headers["Cache-Control"] == "no-store"
        return json.loads(body)


@pytest.fixture
def browser() -> Browser:
    return Browser()


def test_the_page_is_held_to_itself(browser: Browser) -> None:
    """The policy names what is inline by its hash, and nothing else may run or be fetched from elsewhere."""
    status, body = browser.ask("/")
    text, policy = body.decode(), browser.headers["Content-Security-Policy"]
    assert status == 200 and browser.headers["Content-Type"] == "text/html; charset=utf-8"
    for tag, directive in (("style", "style-src"), ("script", "script-src")):
        (inline,) = re.findall(f"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inline.encode()).digest()).decode()
        assert f"{directive} 'sha256-{digest}';" in policy and len(inline) > 1000
    assert policy.startswith("default-src 'none'; ") and "unsafe" not in policy
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", text)  # a namespace, which nobody fetches
    assert not re.search(r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|\son[a-z]+=", text)


def test_everything_else_is_the_metrics(browser: Browser) -> None:
    """Also what looks like the page's."""
    for target in ("/metrics", "/live", "/live/", "/live/top/", "//"):
        assert browser.ask(target) == (200, b"metrics")


def test_it_only_reads(browser: Browser) -> None:
    """HEAD has no body."""
    for method in ("POST", "PUT", "DELETE"):
        assert browser.ask("/live/top", method)[0] == 405 and browser.ask("/", method)[0] == 405
    assert browser.ask("/", "HEAD") == (200, b"") and int(browser.headers["Content-Length"]) > 1000


def test_rows(browser: Browser) -> None:
    """Bytes, limits of those that have some, and the sum of all; what others manage has no limits that we know."""
    found = browser.document("/live/top?sort=tasks&all=true")
    assert [one["cgroup"] for one in found["containers"]] == ["/", SSH, "/containers", "/containers/web", PATHS[4]]
    assert (found["matched"], found["total"], found["whole"]["cgroup"]) == (5, 5, "/")
    web = found["containers"][3]
    assert (web["name"], web["tasks"], web["anon_bytes"]) == ("/web", 20, 200 * PAGE_BYTES)
    assert (web["task_limit"], web["page_limit_bytes"], web["throttled_seconds"]) == (30, 1000 * PAGE_BYTES, 1.5)
    assert (web["task_limit_hits"], web["page_limit_hits"], web["workload"]) == (2, 3, None)
    ssh = found["containers"][1]
    assert ssh["workload"]["name"] == "ssh.service" and ssh["task_limit_hits"] is None and ssh["managed"] is False
    assert browser.document("/live/top")["whole"]["cgroup"] == "/containers"
    assert [one["name"] for one in browser.document("/live/top?filter=IMG")["containers"]] == ["/<img src=x>"]


def test_one_container(browser: Browser) -> None:
    """With its last minutes, as soon as there are some."""
    assert browser.document("/live/container?id=3")["history"]["anon_bytes"] == []
    browser.history.add(NOW)
    found = browser.document("/live/container?id=3")
    assert found["history"]["tasks"] == [20.0] and found["history"]["anon_bytes"] == [200 * PAGE_BYTES]
    assert (
        found["tasks_peak"] == 21 and found["memory_peak_bytes"] == 600 * PAGE_BYTES and found["active_bytes"] is None
    )
    assert found["local"]["tasks"] == 20
    assert browser.document("/live/top?filter=web")["containers"][0]["memory_bytes"][-1] == 400 * PAGE_BYTES


@pytest.mark.parametrize(
    "target, status",
    [
        ("/live/container?id=99", 404),
        ("/live/container?id=x", 400),
        ("/live/container", 400),
        ("/live/top?sort=weight", 400),
        ("/live/top?limit=0", 400),
        ("/live/top?all=1", 400),
        ("/live/top?filter=%ff", 400),
    ],
)
def test_refused(browser: Browser, target: str, status: int) -> None:
    """In JSON, with what is wrong."""
    found, body = browser.ask(target)
    assert found == status and json.loads(body)["error"]["message"]


def test_rows_are_bounded(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever is asked for."""
    monkeypatch.setattr("containeragent.page.rows.MOST_ROWS", 2)
    assert len(browser.document("/live/top?limit=100000")["containers"]) == 2 < MOST_ROWS


def test_a_failure_is_an_answer(browser: Browser, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says nothing of the inside; the log does."""
    monkeypatch.setattr(Rows, "top", lambda *_: 1 / 0)
    status, body = browser.ask("/live/top")
    assert status == 500 and b"Zero" not in body
