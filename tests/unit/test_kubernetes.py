# SPDX-License-Identifier: Apache-2.0
"""The manifests of deploy/kubernetes fit Kubernetes' own schemas, each other, and the agent."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from containeragent import config
from containeragent.metrics import health

FOLDER = Path(__file__).parents[2] / "deploy" / "kubernetes"
FILES = sorted(path for path in FOLDER.glob("*.yaml") if path.name != "kustomization.yaml")
CUSTOM = {"servicemonitor.yaml"}  # the Prometheus operator's, no part of Kubernetes


class _Strict(yaml.SafeLoader):
    """Refuses a key that is there twice."""


def _mapping(loader: _Strict, node: yaml.MappingNode) -> dict[Any, Any]:
    pairs = [
        (loader.construct_object(key, deep=True), loader.construct_object(value, deep=True))
        for key, value in node.value
    ]
    assert len(dict(pairs)) == len(pairs), f"a key twice: {node.start_mark}"
    return dict(pairs)


_Strict.add_constructor(yaml.resolver.BaseResolver.DEFAULT_MAPPING_TAG, _mapping)


def read(name: str) -> Any:
    """One manifest."""
    return yaml.load((FOLDER / name).read_text(), _Strict)


@pytest.mark.parametrize("file", [path.name for path in FILES if path.name not in CUSTOM])
@pytest.mark.parametrize("version", ["1.25", "1.37"])
def test_it_fits_the_schema(file: str, version: str) -> None:
    """Strictly: of the oldest and the newest Kubernetes whose schemas are at hand."""
    kubernetes_validate.validate(read(file), version, strict=True)


def test_kustomization_has_every_manifest() -> None:
    """And all are of its namespace."""
    found = read("kustomization.yaml")
    assert sorted(found["resources"]) == [path.name for path in FILES]
    for path in FILES:
        manifest = read(path.name)
        assert manifest["metadata"].get("namespace", manifest["metadata"]["name"]) == found["namespace"]
    pod = read("daemonset.yaml")["spec"]["template"]["spec"]
    assert {one["image"] for one in pod["initContainers"] + pod["containers"]} == {found["images"][0]["name"]}


def test_the_agent_takes_the_configuration(tmp_path: Path) -> None:
    """Every key, and what it names is mounted."""
    text = read("configmap.yaml")["data"]["config.toml"]
    file = tmp_path / "config.toml"
    file.write_text(text)
    found = config.read(file, {})
    pod = read("daemonset.yaml")["spec"]["template"]["spec"]
    for container in pod["initContainers"] + pod["containers"]:
        writable = {mount["mountPath"] for mount in container["volumeMounts"] if not mount.get("readOnly")}
        assert {str(Path(found.bpffs).parent), found.cgroup_root, str(Path(found.socket).parent)} <= writable
        assert {mount["name"] for mount in container["volumeMounts"]} <= {volume["name"] for volume in pod["volumes"]}
    assert tomllib.loads(text)["metrics_address"].endswith(f":{pod['containers'][0]['ports'][0]['containerPort']}")


def test_least_privileges() -> None:
    """What was tried and is enough; nothing may be gained."""
    pod = read("daemonset.yaml")["spec"]["template"]["spec"]
    added = {}
    for container in pod["initContainers"] + pod["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False and context["readOnlyRootFilesystem"] is True
        assert context["capabilities"]["drop"] == ["ALL"] and "privileged" not in context
        added[container["name"]] = set(context["capabilities"]["add"])
    assert added == {"load": {"BPF", "PERFMON", "SYS_ADMIN"}, "agent": {"BPF", "PERFMON", "DAC_READ_SEARCH"}}
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False and "hostNetwork" not in pod


def test_probes_and_scrapes_go_where_the_agent_answers() -> None:
    """By the name of the port, which Service, ServiceMonitor and NetworkPolicy share."""
    agent = read("daemonset.yaml")["spec"]["template"]["spec"]["containers"][0]
    port = agent["ports"][0]["name"]
    for probe in ("startupProbe", "livenessProbe", "readinessProbe"):
        assert agent[probe]["httpGet"] == {"path": health.PATH, "port": port}
    service, monitor = read("service.yaml"), read("servicemonitor.yaml")
    assert (monitor["apiVersion"], monitor["kind"]) == ("monitoring.coreos.com/v1", "ServiceMonitor")
    assert [endpoint["port"] for endpoint in monitor["spec"]["endpoints"]] == [service["spec"]["ports"][0]["name"]]
    assert service["spec"]["ports"][0]["targetPort"] == port
    assert read("networkpolicy.yaml")["spec"]["ingress"][0]["ports"][0]["port"] == port
    labels = read("daemonset.yaml")["spec"]["template"]["metadata"]["labels"]
    selectors = [service["spec"]["selector"], monitor["spec"]["selector"]["matchLabels"]]
    selectors += [read("networkpolicy.yaml")["spec"]["podSelector"]["matchLabels"]]
    assert selectors == [labels] * 3 and service["metadata"]["labels"] == labels
