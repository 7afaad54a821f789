# SPDX-License-Identifier: Apache-2.0
"""`containerctl doctor`: the agent's findings about this host come in, a table of checks and hints go out."""

from typing import Any

import click

from containerctl.client import Failure
from containerctl.commands import Settings, command
from containerctl.output import emit_json, pairs, value
from containerctl.tables import Cell, table

STYLES = {"yes": "green", "no": "red", "unknown": "yellow"}


@command("doctor", "doctor --json | jq '.checks[] | select(.status != \"yes\")'")
@click.pass_obj
def doctor(settings: Settings) -> None:
    """Say what this host offers, what is missing, and what to do."""
    try:
        findings = settings.client().document("GET", "/v1/doctor")
    except Failure as failure:
        if not failure.answered:
            _report_absence(settings, failure)
        raise
    findings["checks"] = [_agent_check(settings, findings), *_checks(findings)]
    if settings.json:
        emit_json(findings)
        return
    _draw(findings["checks"])
    click.echo("\n" + pairs([(key, value(findings.get(key))) for key in ("version", "engine", "slots", "lost")]))


def _report_absence(settings: Settings, failure: Failure) -> None:
    # A socket that we may not open says nothing about who listens on it.
    status = "unknown" if failure.code == "EACCES" else "no"
    check = {"name": "agent", "status": status, "detail": f"no answer on {settings.socket}", "hint": failure.message}
    if settings.json:
        # One document: the check and the error that goes with it
        emit_json({"checks": [check], "error": {"code": failure.code, "message": failure.message}})
        failure.shown = True
    else:
        # The hint is the error's line on stderr.
        _draw([{**check, "hint": None}])


def _agent_check(settings: Settings, findings: dict[str, Any]) -> dict[str, Any]:
    detail = f"version {findings.get('version')} on {settings.socket}"
    return {"name": "agent", "status": "yes", "detail": detail, "hint": None}


def _checks(findings: dict[str, Any]) -> list[dict[str, Any]]:
    return [check for check in findings.get("checks") or [] if isinstance(check, dict) and check.get("name") != "agent"]


def _draw(checks: list[dict[str, Any]]) -> None:
    rows: list[list[str | Cell]] = []
    for check in checks:
        status = value(check.get("status"))
        rows.append([value(check.get("name")), Cell(status, STYLES.get(status, "")), value(check.get("detail"))])
    table(("CHECK", "STATUS", "DETAIL"), rows)
    hints = [f"{value(check.get('name'))}: {value(check['hint'])}" for check in checks if check.get("hint")]
    if hints:
        click.echo("\n" + "\n".join(hints))
