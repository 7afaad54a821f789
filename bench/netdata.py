# SPDX-License-Identifier: Apache-2.0
"""A second peer: netdata as Debian has it, which reads every cgroup's files once a second, whether or not anybody asks.

Its package is unpacked into build/peers when it is first needed, and not installed: nothing is started but by us, with
its collector of cgroups alone, and of that what it says of memory (memory.stat and usage; it has no number of tasks).
"""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

from bench.agents import free_port

PACKAGES = "netdata-core libjson-c5 libmnl0 libnetfilter-acct1 libuv1 liblz4-1".split()
_FOLDER = Path(__file__).resolve().parents[1] / "build/peers/netdata"
_PATIENCE_SECONDS = 120
_OFF = "proc diskspace tc idlejitter timex statsd apps perf nfacct slabinfo".split()
_NOT_MEMORY = (
    "memory limits fail count,swap memory,cpuacct stat (total CPU),cpuacct usage (per core CPU),cpuacct cpu throttling,"
    "blkio bandwidth,blkio operations,blkio throttle bandwidth,blkio throttle operations,blkio queued operations,"
    "blkio merged operations,systemd services,cpu pressure,io some pressure,io full pressure,memory some pressure,"
    "memory full pressure"
).split(",")


def installed() -> Path:
    """Where it is unpacked."""
    if not _FOLDER.exists():
        new = _FOLDER.with_suffix(".new")
        new.mkdir(parents=True, exist_ok=True)
        subprocess.run(["apt-get", "-qq", "-o", "APT::Sandbox::User=root", "download", *PACKAGES], cwd=new, check=True)
        for package in new.glob("*.deb"):
            subprocess.run(["dpkg-deb", "-x", package, new], check=True)
        new.rename(_FOLDER)
    return _FOLDER


def version() -> str:
    """By its package."""
    (package,) = installed().glob("netdata-core_*.deb")
    return f"netdata {package.name.split('_')[1].split('-')[0]}"


def _configuration(folder: Path, port: int, unified: bool) -> str:
    places = ("config", "stock config", "cache", "lib", "log", "web", "health config", "stock health config")
    sections = {
        "global": {"run as user": "root"},
        "directories": dict.fromkeys(places, str(folder)) | {"plugins": str(installed() / "usr/lib/netdata/plugins.d")},
        "db": {"mode": "ram", "retention": "60", "update every": "1"},
        "web": {"bind to": f"127.0.0.1:{port}"},
        "ml": {"enabled": "no"},
        "health": {"enabled": "no"},
        "plugins": dict.fromkeys([*_OFF, "enable running new plugins", "netdata monitoring"], "no"),
        "plugin:cgroups": {
            "max cgroups to allow": "100000",
            "use unified cgroups": "yes" if unified else "no",
            "enable by default cgroups matching": "*bench-files*",
            "search for cgroups in subpaths matching": "*",
            "run script to rename cgroups matching": "!*",
            "script to get cgroup network interfaces": "/bin/true",  # else minutes go by with a program for each
            "enable memory": "yes",
            "enable detailed memory": "yes",
            **dict.fromkeys([f"enable {what}" for what in _NOT_MEMORY], "no"),
        },
    }
    return "".join(
        f"[{name}]\n" + "".join(f"  {key} = {value}\n" for key, value in keys.items())
        for name, keys in sections.items()
    )


@contextlib.contextmanager
def running(folder: Path, number: int, unified: bool) -> Iterator[tuple[int, str] | None]:
    """The id of one that has found that many containers of the bench's, and its address; None when it does not."""
    port, root = free_port(), installed()
    (folder / ".opt-out-from-anonymous-statistics").touch()
    (folder / "netdata.conf").write_text(_configuration(folder, port, unified))
    line = [str(root / "usr/sbin/netdata"), "-D", "-c", str(folder / "netdata.conf")]
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(root / "usr/lib/x86_64-linux-gnu")}
    with subprocess.Popen(line, env=libraries, stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL) as peer:
        try:
            end, found = time.monotonic() + _PATIENCE_SECONDS, 0
            while found < number and time.monotonic() < end:
                time.sleep(2)
                with contextlib.suppress(OSError):
                    found = len(
                        set(
                            re.findall(rb'="cgroup_bench-files-\d+_container-(\d+)\.mem"', metrics(f"127.0.0.1:{port}"))
                        )
                    )
            yield (peer.pid, f"127.0.0.1:{port}") if found >= number else None
        finally:
            peer.terminate()
            peer.wait(timeout=120)


def metrics(address: str) -> bytes:
    """What it tells Prometheus."""
    with urllib.request.urlopen(f"http://{address}/api/v1/allmetrics?format=prometheus", timeout=600) as answer:
        return bytes(answer.read())
