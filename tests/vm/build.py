# SPDX-License-Identifier: Apache-2.0
"""Build a guest's image: in, a checkout's lock files and this machine's apt and pip; out, a disk and kernels.

Debian 12 with systemd and what `make setup-dev` makes, in /src. Nothing of this machine's configuration goes into it.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

from tests.vm import mirrors, payload
from tests.vm.errors import Unusable

FILES = Path(__file__).with_name("files")
SUITES = {"6.1": "bookworm", "6.12": "bookworm-backports"}
PACKAGES = (
    "systemd-sysv dbus udev kmod procps iproute2 curl make python3 python3-bpfcc python3-venv bpftool systemd-oomd"
).split()
# What setup-dev goes by; a change of these is another image.
FROM_TREE = ("pyproject.toml", "requirements.lock", "requirements-dev.lock", "deploy/setup.sh")
TOOLS = ("mmdebstrap", "mkfs.ext4", "git", "qemu-system-x86_64")
DISK = "root.ext4"
DISK_SIZE = "6G"  # sparse: some 900 MB are used
UNFINISHED = ".part"


def inputs(tree: Path) -> list[Path]:
    """Every file that the image depends on."""
    own = [Path(module) for module in (__file__, mirrors.__file__)]
    return [*own, *sorted(FILES.iterdir()), *(tree / name for name in FROM_TREE)]


def check_tools() -> None:
    """All that is needed to build and to run."""
    missing = [tool for tool in TOOLS if shutil.which(tool, path="/usr/sbin:/sbin:/usr/bin:/bin") is None]
    if missing:
        raise Unusable(f"no {', '.join(missing)} on this machine: run deploy/setup.sh test as root")


def build(tree: Path, folder: Path) -> None:
    """Make `folder`; half a result stays out of it."""
    check_tools()
    begin = time.monotonic()
    _say(f"building the guests' image {folder}, this takes about a minute")
    work = folder.with_suffix(UNFINISHED)
    if work.exists():
        shutil.rmtree(work)
    work.mkdir(mode=0o755)
    try:
        _say("downloading Python packages")
        _download_wheels(tree, work / "wheels")
        payload.write_tree(work / "tree.tar", tree)
        _say("installing Debian packages, kernels and .venv")
        _bootstrap(work)
        _say("making the disk")
        _make_disk(work)
        if folder.exists():
            shutil.rmtree(folder)
        (work / "image").rename(folder)
    finally:
        shutil.rmtree(work)
    _say(f"the image is ready after {time.monotonic() - begin:.0f} s")


def _say(what: str) -> None:
    print(f"vm: {what}", flush=True)


def _run(line: list[str]) -> None:
    """Quiet, unless it fails."""
    done = subprocess.run(line, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
    if done.returncode:
        raise Unusable(f"building the image failed: {line[0]} ended with {done.returncode}:\n{done.stdout}")


def _download_wheels(tree: Path, wheels: Path) -> None:
    """With this machine's own pip and its configuration, so that none of that has to go into the image."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet", "--dest", str(wheels)]
    options = ["--require-hashes", "--only-binary", ":all:", "--python-version", "3.11", "--no-deps"]
    _run([*pip, *options, "-r", str(tree / "requirements-dev.lock")])


def _bootstrap(work: Path) -> None:
    options = [
        "--quiet",
        "--variant=apt",
        f"--include={','.join(PACKAGES)}",
        '--aptopt=Apt::Install-Recommends "false"',
        '--aptopt=Acquire::Languages "none"',
        "--dpkgopt=force-unsafe-io",
        *(f"--dpkgopt=path-exclude=/usr/share/{unread}/*" for unread in ("doc", "man", "locale", "info")),
        *(f"--customize-hook={hook}" for hook in _hooks(work)),
    ]
    _run(["mmdebstrap", *options, "bookworm", str(work / "root"), *mirrors.sources(SUITES.values())])


def _hooks(work: Path) -> Iterator[str]:
    """Shell commands with the new root in $1."""
    files, quoted = shlex.quote(str(FILES)), shlex.quote(str(work))
    yield 'mkdir -p "$1/wheels" "$1/usr/local/sbin"'
    yield f'cp {quoted}/wheels/*.whl "$1/wheels" && tar -C "$1" -xf {quoted}/tree.tar'
    yield f'cp {files}/test-bench "$1/usr/local/sbin" && cp {files}/test-bench.service "$1/etc/systemd/system"'
    yield f'sh {files}/kernels "$1" {shlex.join(SUITES.values())}'
    yield f'cp {files}/configure "$1/root" && chroot "$1" sh /root/configure'
    yield 'rm -r "$1/wheels" "$1/root/configure" "$1/var/lib/apt/lists" && mkdir -p "$1/var/lib/apt/lists/partial"'


def _make_disk(work: Path) -> None:
    image = work / "image"
    image.mkdir()
    for kernel in (work / "root/boot").glob("vmlinuz-*"):
        kernel.rename(image / kernel.name)
    options = ["-q", "-m", "0", "-O", "^has_journal", "-d", str(work / "root")]
    _run(["mkfs.ext4", *options, str(image / DISK), DISK_SIZE])
