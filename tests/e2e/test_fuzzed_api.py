# SPDX-License-Identifier: Apache-2.0
"""What the description allows is answered as it says, and what it does not allow is refused: schemathesis tries both.

The agent is in a pid namespace of its own, so that a made-up task id is nobody else's.
"""

from __future__ import annotations

import subprocess
import sys

from tests.e2e.conftest import MakeAgent
from tests.e2e.support import command
from tests.e2e.support.bridge import bridge

# It makes /proc private itself; / is no mount in a changed root.
_ALONE = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--propagation", "unchanged")
_RULES = command.REPOSITORY / "tests/e2e/support/schemathesis.toml"


def test_every_operation_with_made_up_requests(make_agent: MakeAgent) -> None:
    """A thousand requests: no 5xx, answers as described, no way around the checks; the agent does not grow."""
    agent = make_agent()
    command.containeragent("load", "--bpffs", str(agent.bpffs)).ok()
    agent.within = _ALONE
    agent.start()
    tool = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(_RULES), "run", "--max-examples", "15"]
    with bridge(agent.socket) as url:
        made_up = ["--seed", "23", "--generation-deterministic", "--no-color", f"{url}/openapi.json", "--url", url]
        done = subprocess.run([*tool, *made_up], capture_output=True, text=True, cwd=agent.folder, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Traceback" not in agent.log.read_text()
