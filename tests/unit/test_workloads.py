# SPDX-License-Identifier: Apache-2.0
"""Whose a cgroup is: paths as hosts have them, and the files that runtimes leave there."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given, strategies as st

from containeragent.workloads.human_names import HumanNames
from containeragent.workloads.known import Workloads
from containeragent.workloads.patterns import Workload, of_path, whose_files

ID = "49dc0d7a84b2ddcc6b0d7a84b2ddcc6b49dc0d7a84b2ddcc6b0d7a84b2ddcc6b"
OTHER = "0" + ID[1:]
UID = "0b7632a2-a56e-4278-987a-22de18008dbe"
SLICE_UID = UID.replace("-", "_")
STATIC_UID = "c9fcbb9c9ad4f7c5b5d0ee2f8e2f4d1a"  # of a static pod: the hash of its manifest
BURSTABLE = f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{SLICE_UID}.slice"
KIND = f"/system.slice/docker-{OTHER}.scope/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-besteffort.slice"

USERS = "/user.slice/user-1000.slice/user@1000.service"

KNOWN = {
    # systemd
    "/init.scope": Workload("systemd", name="init.scope"),
    "/system.slice": Workload("systemd", name="system.slice"),
    "/system.slice/ssh.service": Workload("systemd", name="ssh.service"),
    "/system.slice/system-getty.slice/getty@tty1.service": Workload("systemd", name="getty@tty1.service"),
    r"/system.slice/dev-disk-by\x2duuid-6d32.swap": Workload("systemd", name=r"dev-disk-by\x2duuid-6d32.swap"),
    "/user.slice/user-1000.slice/session-3.scope": Workload("systemd", name="session-3.scope"),
    "/user.slice/user-1000.slice/user@1000.service/app.slice/dbus.service": Workload("systemd", name="dbus.service"),
    "/system.slice/docker.service": Workload("systemd", name="docker.service"),
    # a monitor is not its container
    f"/machine.slice/libpod-conmon-{ID}.scope": Workload("systemd", name=f"libpod-conmon-{ID}.scope"),
    f"/system.slice/crio-conmon-{ID}.scope": Workload("systemd", name=f"crio-conmon-{ID}.scope"),
    # Docker: systemd's driver, cgroupfs, rootless, buildkit, ECS
    f"/system.slice/docker-{ID}.scope": Workload("docker", id=ID),
    f"/docker/{ID}": Workload("docker", id=ID),
    f"/docker/buildkit/{ID}": Workload("docker", id=ID),
    f"{USERS}/user.slice/docker-{ID}.scope": Workload("docker", id=ID),
    f"/ecs/0f7a1c3e5d7b4a9c8e6f/{ID}": Workload("docker", id=ID),
    f"/ecstasks.slice/ecstasks-0f7a1c3e5d7b4a9c8e6f.slice/docker-{ID}.scope": Workload("docker", id=ID),
    # containerd: nerdctl with both drivers
    f"/system.slice/nerdctl-{ID}.scope": Workload("containerd", id=ID),
    f"/default/{ID}": Workload("containerd", id=ID, namespace="default"),
    # Podman: root, rootless, in a pod, quadlet
    f"/machine.slice/libpod-{ID}.scope": Workload("podman", id=ID),
    f"{USERS}/user.slice/libpod-{ID}.scope": Workload("podman", id=ID),
    f"{USERS}/app.slice/web.service/libpod-payload-{ID}": Workload("podman", id=ID),
    f"{USERS}/user.slice/user-libpod_pod_{OTHER}.slice/libpod-{ID}.scope": Workload("podman", id=ID),
    f"{USERS}/user.slice/user-libpod_pod_{ID}.slice": Workload("podman", pod_uid=ID),
    f"{USERS}/app.slice/docker-{ID}.scope": Workload("docker", id=ID),
    f"{USERS}/user.slice/nerdctl-{ID}.scope": Workload("containerd", id=ID),
    f"/libpod_parent/libpod-{ID}": Workload("podman", id=ID),
    f"/machine.slice/machine-libpod_pod_{ID}.slice": Workload("podman", pod_uid=ID),
    f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope": Workload("podman", id=ID),
    f"/system.slice/web.service/libpod-payload-{ID}": Workload("podman", id=ID),
    # Kubernetes: systemd's driver and cgroupfs, all classes, every runtime
    BURSTABLE: Workload("kubernetes", pod_uid=UID),
    f"{BURSTABLE}/cri-containerd-{ID}.scope": Workload("containerd", id=ID, pod_uid=UID),
    f"{BURSTABLE}/crio-{ID}.scope": Workload("cri-o", id=ID, pod_uid=UID),
    f"{BURSTABLE}/docker-{ID}.scope": Workload("docker", id=ID, pod_uid=UID),
    f"/kubepods.slice/kubepods-pod{SLICE_UID}.slice/crio-{ID}.scope": Workload("cri-o", id=ID, pod_uid=UID),
    f"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{STATIC_UID}.slice": Workload(
        "kubernetes", pod_uid=STATIC_UID
    ),
    f"/kubepods/pod{UID}": Workload("kubernetes", pod_uid=UID),
    f"/kubepods/besteffort/pod{UID}/{ID}": Workload("kubernetes", id=ID, pod_uid=UID),
    f"/kubepods/burstable/pod{UID}/crio-{ID}": Workload("cri-o", id=ID, pod_uid=UID),
    f"{KIND}/kubelet-kubepods-besteffort-pod{SLICE_UID}.slice/cri-containerd-{ID}.scope": Workload(
        "containerd", id=ID, pod_uid=UID
    ),
    # machines
    "/lxc.payload.web": Workload("lxc", id="web", name="web"),
    "/lxc.payload/101": Workload("lxc", id="101", name="101"),
    "/lxc/101": Workload("lxc", id="101", name="101"),
    r"/machine.slice/machine-my\x2dbox.scope": Workload("nspawn", id="my-box", name="my-box"),
    r"/machine.slice/systemd-nspawn@web.service": Workload("nspawn", id="web", name="web"),
    r"/machine.slice/machine-qemu\x2d1\x2ddebian12\x2d1.scope": Workload("libvirt", id="debian12-1", name="debian12-1"),
    r"/machine.slice/machine-lxc\x2d12\x2dbox.scope": Workload("libvirt", id="box", name="box"),
}

UNKNOWN = [
    "/",
    "/containers/web",
    "/lxc.monitor.web",
    "/lxc/101/ns",
    f"/docker/{ID}/init",
    f"/docker/{ID[1:]}",
    f"/system.slice/docker-{ID}.scope/nested",
    f"{BURSTABLE}/crio-{ID}.scope/container",
    f"/machine.slice/libpod-{ID}.scope/container",
    "/system.slice/system.slice:docker:jvifp9a6b1lxa1kuw8bwfcovf",
    "/kubepods/burstable",
    "/machine.slice/machine-qemu\\x2d6\\x2dvm1.scope/libvirt",
    f"/a/b/{ID}",
]


@pytest.mark.parametrize("path", KNOWN)
def test_known(path: str) -> None:
    """Runtime and id, and the pod above it."""
    assert of_path(path) == KNOWN[path]


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown(path: str) -> None:
    """What is below a container is not the container; what looks like nothing stays as it is."""
    assert of_path(path) is None


@pytest.mark.parametrize(
    ("path", "user"),
    [
        (f"/system.slice/docker-{ID}.scope", 0),
        (f"{BURSTABLE}/crio-{ID}.scope", 0),
        (f"/machine.slice/machine-libpod_pod_{OTHER}.slice/libpod-{ID}.scope", 0),
        (f"/system.slice/web.service/libpod-payload-{ID}", 0),
        (f"{USERS}/user.slice/docker-{ID}.scope", 1000),
        (f"{USERS}/user.slice/docker-{OTHER}.scope/docker/{ID}", 1000),
        # a user names what is below his manager as he likes: no pod's files are looked at for it
        (f"{USERS}{BURSTABLE}/crio-{ID}.scope", 1000),
        (f"/user.slice/user-1000.slice/user@1001.service/user.slice/docker-{ID}.scope", None),
        (f"/system.slice/user@1000.service/docker-{ID}.scope", None),
        # in a container of root's, who made it says what is where
        (f"{KIND}/kubelet-kubepods-besteffort-pod{SLICE_UID}.slice/cri-containerd-{ID}.scope", None),
        (f"/docker/{OTHER}/docker/{ID}", None),
        (f"/lxc.payload.web/system.slice/docker-{ID}.scope", None),
        (f"/docker/{OTHER}{USERS}/user.slice/docker-{ID}.scope", None),
    ],
)
def test_whose_files(path: str, user: int | None) -> None:
    """Are asked what it is called."""
    assert whose_files(path) == user


@given(st.text(max_size=200))
def test_any_path(path: str) -> None:
    """Cgroups may have any name."""
    of_path("/" + path)
    whose_files("/" + path)


class Host:
    """Files of a host."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.names = HumanNames(root)

    def file(self, path: str, content: object) -> None:
        """JSON, or the text itself."""
        file = self.root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def host(tmp_path: Path) -> Host:
    """Without any file."""
    return Host(tmp_path)


def test_docker(host: Host) -> None:
    """The name without its slash; the pod where Kubernetes runs on Docker."""
    labels = {"io.kubernetes.pod.name": "web-0", "io.kubernetes.pod.namespace": "shop"}
    host.file(f"var/lib/docker/containers/{ID}/config.v2.json", {"Name": "/shop", "Config": {"Labels": labels}})
    found = host.names.complete(Workload("docker", id=ID))
    assert (found.name, found.pod, found.namespace) == ("shop", "web-0", "shop")


def test_podman_reads_its_list_again(host: Host) -> None:
    """When it changed."""
    path = "var/lib/containers/storage/overlay-containers/containers.json"
    assert host.names.complete(Workload("podman", id=ID)).name == ""
    host.file(path, [{"id": OTHER, "names": ["other"]}, {"id": ID, "names": ["web", "alias"]}, {"id": 3}, "?"])
    assert host.names.complete(Workload("podman", id=ID)).name == "web"
    host.file(path, [{"id": ID, "names": ["renamed"]}, {}])
    assert host.names.complete(Workload("podman", id=ID)).name == "renamed"
    host.file(path.replace("containers.json", "volatile-containers.json"), [{"id": OTHER, "names": ["run-with-rm"]}])
    assert host.names.complete(Workload("podman", id=OTHER)).name == "run-with-rm"


@pytest.mark.parametrize(
    ("runtime", "path", "keys"),
    [
        (
            "containerd",
            f"run/containerd/io.containerd.runtime.v2.task/k8s.io/{ID}/config.json",
            (
                "io.kubernetes.cri.container-name",
                "io.kubernetes.cri.sandbox-name",
                "io.kubernetes.cri.sandbox-namespace",
            ),
        ),
        (
            "cri-o",
            f"run/containers/storage/overlay-containers/{ID}/userdata/config.json",
            ("io.kubernetes.container.name", "io.kubernetes.pod.name", "io.kubernetes.pod.namespace"),
        ),
    ],
)
def test_annotations(host: Host, runtime: str, path: str, keys: tuple[str, str, str]) -> None:
    """Of the OCI bundle."""
    host.file(path, {"annotations": dict(zip(keys, ("app", "web-0", "shop"), strict=True))})
    found = host.names.complete(Workload(runtime, id=ID))
    assert (found.name, found.pod, found.namespace) == ("app", "web-0", "shop")


def test_the_kubelets_logs(host: Host) -> None:
    """Names of folders and links are enough; nothing in them is read."""
    host.file(f"var/log/containers/web-0_shop_app-{ID}.log", "")
    host.file(f"var/log/pods/shop_web-0_{UID}/app/0.log", "")
    assert host.names.complete(Workload("kubernetes", id=ID, pod_uid=UID)) == Workload(
        "kubernetes", id=ID, name="app", pod_uid=UID, pod="web-0", namespace="shop"
    )
    assert host.names.complete(Workload("kubernetes", pod_uid=UID)).pod == "web-0"


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[",
        "[]",
        "3",
        '{"Name": 3}',
        '{"Config": []}',
        "[" * 100_000,
        "\x00",
        '{"Name": "' + "x" * 999,
        '{"Name": "a b"}',
        '{"Name": "\\u001b[31m"}',
    ],
)
def test_files_that_are_no_such_thing(host: Host, content: str) -> None:
    """They are others': no error, and no name that the runtime would not have given."""
    host.file(f"var/lib/docker/containers/{ID}/config.v2.json", content)
    assert host.names.complete(Workload("docker", id=ID)).name in ("", "3")


def test_looked_up_again(host: Host) -> None:
    """A file that comes later is found after some seconds; what is known is not looked up at every turn."""
    now = [0.0]
    workloads = Workloads(host.names, clock=lambda: now[0])
    path, file = f"/docker/{ID}", f"var/lib/docker/containers/{ID}/config.v2.json"

    def name() -> str:
        found = workloads.of(path)
        assert found is not None
        return found.name

    assert name() == ""
    host.file(file, {"Name": "/web"})
    assert name() == ""
    now[0] += 11
    assert name() == "web"
    host.file(file, {"Name": "/renamed"})
    now[0] += 60
    assert name() == "web"
    now[0] += 300
    assert name() == "renamed"
    assert workloads.of("/nobody's") is None
