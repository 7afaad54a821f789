# SPDX-License-Identifier: Apache-2.0
"""What the tests of the kernel side share: a set of programs for the session, and containers that go away again.

They need root, BPF and cgroup v2; the kernel's own figures come from the v1 memory controller where that is mounted,
else from v2. Everything has this process's id in its name and is removed, also when a test fails.
"""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.kernel.support import containers, mountpoints
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.settings import HUGE_PAGES, setting

SMALL = 64

MakeContainer = Callable[[str], Container]


def pytest_configure(config: pytest.Config) -> None:
    """
    Ended by SIGTERM (a timeout, a service manager), the tests still remove what they made. bcc warns of what it does
    itself: it takes names as text, and passes them on as text where it wants bytes.
    """
    config.addinivalue_line("filterwarnings", "ignore:not a bytes object:DeprecationWarning")
    signal.signal(signal.SIGTERM, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def huge_pages_where_asked() -> Iterator[None]:
    """
    Workloads say where they want huge pages. Where the kernel uses them everywhere (Debian's default), what a workload
    unmaps in parts is too high by the rest of a huge page, as the README says.
    """
    with setting(HUGE_PAGES / "enabled", "madvise"):
        yield


@pytest.fixture(scope="session")
def counting() -> Iterator[Counting]:
    """Counting with the default number of slots, loaded once."""
    loaded = Counting("session")
    yield loaded
    loaded.close()


@pytest.fixture(scope="module")
def small_counting() -> Iterator[Counting]:
    """Counting with room for SMALL more containers than the host has cgroups."""
    cgroups = sum(1 for _ in os.walk(mountpoints.unified()))
    loaded = Counting("small", slots=2 + cgroups + SMALL)
    yield loaded
    loaded.close()


@pytest.fixture
def make_container() -> Iterator[MakeContainer]:
    """Makes containers by name. What counts has a wider scope, so it is loaded before."""
    made: list[Container] = []

    def make(name: str) -> Container:
        made.append(containers.make(name))
        return made[-1]

    yield make
    for container in made:
        container.remove()


@pytest.fixture
def container(counting: Counting, make_container: MakeContainer) -> Container:
    """One container, accounted by `counting` from its beginning on."""
    return make_container("one")


@pytest.fixture
def disk_folder() -> Iterator[Path]:
    """A folder on a disk file system."""
    folder = tempfile.mkdtemp(prefix="containeragent-test-", dir="/var/tmp")
    yield Path(folder)
    shutil.rmtree(folder)


@pytest.fixture
def tmpfs_folder() -> Iterator[Path]:
    """A folder on tmpfs."""
    folder = tempfile.mkdtemp(prefix="containeragent-test-", dir="/dev/shm")
    yield Path(folder)
    shutil.rmtree(folder)
