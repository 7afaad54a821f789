# SPDX-License-Identifier: Apache-2.0
"""installed_packages.py LOCK TARGET   Copy what containeragent needs at run time from this Python into a folder.

What make setup downloaded, and compared with the lock file's hashes, is taken as it is: installing needs no network. A
version that is not the lock file's is refused.
"""

from __future__ import annotations

import re
import shutil
import sys
from collections.abc import Iterator
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.requirements import Requirement

ROOT = "containeragent"


def _locked(lock: Path) -> dict[str, str]:
    """Version of each package that the lock file names."""
    return {_normal(name): version for name, version in re.findall(r"^([\w.-]+)==(\S+)", lock.read_text(), re.M)}


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _needed(name: str) -> Iterator[str]:
    """Names of a package's requirements here, without extras."""
    for line in distribution(name).requires or ():
        requirement = Requirement(line)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield _normal(requirement.name)


def closure(root: str) -> set[str]:
    """Everything that a package needs, itself left out."""
    found, waiting = {root}, [root]
    while waiting:
        for name in set(_needed(waiting.pop())) - found:
            found.add(name)
            waiting.append(name)
    return found - {root}


def copy(package: Distribution, target: Path) -> None:
    """The files of a package that are below its site-packages, compiled ones too; what it puts into bin is left out."""
    for file in package.files or ():
        source = Path(str(file.locate()))
        if ".." in file.parts or not source.exists():  # compiled ones may be missing
            continue
        place = target / file
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(source, place)  # with its time, which the compiled ones name


def main(lock: Path, target: Path) -> None:
    """All of them, or an error that says which is missing."""
    versions = _locked(lock)
    for name in sorted(closure(ROOT)):
        package = distribution(name)
        if package.version != versions.get(name):
            sys.exit(f"install: {name} {package.version} is here, {lock} wants {versions.get(name)}; run make setup")
        copy(package, target)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]), Path(sys.argv[2]))
    except PackageNotFoundError as error:
        sys.exit(f"install: {error.name} is not installed in {sys.prefix}; run make setup")
