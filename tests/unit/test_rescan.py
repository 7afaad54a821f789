# SPDX-License-Identifier: Apache-2.0
"""When all pages are looked at, and what it may cost."""

from __future__ import annotations

import threading

import pytest

from containeragent import rescan
from containeragent.containers.audit import Differences
from containeragent.errors import Refused
from containeragent.rescan import Rescanner, rest_seconds

FOUND: Differences = {("anon", 1): ["/web"]}


@pytest.mark.parametrize("spent, percent, rest", [(1.0, 0.25, 399.0), (0.5, 50, 15.0), (30.0, 50, 30.0), (0, 1, 15.0)])
def test_the_share_of_a_core(spent: float, percent: float, rest: float) -> None:
    """A turn and the rest after it together; never one turn right after another."""
    assert rest_seconds(spent, percent) == rest


@pytest.mark.parametrize("drift_seconds, calls", [(0, ["look", "look"]), (300, ["audit", "look"])])
def test_an_audit_takes_the_place_of_a_look(drift_seconds: int, calls: list[str]) -> None:
    """When it is due."""
    called: list[str] = []

    def audit() -> Differences:
        called.append("audit")
        return FOUND

    rescanner = Rescanner(lambda: called.append("look"), audit, 1, drift_seconds)
    rescanner.turn()
    rescanner.turn()
    assert called == calls and rescanner.drift == (FOUND if drift_seconds else {})


def test_it_goes_on_after_an_error_and_stops(monkeypatch: pytest.MonkeyPatch) -> None:
    """It stops while it rests."""
    monkeypatch.setattr(rescan, "_SHORTEST_REST_SECONDS", 0.001)
    enough, looks = threading.Event(), [0]

    def look() -> None:
        looks[0] += 1
        if looks[0] == 1:
            raise Refused("EIO", "made to fail")
        enough.set()

    rescanner = Rescanner(look, dict, 100, 0)
    rescanner.start()
    assert enough.wait(10)
    rescanner.stop()
    assert not rescanner._thread.is_alive()
