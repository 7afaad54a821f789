# SPDX-License-Identifier: Apache-2.0
"""Where this machine gets Debian from: in, its own apt sources; out, apt sources for the guests' image."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from tests.vm.errors import Unusable

RELEASE = "bookworm"


def sources(suites: Iterable[str]) -> list[str]:
    """Lines of sources.list: Debian 12, its updates, and `suites`."""
    line = ["apt-get", "indextargets", "--format", "$(CODENAME) $(REPO_URI)", "Created-By: Packages"]
    return lines(subprocess.run(line, check=True, capture_output=True, text=True).stdout, suites)


def lines(targets: str, suites: Iterable[str]) -> list[str]:
    """
    The same, of lines with a code name and an address. A suite that the machine does not use is at the address of
    RELEASE, which has to be there; security updates are elsewhere, so these must be there too.
    """
    addresses: dict[str, str] = {}
    for target in targets.splitlines():
        name, _, address = target.partition(" ")
        addresses.setdefault(name, address)
    for needed in (RELEASE, f"{RELEASE}-security"):
        if needed not in addresses:
            raise Unusable(f"apt knows no source for {needed}, which guests are made of: add one, then apt-get update")
    wanted = dict.fromkeys([RELEASE, f"{RELEASE}-updates", f"{RELEASE}-security", *suites])
    return [f"deb {addresses.get(suite, addresses[RELEASE])} {suite} main" for suite in wanted]
