# SPDX-License-Identifier: Apache-2.0
"""What the tests of the kernel side share: a set of programs for the session, and containers that go away again.

They need root, BPF and cgroup v2; the kernel's own figures come from the v1 memory controller where that is mounted,
else from v2. Everything has this process's id in its name and is removed, also when a test fails.
"""

from __future__ import annotations

import os
import resource
import shutil
import signal
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from containeragent.host import functions
from containeragent.host.btf import Btf
from tests.kernel.support import containers, mountpoints
from tests.kernel.support.containers import Container
from tests.kernel.support.counting import Counting
from tests.kernel.support.hearing import Heard
from tests.kernel.support.settings import HUGE_PAGES, setting

SMALL = 64
WIDE = 65536

MakeContainer = Callable[[str], Container]


def pytest_configure(config: pytest.Config) -> None:
    """
    Ended by SIGTERM (a timeout, a service manager), the tests still remove what they made. bcc warns of what it does
    itself: it takes names as text, and passes them on as text where it wants bytes. It also keeps every descriptor of
    what it loaded, which a loader that ends does not mind.
    """
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    config.addinivalue_line("markers", "every_engine: on each engine that this kernel lets load, not only the best")
    config.addinivalue_line("markers", "one_engine(name): on this engine, whichever is preferred")
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


def engines() -> list[str]:
    """Those that this kernel lets load: engine fentry first, where it does."""
    return ["fentry", "tracepoint"] if functions.probe(Btf()).loads else ["tracepoint"]


# Where the memory controller is on v1, the kernel cannot say whose a page was, or take pages of one container away.
if mountpoints.memory_v1() is not None or "fentry" not in engines():
    collect_ignore = ["test_pages_swapped.py", "test_pages_of_the_kernel.py", "test_seeding.py"]


if "fentry" not in engines():  # it takes what programs that deny forks take
    collect_ignore = [*globals().get("collect_ignore", []), "test_limits_denied.py"]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `every_engine` run once on each, with `one_engine` on that one; others on what is preferred."""
    for fixture in {"counting", "small_counting", "wide_counting", "own"} & set(metafunc.fixturenames):
        every, one = (metafunc.definition.get_closest_marker(name) for name in ("every_engine", "one_engine"))
        metafunc.parametrize(fixture, one.args if one else engines() if every else engines()[:1], indirect=True)


@pytest.fixture(scope="session")
def counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    """Counting with the default number of slots, loaded once an engine; what is preferred, as most users load it."""
    loaded = Counting("session", engine="auto" if request.param == engines()[0] else request.param)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def small_counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    """Counting with room for SMALL more containers than the host has cgroups."""
    cgroups = sum(1 for _ in os.walk(mountpoints.unified()))
    loaded = Counting("small", slots=2 + cgroups + SMALL, engine=request.param)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def wide_counting(request: pytest.FixtureRequest) -> Iterator[Counting]:
    """Counting whose next slots have numbers above 65 535, as on a host that has given out those below."""
    loaded = Counting("wide", slots=2 * WIDE, engine=request.param)
    loaded.give_out_again_last(WIDE)
    yield loaded
    loaded.close()


@pytest.fixture(scope="session")
def kept() -> Iterator[list[Counting]]:
    """What the tests before left whole."""
    sets: list[Counting] = []
    yield sets
    for loaded in sets:
        loaded.close()


@pytest.fixture
def own(request: pytest.FixtureRequest, kept: list[Counting]) -> Iterator[Counting]:
    """A set that the test may replace or remove; it goes on to the next one that asks, because loading takes long."""
    engine = request.param
    same = next((loaded for loaded in kept if loaded.stamp.engine == engine), None)
    if same:
        kept.remove(same)
    loaded = same or Counting("own", slots=4096, engine=engine)
    yield loaded
    if loaded.pins.loaded():
        loaded.map_again()
        kept.append(loaded)
    elif loaded.options.bpffs.exists():
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
def heard(counting: Counting) -> Iterator[Heard]:
    """On the programs of the session."""
    listening = Heard(counting)
    yield listening
    listening.source.close()


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
