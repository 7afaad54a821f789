# SPDX-License-Identifier: Apache-2.0
"""Shell sessions as documentation shows them, run for real and compared loosely.

In: a Markdown page; its ```console blocks are one session: lines that begin with `$ ` are typed (with `> ` those that
go on), the others are what is seen then. Numbers and sizes may differ, and a line `...` stands for any lines.
"""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_RUN_NAME = re.compile(r"/run-[0-9]+-[0-9a-f]+")
_NUMBER = re.compile(r"\b[0-9][0-9.:]*(?: ?(?:[KMGT]i?B|B|[KMGT]))?(?![\w/])")
_JOB_ENDED = re.compile(r"bash: line [0-9]+: +[0-9]+ (Killed|Terminated) ")
_MARK = "--- end of step {} ---"


@dataclass(frozen=True)
class Step:
    """What is typed, and the lines that are to be seen then."""

    typed: str
    shown: list[str]


def steps(page: Path, instead: Mapping[str, str]) -> list[Step]:
    """Of all sessions of a page, in order, with other words `instead` of some."""
    text = page.read_text()
    for words, others in instead.items():
        text = text.replace(words, others)
    found: list[Step] = []
    for block in _BLOCK.findall(text):
        for line in block.splitlines():
            if line.startswith("$ "):
                found.append(Step(line[2:], []))
            elif line.startswith("> ") and not found[-1].shown:
                found[-1] = Step(f"{found[-1].typed}\n{line[2:]}", [])
            else:
                found[-1].shown.append(line)
    return found


def run(found: list[Step], environment: dict[str, str], seconds: float) -> list[list[str]]:
    """The lines that each step gives, in one bash; what it leaves in the background is ended."""
    script = ["trap 'kill $(jobs -p) 2> /dev/null' EXIT"]
    for number, step in enumerate(found):
        script += [step.typed, f"echo '{_MARK.format(number)}'"]
    done = subprocess.run(
        ["bash", "--norc"],
        input="\n".join(script),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment,
        text=True,
        timeout=seconds,
        check=False,
    )
    rest, seen = done.stdout, []
    for number in range(len(found)):
        mark = _MARK.format(number) + "\n"
        assert mark in rest, f"the session ended at {found[number].typed!r}: {rest}"
        lines, _, rest = rest.partition(mark)
        seen.append([line for line in lines.splitlines() if not _JOB_ENDED.match(line)])
    return seen


def alike(shown: list[str], seen: list[str]) -> bool:
    """Whether a reader would take one for the other."""
    pattern = "".join("(?:.*\n)*" if line == "..." else re.escape(_plain(line)) + "\n" for line in shown)
    return re.fullmatch(pattern, "".join(_plain(line) + "\n" for line in seen)) is not None


def _plain(line: str) -> str:
    return re.sub(r"\s+", " ", _NUMBER.sub("#", _RUN_NAME.sub("/run-#", line))).strip()
