# SPDX-License-Identifier: Apache-2.0
"""Whether KVM works here: in, an image; out, yes or no. A device that is there may still not run an ordinary kernel."""

from __future__ import annotations

import os
import subprocess
import tempfile
import time
from pathlib import Path

from tests.vm import guest, qemu
from tests.vm.image import Image

DEVICE = Path("/dev/kvm")
BOOT_ID = Path("/proc/sys/kernel/random/boot_id")
_PATIENCE_SECONDS = 8.0  # a kernel speaks within a second


def works(image: Image) -> bool:
    """Tried once for each boot of this machine: a kernel without a disk has to get as far as its first line."""
    if not os.access(DEVICE, os.R_OK | os.W_OK):
        return False
    known, boot = image.folder.parent / "kvm", BOOT_ID.read_text().strip()
    if not known.exists() or known.read_text().split()[0] != boot:
        known.write_text(f"{boot} {'yes' if _boots(image) else 'no'}\n")
    return known.read_text().split()[1] == "yes"


def _boots(image: Image) -> bool:
    kernel = min(image.folder.glob("vmlinuz-*"))
    with tempfile.TemporaryDirectory(prefix="containeragent-vm-", dir="/var/tmp") as name:
        folder = Path(name)
        console = folder / "console"
        tried = guest.start(qemu.kernel_alone(kernel, console), folder, subprocess.DEVNULL, subprocess.DEVNULL)
        try:
            end = time.monotonic() + _PATIENCE_SECONDS
            while time.monotonic() < end and tried.poll() is None and not _speaks(console):
                time.sleep(0.1)
        finally:
            tried.kill()
            tried.wait()
        return _speaks(console)


def _speaks(console: Path) -> bool:
    return console.exists() and b"Linux version" in console.read_bytes()
