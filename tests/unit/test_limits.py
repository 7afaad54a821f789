# SPDX-License-Identifier: Apache-2.0
"""Limits as users write them, as the kernel wants them, and as they are kept."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from containeragent.errors import Refused
from containeragent.limits import kernel
from containeragent.limits.model import (
    MOST_PAGES,
    MOST_SECONDS,
    MOST_TASKS,
    Hits,
    Kept,
    Limits,
    Spared,
    read_pages,
    read_seconds,
    read_tasks,
)

PAGE = 4096


@pytest.mark.parametrize(
    "value, tasks", [("max", None), (None, None), ("0", 0), (5, 5), ("0005", 5), (MOST_TASKS, MOST_TASKS)]
)
def test_tasks(value: object, tasks: int | None) -> None:
    """A number, or no limit."""
    assert read_tasks(value) == tasks


@pytest.mark.parametrize(
    "value, pages",
    [
        ("max", None), (None, None), ("25600", 25600), (25600, 25600), ("4K", 1), ("4KiB", 1), ("8191", 8191),
        ("9K", 2), ("100M", 25600), ("1G", 262144), ("1T", 1 << 28), (MOST_PAGES, MOST_PAGES),
    ],
)  # fmt: skip
def test_pages(value: object, pages: int | None) -> None:
    """Pages or bytes, rounded down to whole pages."""
    assert read_pages(value, PAGE) == pages


@pytest.mark.parametrize(
    "value, seconds", [("never", None), (None, None), ("30", 30.0), ("0.5", 0.5), (2, 2.0), (0, 0.0)]
)
def test_seconds(value: object, seconds: float | None) -> None:
    """From 0 on."""
    assert read_seconds(value) == seconds


BAD = ["", " ", "-1", -1, "1.5", 1.5, "1e3", "10" * 15, 10**30, "5x", True, [], {}, "\u0665", "0x10", "nan", "1_000"]


@pytest.mark.parametrize("value", [*BAD, "100M", MOST_TASKS + 1])
def test_bad_tasks(value: object) -> None:
    """One line that names the value."""
    with pytest.raises(Refused) as refused:
        read_tasks(value)
    assert refused.value.code == "EINVAL" and "\n" not in refused.value.message


@pytest.mark.parametrize(
    "value", [*BAD, 0, "0", "0K", "1K", "4095K4", "100Q", "100m", "1MB", "M", "1.5G", MOST_PAGES + 1, "9999999E"]
)
def test_bad_pages(value: object) -> None:
    """Less than a page, units that do not exist, more than there can be."""
    with pytest.raises(Refused) as refused:
        read_pages(value, PAGE)
    assert refused.value.code == "EINVAL" and "\n" not in refused.value.message


@pytest.mark.parametrize("value", ["1" + "0" * 30, "9" * 5000, "1" + "0" * 30 + "G"])
def test_far_too_large(value: str) -> None:
    """It is said to be too large, by its own first digits."""
    with pytest.raises(Refused, match=f"page limit '{value[:31]}.*more memory than any host has"):
        read_pages(value, PAGE)
    if value.isdigit():
        with pytest.raises(Refused, match=f"task limit '{value[:31]}.*which no host exceeds"):
            read_tasks(value)


@pytest.mark.parametrize("value", ["-1", -0.1, "inf", float("nan"), float("inf"), "soon", True, 10**30, "1e9"])
def test_bad_seconds(value: object) -> None:
    """Neither negative nor endless."""
    with pytest.raises(Refused):
        read_seconds(value)


@given(st.text(max_size=12) | st.integers() | st.floats() | st.none() | st.booleans())
def test_anything_is_read_or_refused(value: object) -> None:
    """Never another error; what is read is in range."""
    for read, most in ((read_tasks, MOST_TASKS), (lambda asked: read_pages(asked, PAGE), MOST_PAGES)):
        try:
            found = read(value)
        except Refused:
            continue
        assert found is None or 0 <= found <= most


def test_changes_leave_the_rest() -> None:
    """Only what is asked for."""
    limits = Limits(task_limit=5).changed({"page_limit": "1M", "kill_after": 3}, PAGE)
    assert limits == Limits(task_limit=5, page_limit=256, kill_after_seconds=3.0)
    assert limits.changed({"task_limit": "max"}, PAGE).task_limit is None
    with pytest.raises(Refused, match="no limit 'cpu'"):
        limits.changed({"cpu": 1}, PAGE)


def test_the_hard_limit_is_an_eighth_above() -> None:
    """112.5 %, as in 2006."""
    assert Limits(page_limit=256).hard_page_limit == 288 and Limits().hard_page_limit is None


@given(
    st.builds(
        Limits, st.none() | st.integers(0, 9), st.none() | st.integers(1, 9), st.none() | st.floats(0, 9), st.booleans()
    )
)
def test_kept_and_read_again(limits: Limits) -> None:
    """The same."""
    kept = Kept(limits, Hits(1, 2), Hits(0, 1), 0.5, Spared(7, 12345) if limits.dry_run else None)
    assert Kept.decode(kept.encode()) == kept


def test_fields_of_a_later_version_are_left_out() -> None:
    """And what we did not write is refused."""
    later = (
        b'{"limits": {"task_limit": 7, "io_limit": 1}, "hits": {}, "local_hits": {}, "throttled_seconds": 0, "x": 1}'
    )
    assert Kept.decode(later) == Kept(Limits(task_limit=7))
    for other in (b"[]", b"7", b"{}", b'{"limits": 1, "hits": {}, "local_hits": {}, "throttled_seconds": 0}'):
        with pytest.raises((ValueError, TypeError, KeyError)):
            Kept.decode(other)


def test_settings_of_the_kernel() -> None:
    """Bytes; the hard stop only where ending the container was asked for; nothing in a dry run."""
    assert kernel.pids_settings(Limits(task_limit=5)) == [("pids.max", "5")]
    assert kernel.pids_settings(Limits()) == [("pids.max", "max")]
    settings = {limits: dict(kernel.memory_settings(limits, limits, PAGE)) for limits in (
        Limits(), Limits(page_limit=256), Limits(page_limit=256, kill_after_seconds=1),
        Limits(page_limit=256, kill_after_seconds=1, dry_run=True),
    )}  # fmt: skip
    assert [tuple(found.values()) for found in settings.values()] == [
        ("max", "max"), ("1048576", "max"), ("1048576", "1179648"), ("max", "max"),
    ]  # fmt: skip


@pytest.mark.parametrize("value", [1, 0, "true", None, []])
def test_a_choice_is_true_or_false(value: object) -> None:
    """What is kept of it later is a truth value for sure."""
    with pytest.raises(Refused, match="dry_run"):
        Limits().changed({"dry_run": value}, PAGE)


def test_unknown_hits_stay_unknown() -> None:
    """Whichever side does not know them; the others are added."""
    assert Hits(1, None).plus(Hits(None, 2)) == Hits(None, None)
    assert Hits(None, 1).plus(Hits(2, None)) == Hits(None, None)
    assert Hits(0, 3).plus(Hits(4, 5)) == Hits(4, 8)


def test_the_most_there_can_be() -> None:
    """Tasks as PID_MAX_LIMIT of the kernel, a year, and 4 EiB of pages."""
    assert (MOST_TASKS, MOST_PAGES * PAGE, MOST_SECONDS) == (4_194_304, 4 << 60, 31_536_000)
    assert read_seconds(MOST_SECONDS) == MOST_SECONDS
    with pytest.raises(Refused):
        read_seconds(MOST_SECONDS + 0.5)
