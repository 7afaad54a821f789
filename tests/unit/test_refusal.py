# SPDX-License-Identifier: Apache-2.0
"""Why BPF was refused, from the service that loads to the agent."""

from __future__ import annotations

from pathlib import Path

import pytest

from containeragent import engines, refusal
from containeragent.config import Config
from containeragent.errors import HostRefused, Refused


def test_noted_and_forgotten(tmp_path: Path) -> None:
    """For another user to read; a load that succeeds takes it away."""
    environment = {refusal.VARIABLE: str(tmp_path / "refused")}
    assert refusal.noted(environment) is None
    refusal.note(environment, "no BPF here")
    assert refusal.noted(environment) == "no BPF here" and (tmp_path / "refused").stat().st_mode & 0o777 == 0o644
    for _ in range(2):
        refusal.note(environment, None)
    assert refusal.noted(environment) is None


def test_without_a_file() -> None:
    """Outside of the services nothing is noted."""
    refusal.note({}, "no BPF here")
    assert refusal.noted({}) is None


def test_who_cannot_load_goes_by_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a host that refuses BPF makes the agent do without; where nobody tried, that is to be done first."""
    monkeypatch.setattr("os.geteuid", lambda: 65534)
    monkeypatch.setenv(refusal.VARIABLE, str(tmp_path / "refused"))
    with pytest.raises(Refused, match=r"nothing is loaded .* restart containeragent-load") as refused:
        engines._load(Config())
    assert not isinstance(refused.value, HostRefused)
    (tmp_path / "refused").write_text("no BPF here")
    with pytest.raises(HostRefused, match=r"^no BPF here$"):
        engines._load(Config())
