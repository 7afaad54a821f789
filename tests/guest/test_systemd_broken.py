# SPDX-License-Identifier: Apache-2.0
"""The service where something is wrong: BPF refused, pins removed; and what the journal has of it all."""

from __future__ import annotations

import shutil
import urllib.request
from typing import Any

from tests.e2e.support.processes import SLEEP, inside
from tests.e2e.support.waiting import until
from tests.guest.support.installation import (
    AGENT,
    LOAD,
    PATIENCE_SECONDS,
    PINS,
    ROOT,
    at_rest,
    counters,
    ctl,
    drop_in,
    journal,
    main_pid,
    run,
    shown,
    until_shown,
)


def checks() -> dict[str, dict[str, Any]]:
    """What the doctor finds, by name."""
    return {check["name"]: check for check in ctl("doctor")["checks"]}


def engine_info() -> str:
    """The metric's line."""
    with urllib.request.urlopen("http://127.0.0.1:9917/metrics", timeout=60) as answer:
        text = answer.read().decode()
    (line,) = (line for line in text.splitlines() if line.startswith("containeragent_engine_info{"))
    return str(line)


def counts() -> str:
    """The engine, by containerctl."""
    return str(ctl("doctor")["engine"]["pages"])


def test_bpf_refused_to_the_loader(before: dict[str, Any]) -> None:
    """The agent serves all the same, counts by the engine netlink, and says why, in the loader's words."""
    with drop_in(LOAD, "CapabilityBoundingSet=\nCapabilityBoundingSet=CAP_DAC_OVERRIDE"):
        run("systemctl", "restart", LOAD)  # and the agent, which requires it
        until_shown(AGENT, "ActiveState", "active")
        assert (shown(LOAD, "ActiveState"), shown(LOAD, "ExecMainStatus")) == ("active", "3")
        refused = [entry for entry in journal(LOAD) if entry["PRIORITY"] == "3"][-1]["MESSAGE"]
        reason = refused.removeprefix("containeragent: ")
        assert "not permitted" in reason and not PINS.exists()
        assert counts() == "memory.stat"
        assert ctl("doctor")["reason"] == reason and checks()["bpf"]["status"] == "no"
        assert reason.split(":")[0] in engine_info() and reason in checks()["bpf"]["detail"]
        warnings = [entry["MESSAGE"] for entry in journal(AGENT) if entry["PRIORITY"] == "4"]
        assert any(reason in message for message in warnings)
        ctl("create", "web")
        with inside(ROOT / "web", SLEEP) as process:
            assert ctl("tasks", "/web") == [process.pid] and ctl("show", "/web")["num_anon_pages"] > 0
        ctl("rm", "web", "--recursive")
    run("systemctl", "restart", LOAD)
    until_shown(AGENT, "ActiveState", "active")
    assert counts() in ("fentry", "tracepoint") and "reason=" not in engine_info()


def test_pins_removed(web: int) -> None:
    """They are put back, and not one counter differs, now and after a restart; the loader gets rid of them."""
    saved, pid = at_rest("/web"), main_pid()
    shutil.rmtree(PINS / "live")
    until((PINS / "live" / "links").is_dir, bool, "the pins, put back", PATIENCE_SECONDS)
    assert main_pid() == pid and counters("/web") == saved and checks()["pins"]["status"] == "yes"
    assert any("put back" in entry["MESSAGE"] for entry in journal(AGENT) if entry["PRIORITY"] == "3")
    run("systemctl", "restart", AGENT)
    assert counters("/web") == saved and ctl("tasks", "/web") == [web]
    run("systemctl", "stop", LOAD)
    assert not PINS.exists()
    run("systemctl", "start", AGENT)


def test_pins_removed_with_their_folder(web: int) -> None:
    """The agent may not make it again: it goes on counting, does not end, and says what is at stake, once. The loader
    counts anew without a restart.
    """
    pid, saved = main_pid(), at_rest("/web")
    shutil.rmtree(PINS)
    found = until(  # it says that they are gone at once, and what it tried a moment later
        lambda: checks()["pins"], lambda pins: "cannot be put back: " in pins["detail"], "a try", PATIENCE_SECONDS
    )
    assert found["status"] == "no" and "as long as the agent runs" in found["hint"]
    run("sleep", "5")
    assert counters("/web") == saved and main_pid() == pid
    told = [entry for entry in journal(AGENT) if "cannot be put back" in entry["MESSAGE"]]
    assert len(told) == 1 and told[0]["PRIORITY"] == "3"
    run("systemctl", "reload", LOAD)
    until(lambda: checks()["pins"], lambda pins: pins["status"] == "yes", "new ones", PATIENCE_SECONDS)
    assert main_pid() == pid and ctl("tasks", "/web") == [web] and ctl("show", "/web")["num_tasks"] == 1
    run("systemctl", "restart", AGENT)
    assert ctl("show", "/web")["num_tasks"] == 1 and checks()["pins"]["status"] == "yes"


def test_events_in_the_journal(web: int) -> None:
    """Each is an entry with fields to search by; it belongs to the agent's unit."""
    ctl("create", "told")
    with inside(ROOT / "empty", SLEEP) as process:
        ctl("attach", "told", str(process.pid))
        ctl("rm", "told", "--recursive")

    def entries() -> list[dict[str, Any]]:
        return [entry for entry in journal(AGENT) if entry.get("CONTAINERAGENT_CONTAINER") == "/told"]

    found = until(entries, lambda told: len(told) >= 3, "three entries", PATIENCE_SECONDS)
    assert [entry["CONTAINERAGENT_EVENT"] for entry in found] == ["created", "attached", "removed"]
    created, attached, removed = found
    assert created["MESSAGE"] == "/told: created" and created["PRIORITY"] == "6"
    assert created["CONTAINERAGENT_CGROUP"] == f"/containeragent.slice/{ROOT.name}/told"
    assert str(process.pid) in attached["CONTAINERAGENT_TASK"] and removed["CONTAINERAGENT_REASON"]
    assert {entry["SYSLOG_IDENTIFIER"] for entry in found} == {"containeragent"}
    by_field = run("journalctl", "--no-pager", "--output=cat", "CONTAINERAGENT_CONTAINER=/told").stdout
    assert by_field.splitlines()[0] == "/told: created"
    by_id = run("journalctl", "--no-pager", "--output=cat", f"MESSAGE_ID={created['MESSAGE_ID']}").stdout
    assert "/told: created" in by_id and "removed" not in by_id
