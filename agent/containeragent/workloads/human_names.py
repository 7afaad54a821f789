# SPDX-License-Identifier: Apache-2.0
"""Names for people, from files that runtimes and the kubelet keep on the host: no daemon is asked.

In: a Workload as its path tells it. Out: the same with name, pod and namespace where a file says so. Files are others':
whatever is in them, or not, is no error.
"""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from containeragent.workloads.patterns import Workload

_MOST_BYTES = 4 << 20  # a container's configuration is some KiB; nothing larger is read
_MOST_NAME = 253  # a Kubernetes name's length (RFC 1123 subdomain), and more than the others allow
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
        self._podman_names: dict[str, str] = {}
        self._podman_version = (0, 0)

    def complete(self, workload: Workload) -> Workload:
        """With what files say; unchanged when they say nothing."""
        if workload.id and workload.runtime != "systemd":
            for found in self._of_container(workload):
                workload = _filled(workload, found)
        if workload.pod_uid and not workload.pod:
            workload = _filled(workload, self._pod(workload.pod_uid))
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
            "name": str(found.get("Name", "")).removeprefix("/"),
            "pod": str(labels.get("io.kubernetes.pod.name", "")),
            "namespace": str(labels.get("io.kubernetes.pod.namespace", "")),
        }

    def _podman(self, container: str) -> Mapping[str, str]:
        """containers/storage keeps one list of all, read again when it changed."""
        path = self._root / "var/lib/containers/storage/overlay-containers/containers.json"
        try:
            status = path.stat()
        except OSError:
            return {}
        version = status.st_mtime_ns, status.st_size
        if version != self._podman_version:
            listed = self._read(path)
            self._podman_names = dict(_first_names(listed if isinstance(listed, list) else []))
            self._podman_version = version
        return {"name": self._podman_names.get(container, "")}

    def _annotated(self, container: str) -> Mapping[str, str]:
        candidates = [f"run/containers/storage/overlay-containers/{container}/userdata/config.json"]
        with contextlib.suppress(OSError):
            spaces = sorted(entry.name for entry in (self._root / _CONTAINERD_TASKS).iterdir())
            candidates += [f"{_CONTAINERD_TASKS}/{space}/{container}/config.json" for space in spaces[:64]]
        for candidate in candidates:
            notes = _mapping(self._json(candidate).get("annotations"))
            if notes:
                keys = {"name": _NAME_KEYS, "pod": _POD_KEYS, "namespace": _NAMESPACE_KEYS}
                return {field: _first(notes, names) for field, names in keys.items()}
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


def _first_names(listed: list[Any]) -> Iterator[tuple[str, str]]:
    """The first of a container's names is Podman's."""
    for entry in map(_mapping, listed):
        container, names = entry.get("id"), entry.get("names")
        if isinstance(container, str) and isinstance(names, list) and names:
            yield container, str(names[0])


def _mapping(value: Any) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _first(notes: Mapping[str, Any], keys: tuple[str, ...]) -> str:
    return next((str(notes[key]) for key in keys if notes.get(key)), "")


def _filled(workload: Workload, found: Mapping[str, str]) -> Workload:
    """What is not known yet; a name that is too long is nobody's."""
    new = {field: text for field, text in found.items() if 0 < len(text) <= _MOST_NAME and not getattr(workload, field)}
    return replace(workload, **new)
