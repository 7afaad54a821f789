# SPDX-License-Identifier: Apache-2.0
"""The HTTP server of the metrics address, with TLS and passwords where a web configuration file asks for them.

A handshake goes on as its parts come, so that a client that is silent holds nobody up.
"""

from __future__ import annotations

import logging
import os
import socket
import ssl
from pathlib import Path

from cheroot import errors
from cheroot.ssl import Adapter

from containeragent.api.connections import Connection
from containeragent.api.server import Serve, Server
from containeragent.errors import Refused
from containeragent.web import tls
from containeragent.web.guard import Application, Guard
from containeragent.web.reading import Web

log = logging.getLogger(__name__)

_PLAIN = b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n"


class _Tls(Adapter):
    """What cheroot asks for; the context is that of the moment."""

    def __init__(self, web: Web) -> None:
        self._web = web

    def bind(self, sock: socket.socket) -> socket.socket:
        """Listening needs no TLS."""
        return sock

    def wrap(self, sock: socket.socket) -> tuple[ssl.SSLSocket, dict[str, str]]:
        """A new connection, before its handshake."""
        try:
            _, context = self._web.now()
            assert context is not None
            wrapped = context.wrap_socket(sock, server_side=True, do_handshake_on_connect=False)
        except (Refused, OSError, ValueError) as error:
            sock.close()
            raise errors.FatalSSLAlert(str(error)) from None
        return wrapped, self.get_environ()

    def get_environ(self) -> dict[str, str]:
        """For WSGI."""
        return {"wsgi.url_scheme": "https", "HTTPS": "on"}

    def makefile(self, sock: ssl.SSLSocket, mode: str = "r", bufsize: int = -1) -> None:
        """A connection makes its own."""


class _TlsConnection(Connection):
    would_block = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)
    is_shaken = False

    def next_step(self) -> str:
        """The handshake when the client has begun it; its requests later."""
        if self.is_shaken:
            return super().next_step()
        try:
            self.socket.do_handshake()
            config, _ = self.server.web.now()
            self.is_shaken = tls.is_allowed(self.socket.getpeercert(), config.tls.client_allowed_sans)
        except ssl.SSLWantReadError:
            return "read"
        except ssl.SSLWantWriteError:
            return "write"
        except ssl.SSLError as error:
            log.debug("no TLS with %s: %s", self.remote_addr, error)
            if error.reason == "HTTP_REQUEST":
                os.write(self.socket.fileno(), _PLAIN)
        except (OSError, Refused) as error:
            log.debug("no TLS with %s: %s", self.remote_addr, error)
        return super().next_step() if self.is_shaken else "end"


class _TlsServer(Server):
    ConnectionClass = _TlsConnection

    def __init__(self, address: tuple[str, int], application: Application, web: Web, **size: int) -> None:
        super().__init__(address, application, **size)
        self.web = web
        self.ssl_adapter = _Tls(web)


def server(place: tuple[str, int], web_config_file: Path, **size: int) -> Serve:
    """At an address and port; `size` is what Server takes."""
    web = Web(web_config_file)

    def serve(application: Application) -> Server:
        guarded = Guard(web, application)
        if web.has_tls:
            return _TlsServer(place, guarded, web, **size)
        return Server(place, guarded, **size)

    return serve
