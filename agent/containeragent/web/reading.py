# SPDX-License-Identifier: Apache-2.0
"""The web configuration as it is now: read again when the file, or a certificate or key in it, has changed."""

from __future__ import annotations

import logging
import os
import ssl
import threading
from collections.abc import Sequence
from pathlib import Path

from containeragent import small_file
from containeragent.errors import Refused, reason
from containeragent.events.event import printable
from containeragent.web import tls
from containeragent.web.file import WebConfig, parse

log = logging.getLogger(__name__)

_Signature = tuple[tuple[int, int, int, int] | None, ...]


def read(path: Path) -> tuple[WebConfig, ssl.SSLContext | None]:
    """What the file says, and the TLS context that it asks for."""
    try:
        config = parse(tls.trusted(path).decode(), path)
    except OSError as error:
        why = reason(error)
        raise Refused("EINVAL", printable(f"web_config_file {path} cannot be read: {why}")) from None
    except UnicodeDecodeError:
        raise small_file.refusal(path, "this is not UTF-8") from None
    return config, tls.context(config.tls) if config.tls else None


class Web:
    """From any thread. What is wrong at the start is Refused; what is wrong later, in `now`, until it is mended."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._found: tuple[WebConfig, ssl.SSLContext | None] | Refused = read(path)
        self._files: Sequence[str] = self._named()
        self._signature = self._seen()
        self.has_tls = self._found[1] is not None

    def now(self) -> tuple[WebConfig, ssl.SSLContext | None]:
        """The configuration of this moment. Refused if it is wrong: nobody is let in by what it was before."""
        with self._lock:
            signature = self._seen()
            if signature != self._signature:
                self._signature = signature
                self._read_again()
            if isinstance(self._found, Refused):
                raise self._found
            return self._found

    def _read_again(self) -> None:
        try:
            found = read(self._path)
            if (found[1] is not None) != self.has_tls:
                raise Refused("EINVAL", f"{self._path}: TLS comes and goes only with a restart of the agent")
            self._found = found
            self._files = self._named()
            self._signature = self._seen()
            log.info("%s was read again", self._path)
        except Refused as error:
            self._found = error
            log.error("metrics are refused until this is mended: %s", error.message)

    def _named(self) -> Sequence[str]:
        config = None if isinstance(self._found, Refused) else self._found[0].tls
        named = (config.cert_file, config.key_file, config.client_ca_file) if config else ()
        return [str(self._path), *(name for name in named if name)]

    def _seen(self) -> _Signature:
        return tuple(_signature(name) for name in self._files)


def _signature(name: str) -> tuple[int, int, int, int] | None:
    try:
        found = os.stat(name)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_ctime_ns, found.st_size
