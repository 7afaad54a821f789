# SPDX-License-Identifier: Apache-2.0
"""What counting costs real programs: their CPU time without, with ours, with empty programs, and as others would count.

A compilation: two libraries of Debian's libstb-dev with gcc. Python's own tests of archives (Debian's
libpython3.11-testsuite, and the library of the same version). The packages are unpacked under build/peers when they are
first needed.
"""

from __future__ import annotations

import os
import subprocess
import sysconfig
from pathlib import Path

from bench import counting
from bench.overhead import COLUMNS, figures, kinds, rounds
from bench.tables import Table, quartiles
from containeragent.errors import Refused

_FOLDER = Path(__file__).resolve().parents[1] / "build/peers/real"
_PYTHON = f"python{sysconfig.get_python_version()}"
_PACKAGES = ("libstb-dev", f"lib{_PYTHON}-stdlib", f"lib{_PYTHON}-testsuite")
_SOURCE = """#define STB_IMAGE_IMPLEMENTATION
#include <stb/stb_image.h>
#define STB_TRUETYPE_IMPLEMENTATION
#include <stb/stb_truetype.h>
"""


def _prepare() -> None:
    source = _FOLDER / "two.c"
    if source.exists():
        return
    _FOLDER.mkdir(parents=True, exist_ok=True)
    try:
        subprocess.run(["apt-get", "download", "-qq", *_PACKAGES], cwd=_FOLDER, check=True)
        for package in _FOLDER.glob("*.deb"):
            subprocess.run(["dpkg", "-x", str(package), str(_FOLDER)], check=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise Refused("ENOENT", f"{' and '.join(_PACKAGES)} cannot be had: {error}") from None
    source.write_text(_SOURCE)


def _cpu_ms(*command: str) -> float:
    """Of the command and its children."""
    environment = os.environ | {"PYTHONPATH": str(_FOLDER / f"usr/lib/{_PYTHON}")}
    with subprocess.Popen(
        command, cwd=_FOLDER, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as process:
        assert process.stderr
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise Refused("EINVAL", f"{command[0]} ended with {process.returncode}: {said.decode()[-200:]}")
    return (used.ru_utime + used.ru_stime) * 1e3


def _compile() -> float:
    return _cpu_ms("gcc", "-O1", "-I", "usr/include", "-c", "two.c", "-o", "two.o")


def _test() -> float:
    return _cpu_ms(f"/usr/bin/{_PYTHON}", "-B", "-m", "unittest", "-q", "test.test_tarfile")


def run(pairs: int) -> Table:
    """One row a program, for each engine that loads here."""
    _prepare()
    table = Table(f"Cost for real programs, CPU time, {pairs} rounds", ("engine", "program", "off_ms", *COLUMNS))
    table.notes.append("median and quartiles, in percent; what the columns mean: overhead")
    for engine in counting.engines():
        with kinds(engine) as counted:
            found = rounds(counted, {"gcc": _compile, "python -m unittest test.test_tarfile": _test}, pairs)
        table.rows += [(engine, name, quartiles(spent["off"])[1], *figures(spent)) for name, spent in found.items()]
    return table
