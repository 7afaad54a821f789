# SPDX-License-Identifier: Apache-2.0
"""Names for people, from files that runtimes and the kubelet keep on the host: no daemon is asked.

In: a Workload as its path tells it. Out: the same with name, pod and namespace where a file says so. Files are others':
whatever is in them, or not, is no error.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from containeragent.workloads.patterns import Workload

_MOST_BYTES = 4 << 20  # a container's configuration is some KiB; nothing larger is read
# What Docker, containers/storage, nerdctl and Kubernetes (RFC 1123 subdomain) all keep to; what is otherwise is no name
_NAME = re.compile("[A-Za-z0-9][A-Za-z0-9_.-]{0,252}")
PODMAN_LISTS = ("containers.json", "volatile-containers.json")  # of containers/storage; with --rm in the second
_CONTAINERD_TASKS = "run/containerd/io.containerd.runtime.v2.task"
# OCI annotations that runtimes put into a container's config.json
_NAME_KEYS = (
    "io.kubernetes.cri.container-name",  # containerd's CRI
    "io.kubernetes.container.name",  # CRI-O
    "nerdctl/name",
)
_POD_KEYS = ("io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name")
_NAMESPACE_KEYS = ("io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace")


class HumanNames:
    """Below a root folder: the host's."""

    def __init__(self, root: Path = Path("/")) -> None:
        self._root = root
        self._podman_lists: dict[str, tuple[tuple[int, int], dict[str, str]]] = {}  # version and names by file

    def complete(self, workload: Workload) -> Workload:
        """With what files say; unchanged when they say nothing."""
        if workload.id and workload.runtime != "systemd":
            for found in self._of_container(workload):
                workload = filled(workload, found)
        if workload.pod_uid and not workload.pod:
            workload = filled(workload, self._pod(workload.pod_uid))
        return workload

    def _of_container(self, workload: Workload) -> Iterator[Mapping[str, str]]:
        match workload.runtime:
            case "docker":
                yield self._docker(workload.id)
            case "podman":
                yield self._podman(workload.id)
            case "containerd" | "cri-o" | "kubernetes":
                yield self._annotated(workload.id)
        if workload.pod_uid:
            yield self._kubelet(workload.id)

    def _docker(self, container: str) -> Mapping[str, str]:
        found = self._json(f"var/lib/docker/containers/{container}/config.v2.json")
        labels = _mapping(_mapping(found.get("Config")).get("Labels"))
        return {
            "name": docker_name(found),
            "pod": str(labels.get("io.kubernetes.pod.name", "")),
            "namespace": str(labels.get("io.kubernetes.pod.namespace", "")),
        }

    def _podman(self, container: str) -> Mapping[str, str]:
        for file in PODMAN_LISTS:
            name = self._podman_list(file).get(container)
            if name:
                return {"name": name}
        return {}

    def _podman_list(self, file: str) -> dict[str, str]:
        """containers/storage keeps lists of all, read again when they changed."""
        path = self._root / "var/lib/containers/storage/overlay-containers" / file
        try:
            status = path.stat()
        except OSError:
            return {}
        version = status.st_mtime_ns, status.st_size
        if self._podman_lists.get(file, ((0, 0),))[0] != version:
            self._podman_lists[file] = version, podman_names(self._read(path))
        return self._podman_lists[file][1]

    def _annotated(self, container: str) -> Mapping[str, str]:
        candidates = [f"run/containers/storage/overlay-containers/{container}/userdata/config.json"]
        with contextlib.suppress(OSError):
            spaces = sorted(entry.name for entry in (self._root / _CONTAINERD_TASKS).iterdir())
            candidates += [f"{_CONTAINERD_TASKS}/{space}/{container}/config.json" for space in spaces[:64]]
        for candidate in candidates:
            notes = bundle_names(self._json(candidate))
            if notes:
                return notes
        return {}

    def _kubelet(self, container: str) -> Mapping[str, str]:
        """The kubelet links POD_NAMESPACE_NAME-ID.log for whoever collects logs."""
        with contextlib.suppress(OSError):
            for link in (self._root / "var/log/containers").glob(f"*-{container}.log"):
                parts = link.name.removesuffix(f"-{container}.log").split("_")
                if len(parts) == 3:
                    return dict(zip(("pod", "namespace", "name"), parts, strict=True))
        return {}

    def _pod(self, uid: str) -> Mapping[str, str]:
        """The kubelet's folder of a pod's logs is NAMESPACE_POD_UID."""
        with contextlib.suppress(OSError):
            for folder in (self._root / "var/log/pods").glob(f"*_{uid}"):
                parts = folder.name.split("_")
                if len(parts) == 3:
                    return {"namespace": parts[0], "pod": parts[1]}
        return {}

    def _json(self, path: str) -> Mapping[str, Any]:
        return _mapping(self._read(self._root / path))

    def _read(self, path: Path) -> Any:
        try:
            with path.open("rb") as file:
                return json.loads(file.read(_MOST_BYTES))
        except (OSError, ValueError, RecursionError):
            return None


def docker_name(config: object) -> str:
    """Of a config.v2.json."""
    return str(_mapping(config).get("Name", "")).removeprefix("/")


def podman_names(listed: object) -> dict[str, str]:
    """Of a containers.json, by id: the first of a container's names is Podman's."""
    found: dict[str, str] = {}
    for entry in map(_mapping, listed if isinstance(listed, list) else ()):
        container, names = entry.get("id"), entry.get("names")
        if isinstance(container, str) and isinstance(names, list) and names:
            found[container] = str(names[0])
    return found


def bundle_names(bundle: object) -> Mapping[str, str]:
    """Name, pod and namespace by an OCI bundle's config.json; nothing where it has no annotations."""
    notes = _mapping(_mapping(bundle).get("annotations"))
    keys = {"name": _NAME_KEYS, "pod": _POD_KEYS, "namespace": _NAMESPACE_KEYS}
    return {field: _first(notes, names) for field, names in keys.items()} if notes else {}


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(notes: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(notes[key]) for key in keys if notes.get(key)), "")


def filled(workload: Workload, found: Mapping[str, str]) -> Workload:
    """What is not known yet, by what can be a name."""
    new = {field: text for field, text in found.items() if not getattr(workload, field) and _NAME.fullmatch(text)}
    return replace(workload, **new)
