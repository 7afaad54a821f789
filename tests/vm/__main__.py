# SPDX-License-Identifier: Apache-2.0
"""Guests with real Debian kernels, systemd and pure cgroup v2, under QEMU: run commands, tests and shells in them.

The exit status is the command's; 124 when its time was up, 125 when the guest was lost, which is no failed test.
"""

from __future__ import annotations

import argparse
import contextlib
import shlex
import signal
import sys
from dataclasses import replace
from pathlib import Path

from tests.vm import build, image, kvm, suite, terminal
from tests.vm.errors import Unusable
from tests.vm.guest import Guest, Task

ROOT = Path(__file__).resolve().parents[2]
TEST_TIMEOUT_SECONDS = 1800.0


def parser() -> argparse.ArgumentParser:
    """The command line."""
    main_parser = argparse.ArgumentParser(prog="python -m tests.vm", description=__doc__)
    commands = main_parser.add_subparsers(dest="what", required=True)
    test = commands.add_parser("test", help="run pytest in guests, on all kernels side by side")
    run = commands.add_parser("run", help="run a command as root in one guest, in /src, a copy of the checkout")
    shell = commands.add_parser("shell", help="a shell in a guest, on this terminal")
    built = commands.add_parser("build", help="build the guests' image where it is not there yet")
    built.add_argument("--rebuild", action="store_true", help="build it again, with today's Debian packages")
    test.add_argument("--kernel", choices=build.SUITES, action="append", help="only this one; may be repeated")
    test.add_argument("--short", action="store_true", help="of each kernel, what `make test` has time for")
    for command in (run, shell):
        command.add_argument("--kernel", choices=build.SUITES, default="6.12")
    for command in (test, run, shell):
        command.add_argument("--memory", type=int, default=3072, metavar="MIB", help="the guest's memory")
        command.add_argument("--kvm", choices=("auto", "off"), default="auto", help="off: emulate even where KVM works")
    for command in (test, run):
        limit = TEST_TIMEOUT_SECONDS
        command.add_argument("--timeout", type=float, default=limit, metavar="SECONDS", help=f"default: {limit:g}")
    for command in (test, run, shell, built):
        command.add_argument("--tree", type=Path, default=ROOT, help="the checkout to copy; default: this one")
    run.add_argument("--icount", action="store_true", help="emulate, with clocks that count instructions, one a ns")
    test.add_argument("arguments", nargs="*", metavar="ARGUMENT", help=f"pytest's; default: {' '.join(suite.FOLDERS)}")
    run.add_argument("arguments", nargs="+", metavar="COMMAND")
    return main_parser


def main(words: list[str]) -> int:
    """The exit status."""
    options = parser().parse_args(words)
    tree = options.tree.resolve()
    build.check_tools()
    with image.use(tree, getattr(options, "rebuild", False)) as used:
        if options.what == "build":
            return 0
        shell, icount = options.what == "shell", getattr(options, "icount", False)
        task = Task(
            kernel="",
            tree=tree,
            command=_shell() if shell else options.arguments,
            environment=environment(sys.stdout.isatty()),
            timeout_seconds=None if shell else options.timeout,
            memory_mib=options.memory,
            kvm=options.kvm == "auto" and not icount and kvm.works(used),
            icount=icount,
            interactive=shell,
        )
        if options.what != "test":
            return _alone(used, replace(task, kernel=options.kernel))
        asked = {name: arguments(options, name) for name in options.kernel or build.SUITES}
        if len(asked) > 1:
            return suite.run(used, task, asked, _say)
        ((kernel, its),) = asked.items()
        return _alone(used, replace(task, kernel=kernel, command=suite.pytest_command(its)))


def arguments(options: argparse.Namespace, kernel: str) -> list[str]:
    """For pytest, on a kernel."""
    return [*(suite.SHORT[kernel] if options.short else ()), *options.arguments]


def environment(is_terminal: bool) -> dict[str, str]:
    """For the command: a skipped test is a failed one (tests/conftest.py); colours only where somebody sees them."""
    colours = {"TERM": "xterm-256color"} if is_terminal else {"TERM": "dumb", "NO_COLOR": "1", "PY_COLORS": "0"}
    return {"CONTAINERAGENT_GUEST": "1", **colours}


def _shell() -> list[str]:
    """bash; a serial line does not know how large the screen is."""
    return ["sh", "-c", f"{shlex.join(terminal.size_command())}; exec bash"]


def _alone(used: image.Image, task: Task) -> int:
    with terminal.lent() if task.interactive else contextlib.nullcontext(), Guest(used, task) as guest:
        ended = guest.wait()
    if ended.message:
        print(f"vm: {task.kernel}: {ended.message}", file=sys.stderr)
    return ended.status


def _say(line: str) -> None:
    print(line, flush=True)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        sys.exit(main(sys.argv[1:]))
    except KeyboardInterrupt:
        sys.exit(130)
    except Unusable as error:
        sys.exit(f"vm: {error}")
