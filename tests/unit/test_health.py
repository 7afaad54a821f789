# SPDX-License-Identifier: Apache-2.0
"""What probes are told."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from containeragent.metrics.health import LATE_SECONDS, PATH, Health


def answer(health: Health, path: str) -> tuple[str, bytes]:
    """Status and body."""
    seen: list[str] = []
    body = b"".join(health({"PATH_INFO": path, "REQUEST_METHOD": "GET"}, lambda status, headers: seen.append(status)))
    return seen[0], body


def metrics(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """The application behind it."""
    start_response("200 OK", [])
    return [environ["PATH_INFO"].encode()]


def test_a_loop_that_goes_round_and_one_that_hangs() -> None:
    """It is late after LATE_SECONDS without a beat, and well again with the next."""
    now = [100.0]
    health = Health(metrics, lambda: now[0])
    now[0] += LATE_SECONDS - 1
    assert answer(health, PATH) == ("200 OK", b"ok\n")
    now[0] += 1
    assert answer(health, PATH) == ("503 Service Unavailable", b"the main loop has been hanging for 30 s\n")
    health.beat()
    assert answer(health, PATH)[0] == "200 OK"


def test_other_paths_are_the_next_applications() -> None:
    """Whether the loop hangs or not."""
    assert answer(Health(metrics), "/metrics") == ("200 OK", b"/metrics")
