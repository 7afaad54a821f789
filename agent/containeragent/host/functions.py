# SPDX-License-Identifier: Apache-2.0
"""Kernel functions that engine fentry attaches to, and whether this kernel lets it.

In: BTF, and the kernel's answer to an empty program. Out: names, and yes, no or could not tell. Lockdown, a security
module or a kernel without function tracing refuse such programs where raw tracepoints load.
"""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass

from containeragent import runnable
from containeragent.errors import HostRefused, errno_name
from containeragent.host.btf import Btf

# By the name that bpf/stat.c has for it; the first that BTF has.
FUNCTIONS: dict[str, tuple[str, ...]] = {
    # lruvec_stat_mod_folio is last, because it only calls another one of these where there is one.
    "STAT_HOOK": ("__lruvec_stat_mod_folio", "__mod_lruvec_page_state", "lruvec_stat_mod_folio"),
    "NEW_ANON_HOOK": ("folio_add_new_anon_rmap", "page_add_new_anon_rmap"),
    "MORE_ANON_HOOK": ("folio_add_anon_rmap_ptes", "do_page_add_anon_rmap", "page_add_anon_rmap"),
    "MIGRATE_HOOK": ("mem_cgroup_migrate",),
}
COULD_NOT_TELL = "could not tell"
_REFUSALS = {errno.EPERM, errno.EACCES, errno.EINVAL, errno.ENOSYS, errno.EOPNOTSUPP, 524}  # the last is ENOTSUPP


@dataclass(frozen=True)
class Answer:
    """`loads` is None when it could not be told; `reason` says why it is not True."""

    loads: bool | None
    reason: str = ""


def present(btf: Btf) -> dict[str, str]:
    """Which function this kernel has for each hook; hooks that it has nothing for are left out."""
    found = {hook: [name for name in names if btf.function(name) is not None] for hook, names in FUNCTIONS.items()}
    return {hook: names[0] for hook, names in found.items() if names}


def probe(btf: Btf) -> Answer:
    """Whether programs on these functions load and attach: tried with an empty one."""
    names = present(btf)
    missing = [" or ".join(FUNCTIONS[hook]) for hook in FUNCTIONS if hook not in names]
    if missing:
        return Answer(False, f"this kernel's BTF has no function {', '.join(missing)}")
    try:
        runnable.attach_nothing(btf.function(names["STAT_HOOK"]) or 0)
    except OSError as error:
        number = error.errno or errno.EIO
        reason = f"{names['STAT_HOOK']}: {os.strerror(number).lower()} ({errno_name(number)})"
        if number in _REFUSALS:
            return Answer(False, f"the kernel refuses programs on functions, {reason}")
        return Answer(None, f"{COULD_NOT_TELL} whether programs on functions load, {reason}")
    return Answer(True)


def require(btf: Btf) -> None:
    """Refused unless they load."""
    answer = probe(btf)
    if not answer.loads:
        raise HostRefused("ENOTSUP", f"engine fentry does not load: {answer.reason}; use --engine auto or tracepoint")
