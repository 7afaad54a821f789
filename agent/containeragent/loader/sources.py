# SPDX-License-Identifier: Apache-2.0
"""The BPF sources: in the package when it is installed (a wheel), else bpf/ beside agent/ (a checkout)."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

import containeragent
from containeragent.errors import Refused

# In the order in which they use each other; bcc compiles one text.
_RECORDS = ("records.h", "maps.h", "common.h", "limits.h", "totals.h", "owner.h", "rows.h", "files.h")
_TASKS = ("tasks.c", "cgroups.c", "limits.c", "deny.c", "oom.c", "sweep.c", "files.c")
TRACEPOINT = (*_RECORDS, "moves.h", "filemap.c", "collapse.c", "pages.c", "migrate.c", "stale.c", "charge.c", *_TASKS)
FENTRY = (*_RECORDS, "stat.c", "charge_stat.c", *_TASKS)
CALIBRATION = ("calibrate.c",)


def folder() -> Path:
    """Where the sources are."""
    package = Path(containeragent.__file__).parent
    for candidate in (package / "bpf", package.parent.parent / "bpf"):
        if (candidate / "records.h").is_file():
            return candidate
    raise Refused("ENOENT", f"the BPF sources are missing beside {package}: install containeragent again")


def text(names: tuple[str, ...]) -> str:
    """The sources as one text; the compiler is told which line is whose."""
    parts = [f'#line 1 "{name}"\n{(folder() / name).read_text()}' for name in names]
    return "\n".join(parts)


def digest(names: tuple[str, ...]) -> str:
    """16 hexadecimal digits that change with any of the sources."""
    return hashlib.sha256(text(names).encode()).hexdigest()[:16]


def layout() -> int:
    """LAYOUT of records.h."""
    found = re.search(r"^#define LAYOUT (\d+)$", (folder() / "records.h").read_text(), re.M)
    if not found:
        raise Refused("EINVAL", f"{folder()}/records.h has no LAYOUT: install containeragent again")
    return int(found[1])
