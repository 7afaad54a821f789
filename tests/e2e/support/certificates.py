# SPDX-License-Identifier: Apache-2.0
"""Certificates of a test's own authority, and a web configuration file that uses them."""

from __future__ import annotations

import ssl
from pathlib import Path

import trustme


class Authority:
    """Its files are in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._ca = trustme.CA()
        self.file = folder / "ca.crt"
        self._ca.cert_pem.write_to_path(self.file)

    def issue(self, name: str, *identities: str) -> None:
        """NAME.crt and NAME.key."""
        made = self._ca.issue_cert(*identities)
        made.private_key_pem.write_to_path(self.folder / f"{name}.key")
        (self.folder / f"{name}.crt").write_bytes(b"".join(one.bytes() for one in made.cert_chain_pems))

    def client(self, name: str = "") -> ssl.SSLContext:
        """Of a client that trusts the authority, with a certificate of that name if there is one."""
        context = ssl.create_default_context(cafile=str(self.file))
        if name:
            context.load_cert_chain(self.folder / f"{name}.crt", self.folder / f"{name}.key")
        return context
