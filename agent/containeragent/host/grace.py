# SPDX-License-Identifier: Apache-2.0
"""Wait until every BPF program that is at work now has ended.

They run under RCU, and membarrier(2) MEMBARRIER_CMD_GLOBAL returns after an RCU grace period. Kernels with full
dynticks CPUs refuse it; a program takes microseconds, so a moment's sleep does there.
"""

from __future__ import annotations

import ctypes
import os
import time

_SYS_MEMBARRIER = {"x86_64": 324, "aarch64": 283}.get(os.uname().machine, 283)
_MEMBARRIER_CMD_GLOBAL = 1 << 0
_A_MOMENT_SECONDS = 0.2


def wait_for_programs() -> None:
    """Milliseconds."""
    syscall = ctypes.CDLL(None, use_errno=True).syscall
    if syscall(_SYS_MEMBARRIER, _MEMBARRIER_CMD_GLOBAL, 0, 0):
        time.sleep(_A_MOMENT_SECONDS)
