# SPDX-License-Identifier: Apache-2.0
"""What is refused, and why: one exception for everything that a user can be told in one line."""

from __future__ import annotations

import errno as _errno
import os


class Refused(Exception):
    """Something that was not done.

    `code` is an errno name ("EBUSY"), `message` one line: what was refused, why, what to do; `status` is the exit
    status of a command that ends with it.
    """

    status = 1

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    @classmethod
    def of_errno(cls, number: int, what: str, hint: str = "") -> Refused:
        """`what` failed with the errno `number`; `hint` says what to do."""
        reason = os.strerror(number).lower()
        return cls(errno_name(number), f"{what}: {reason}" + (f"; {hint}" if hint else ""))


class HostRefused(Refused):
    """This host does not let BPF programs count; another engine may."""

    status = 3


def errno_name(number: int) -> str:
    """The errno's symbol; EIO for numbers that have none."""
    return _errno.errorcode.get(number, "EIO")


def is_errno_name(code: object) -> bool:
    """Whether it is an errno's symbol."""
    return code in _errno.errorcode.values()


def reason(error: OSError) -> str:
    """What the system says of it, to stand within a line."""
    return (error.strerror or str(error)).lower()
