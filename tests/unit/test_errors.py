# SPDX-License-Identifier: Apache-2.0
"""Refused: a code for programs and a line for people."""

from __future__ import annotations

import errno

from containeragent.errors import Refused, errno_name


def test_of_errno() -> None:
    """What, why, and what to do if there is something."""
    bare = Refused.of_errno(errno.EBUSY, "x was not made")
    assert (bare.code, bare.message) == ("EBUSY", "x was not made: device or resource busy")
    assert Refused.of_errno(errno.EPERM, "x", "use sudo").message == "x: operation not permitted; use sudo"
    assert str(bare) == bare.message


def test_names_of_numbers() -> None:
    """One that has no name is EIO."""
    assert errno_name(errno.ENOSPC) == "ENOSPC" and errno_name(99999) == "EIO"
