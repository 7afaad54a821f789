# SPDX-License-Identifier: Apache-2.0
"""QEMU's command line for a guest: in, files and sizes; out, words."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

COMMAND = "qemu-system-x86_64"
# Nehalem is x86-64-v2, which numpy asks for; much more is not emulated. One thread for all CPUs: with one each, a
# kernel that changed its code while programs were exchanged has met a breakpoint of its own (int3) and panicked. Most
# tests keep one CPU busy, so it takes as long, and two guests side by side have a core each.
_EMULATED = ["-accel", "tcg,thread=single", "-cpu", "Nehalem-v1"]
# The guest's clocks count instructions, one a nanosecond: what is measured does not depend on who else is at work here.
_COUNTED = ["-icount", "shift=0"]
_VIRTUALIZED = ["-accel", "kvm", "-cpu", "host"]
_BARE = ["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot"]
# There is no initramfs: Debian's cloud kernels have NVMe and ext4 built in.
_KERNEL = "root=/dev/nvme0n1 rw console=ttyS0 panic=-1 quiet mitigations=off"
# When the kernel uses cmpxchg16b, 6.12 crashes under the emulation of QEMU 7.2, mostly in its slab allocator.
# The check of the timer gives up on a busy machine, which emulates it too late.
_EMULATED_KERNEL = " clearcpuid=cx16 no_timer_check"


@dataclass(frozen=True)
class Machine:
    """A guest; its serial lines are the console, the command's output, and the command's exit status."""

    kernel: Path
    disk: Path
    payload: Path
    console: Path
    status: Path
    memory_mib: int = 3072
    cpus: int = 2
    kvm: bool = False
    icount: bool = False

    def command_line(self) -> list[str]:
        """The disk is clean for every run (snapshot); a panic, a reboot and a shutdown end QEMU."""
        line = [COMMAND, *(_VIRTUALIZED if self.kvm else _EMULATED), *_BARE]
        line += _COUNTED if self.icount else []
        line += ["-smp", str(self.cpus), "-m", str(self.memory_mib)]
        line += ["-kernel", str(self.kernel), "-append", _KERNEL + ("" if self.kvm else _EMULATED_KERNEL)]
        line += _drive("nvme,serial=root", "root", f"file={_escaped(self.disk)},snapshot=on")
        # not a second NVMe disk: these two can swap names
        line += _drive("virtio-blk-pci", "payload", f"file={_escaped(self.payload)},readonly=on")
        line += ["-serial", f"file:{self.console}"]
        line += ["-chardev", "stdio,id=output,signal=off", "-serial", "chardev:output"]
        return [*line, "-serial", f"file:{self.status}"]


def kernel_alone(kernel: Path, console: Path) -> list[str]:
    """A kernel under KVM that has no disk, so it panics and QEMU ends."""
    append = ["-append", "console=ttyS0 earlyprintk=serial panic=-1"]
    return [COMMAND, *_VIRTUALIZED, *_BARE, "-m", "512", "-kernel", str(kernel), *append, "-serial", f"file:{console}"]


def _drive(device: str, name: str, options: str) -> list[str]:
    return ["-drive", f"id={name},if=none,format=raw,{options}", "-device", f"{device},drive={name}"]


def _escaped(path: Path) -> str:
    """A comma ends an option, two are one."""
    return str(path).replace(",", ",,")
