# SPDX-License-Identifier: Apache-2.0
"""What a cgroup's path says of whose it is: systemd's unit, a runtime's container, a pod.

In: a path under the cgroup2 mount. Out: a Workload, or None where nothing is known. Only the cgroup that *is* the
container, pod or unit has one; what is below it (`.../init`, `.../container`) has not, or sums would count it twice.
"""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Workload:
    """Empty is unknown or does not apply.

    `runtime`: systemd, docker, containerd, cri-o, podman, kubernetes (a pod, or a container of a runtime that the path
    does not name), lxc, nspawn, libvirt. `id`: the runtime's own. `name`: for people; for systemd the unit.
    """

    runtime: str
    id: str = ""
    name: str = ""
    pod_uid: str = ""
    pod: str = ""
    namespace: str = ""


_ID = "[0-9a-f]{64}"
_UID = "[0-9a-f]{8}(?:[-_]?[0-9a-f]{4}){3}[-_]?[0-9a-f]{12}"  # static pods have theirs without dashes
_POD = rf"(?:[^/]*kubepods[^/]*-pod(?P<pod_uid>{_UID})\.slice|kubepods(?:/burstable|/besteffort)?/pod(?P<uid>{_UID}))"
_RUNTIMES = {
    "": "kubernetes",
    "docker": "docker",
    "cri-containerd": "containerd",
    "nerdctl": "containerd",
    "crio": "cri-o",
    "libpod": "podman",
    "libpod-payload": "podman",
}
# The drivers of cgroups: systemd's makes PREFIX-ID.scope in a slice, cgroupfs a folder ID or PREFIX-ID.
_IN_POD = re.compile(rf"/{_POD}(?:/(?:(?P<prefix>docker|cri-containerd|crio|libpod)[-:])?(?P<id>{_ID})(?:\.scope)?)?$")
_SCOPE = re.compile(
    rf"/(?P<prefix>docker|cri-containerd|nerdctl|crio|libpod|libpod-payload)-(?P<id>{_ID})(?:\.scope)?$"
)
_PODMAN_POD = re.compile(rf"/(?:[^/]+-)?libpod_pod_(?P<id>{_ID})(?:\.slice)?$")
_DOCKER = re.compile(rf"/(?:docker(?:/buildkit)?|ecs/[^/]+)/(?P<id>{_ID})$")
_CONTAINERD = re.compile(rf"^/(?P<namespace>[A-Za-z0-9._-]+)/(?P<id>{_ID})$")
_LXC = re.compile(r"^(?:/lxc\.payload[./]|/lxc/)(?P<name>[^/]+)$")
_MACHINE = re.compile(r"/machine-(?:(?P<driver>qemu|lxc)\\x2d[0-9]+\\x2d)?(?P<name>[^/]+)\.scope$")
_NSPAWN = re.compile(r"/systemd-nspawn@(?P<name>[^/]+)\.service$")
_MANAGER_OF_USER = re.compile(r"^/user\.slice/user-(?P<uid>[0-9]{1,10})\.slice/user@(?P=uid)\.service/")
ROOT_USER = 0
_UNIT = re.compile(r"/(?P<name>[^/]+\.(?:service|scope|slice|socket|mount|swap))$")


def of_path(cgroup: str) -> Workload | None:
    """Whose the cgroup is, as its path tells."""
    for find in (_in_pod, _container, _machine):
        found = find(cgroup)
        if found is not None:
            return found
    unit = _UNIT.search(cgroup)
    return Workload("systemd", name=unit["name"]) if unit else None


def whose_files(cgroup: str) -> int | None:
    """The id of the user whose files may say what that cgroup is called; None where nobody's on this host may.

    What is below a user's manager is that user's to name, and what is in a container the container's: root's files
    would give them names of others' containers.
    """
    if match := _MANAGER_OF_USER.match(cgroup):
        return int(match["uid"])
    above = (cgroup[:at] for at, character in enumerate(cgroup) if character == "/" and at)
    in_container = any(found is not None and found.id for found in map(of_path, above))
    return None if in_container or "/user@" in cgroup else ROOT_USER


def _in_pod(cgroup: str) -> Workload | None:
    match = _IN_POD.search(cgroup)
    if match is None:
        return None
    uid = (match["pod_uid"] or match["uid"]).replace("_", "-")
    return Workload(_RUNTIMES[match["prefix"] or ""], id=match["id"] or "", pod_uid=uid)


def _container(cgroup: str) -> Workload | None:
    if match := _SCOPE.search(cgroup):
        return Workload(_RUNTIMES[match["prefix"]], id=match["id"])
    if match := _PODMAN_POD.search(cgroup):
        return Workload("podman", pod_uid=match["id"])
    if match := _DOCKER.search(cgroup):
        return Workload("docker", id=match["id"])
    if match := _CONTAINERD.search(cgroup):
        return Workload("containerd", id=match["id"], namespace=match["namespace"])
    return None


def _machine(cgroup: str) -> Workload | None:
    if match := _LXC.search(cgroup):
        return Workload("lxc", id=match["name"], name=match["name"])
    if match := _MACHINE.search(cgroup):
        name = unescaped(match["name"])
        return Workload("libvirt" if match["driver"] else "nspawn", id=name, name=name)
    if match := _NSPAWN.search(cgroup):
        name = unescaped(match["name"])
        return Workload("nspawn", id=name, name=name)
    return None


def unescaped(name: str) -> str:
    r"""A part of a unit's name with systemd's escapes (\x2d) taken back (systemd-escape(1))."""
    raw = re.sub(rb"\\x([0-9a-f]{2})", lambda found: bytes.fromhex(found[1].decode()), name.encode("utf-8", "replace"))
    return raw.decode("utf-8", "replace")
