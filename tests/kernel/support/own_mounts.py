# SPDX-License-Identifier: Apache-2.0
"""Mounts that only one process and its children see, in a changed root (chroot) too."""

from __future__ import annotations

# Where / is no mount, as in a changed root, nothing can be made private from there: fine if nothing is shared anyway.
_PRIVATE = "{ mount --make-rprivate / 2> /dev/null || ! grep -q ' shared:' /proc/self/mountinfo; } || exit 1\n"


def within(script: str, *arguments: str, shell: str = "sh") -> tuple[str, ...]:
    """A command that runs a shell script in a mount namespace of its own; `arguments` are $0, $1 and so on."""
    return ("unshare", "--mount", "--propagation", "unchanged", shell, "-e", "-c", _PRIVATE + script, *arguments)
