# SPDX-License-Identifier: Apache-2.0
"""Run the measurements that are named, or all of them; a table each, or JSON with --json."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from bench import (
    commands,
    growth,
    idle,
    limits,
    neighbours,
    netlink,
    overhead,
    programs,
    reading,
    real,
    scraping,
    starting,
    waiting,
)
from bench.tables import Table
from containeragent.errors import Refused

BENCHES = {
    "reading": reading.run,
    "scraping": scraping.run,
    "waiting": waiting.run,
    "neighbours": neighbours.run,
    "storm": limits.storm,
    "limited": limits.rest,
    "overhead": overhead.run,
    "real": real.run,
    "programs": programs.run,
    "starting": starting.run,
    "netlink": netlink.run,
    "idle": idle.run,
    "growth": growth.run,
    "commands": commands.run,
}


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"{', '.join(BENCHES)}; all when none is named")
    parser.add_argument("--pairs", type=int, default=11, help="paired runs of each workload (default: 11)")
    parser.add_argument("--json", action="store_true", help="one JSON document instead of tables")
    arguments = parser.parse_args()
    unknown = set(arguments.names) - set(BENCHES)
    if unknown:
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(BENCHES)}")
    return arguments


def main() -> int:
    """Exit status 1 when something could not be measured."""
    arguments = _arguments()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    tables: list[Table] = []
    try:
        for name in arguments.names or BENCHES:
            table = BENCHES[name](arguments.pairs)
            tables.append(table)
            if not arguments.json:
                print(table.text(), flush=True)
    except Refused as error:
        print(f"bench: {error.message}", file=sys.stderr)
        return 1
    if arguments.json:
        print(json.dumps([table.document() for table in tables], indent=2))
    return 0


if __name__ == "__main__":
    sys.exit(main())
