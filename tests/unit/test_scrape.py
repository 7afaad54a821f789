# SPDX-License-Identifier: Apache-2.0
"""/metrics: what is negotiated, and that a part that fails breaks nothing else."""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from typing import Any

import pytest

from containeragent import path_patterns
from containeragent.counters.snapshot import Snapshot
from containeragent.metrics import negotiation
from containeragent.metrics.family import Family, single
from containeragent.metrics.scrape import Scrape
from tests.unit.snapshots import snapshot

PROMETHEUS_2 = (
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
    "text/plain;version=0.0.4;q=0.5,*/*;q=0.1"
)
PROMETHEUS_3 = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,"
    "application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,"
    "text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


def _one(_: Snapshot) -> Iterator[Family]:
    yield single("one", "One.", 1)


def _broken(_: Snapshot) -> Iterator[Family]:
    yield single("two", "Two.", 2)
    raise RuntimeError("it went wrong")


def got(method: str = "GET", path: str = "/metrics", scrape: Scrape | None = None, **headers: str) -> Any:
    """Status, headers, body."""
    answer: list[Any] = []
    environ = {"REQUEST_METHOD": method, "PATH_INFO": path} | {f"HTTP_{name}": text for name, text in headers.items()}
    body = (scrape or Scrape(snapshot, {"one": _one}))(
        environ, lambda status, sent: answer.extend([status, dict(sent)])
    )
    return (*answer, b"".join(body))


@pytest.mark.parametrize("accept", ["", "*/*", "text/html", "text/plain", PROMETHEUS_2.replace("1.0.0", "1.0.0;q=0.2")])
def test_text(accept: str) -> None:
    """For browsers, curl and whoever prefers it."""
    status, headers, body = got(ACCEPT=accept.replace("=0.75", "=0.3"))
    assert (status, headers["Content-Type"]) == ("200 OK", "text/plain; version=0.0.4; charset=utf-8")
    assert b"\ncontaineragent_one 1\n" in body and b"EOF" not in body


@pytest.mark.parametrize("accept", ["application/openmetrics-text", PROMETHEUS_2, PROMETHEUS_3])
def test_openmetrics(accept: str) -> None:
    """For those that ask for it."""
    _, headers, body = got(ACCEPT=accept)
    assert headers["Content-Type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert body.endswith(b"\n# EOF\n")


@pytest.mark.parametrize("header", [";;;", ",", "text/plain;q=x", "a/b;q=", ";q=1", "\xff", "q" * 10_000])
def test_nonsense_is_no_failure(header: str) -> None:
    """It asks for nothing that we have."""
    assert not negotiation.openmetrics(header) and not negotiation.gzip(header)


def test_gzip_is_for_who_asks() -> None:
    """And not for who refuses it."""
    for accepted in ("gzip", "deflate, gzip;q=0.5"):
        _, headers, body = got(ACCEPT_ENCODING=accepted)
        assert headers["Content-Encoding"] == "gzip" and b"containeragent_one 1" in gzip.decompress(body)
    for refused in ("", "identity", "gzip;q=0"):
        assert "Content-Encoding" not in got(ACCEPT_ENCODING=refused)[1]


def test_other_requests() -> None:
    """HEAD has no body; there is nothing but /metrics."""
    assert got("HEAD")[2] == b"" and got("HEAD")[0] == "200 OK"
    assert got(path="/metrics/")[0] == got(path="/x")[0] == "404 Not Found"
    status, headers, _ = got("POST")
    assert status == "405 Method Not Allowed" and headers["Allow"] == "GET, HEAD"


def test_a_part_that_fails_is_left_out_and_counted(caplog: pytest.LogCaptureFixture) -> None:
    """As a whole; the others are there."""
    scrape = Scrape(snapshot, {"broken": _broken, "one": _one})
    for number in (1, 2):
        status, _, body = got(scrape=scrape)
        assert status == "200 OK" and b"containeragent_one 1" in body and b"_two" not in body
        assert f'containeragent_collect_failures_total{{collector="broken"}} {number}\n'.encode() in body
    assert "broken" in caplog.text


@pytest.mark.parametrize(
    "include, exclude, path, expected",
    [
        ("", "", "/x", True),
        ("/a/.*", "", "/a/b", True),
        ("/a/.*", "", "/x/a/b", False),
        ("/a", "", "/a/b", False),
        ("", ".*/tmp-.*", "/a/tmp-1", False),
        ("/a/.*", ".*/tmp-.*", "/a/tmp-1", False),
        ("", "/a/.*", "/a/b\nc", False),
        ("(a*)*b|/.*", "", "/" + "a" * 5000, True),
    ],
)
def test_patterns(include: str, exclude: str, path: str, expected: bool) -> None:
    """They match as a whole, newlines too, and are never slow."""
    assert path_patterns.wanted(include, exclude)(path) is expected


def test_a_pattern_that_is_none() -> None:
    """It is said what is wrong."""
    with pytest.raises(ValueError, match="missing"):
        path_patterns.compiled("(")
