# SPDX-License-Identifier: Apache-2.0
"""Notices from the kernel side, without polling: the ring `notices` of bpf/maps.h, read through libbpf.

In: the ring's descriptor. Out: each kind's records, in batches, to whoever listens to that kind. One thread sleeps
until the kernel wakes it. What a listener does not hear in time stays in the ring, which is bounded: what finds no
room is counted in state.notices_lost. What nobody listens to is dropped.
"""

from __future__ import annotations

import ctypes as C
import logging
import os
import select
import threading
from collections.abc import Callable, Mapping

from containeragent import libbpf

log = logging.getLogger(__name__)

Hear = Callable[[list[bytes]], None]
_KIND_BYTES = 4
_Sample = C.CFUNCTYPE(C.c_int, C.c_void_p, C.c_void_p, C.c_size_t)  # ring_buffer_sample_fn of libbpf.h


class Notices:
    """Reads until it is closed. The descriptor stays the caller's; `listeners` may grow meanwhile."""

    def __init__(self, descriptor: int, listeners: Mapping[int, Hear]) -> None:
        self._listeners = listeners
        self._batch: list[bytes] = []
        self._sample = _Sample(self._gather)  # kept: C calls it
        self._library = _library()
        self._ring = self._library.ring_buffer__new(descriptor, self._sample, None, None)
        if not self._ring:
            number = C.get_errno()
            raise OSError(number, f"ring_buffer__new: {os.strerror(number)}")
        self._stop = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._run, name="notices", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop reading; what is in the ring stays there."""
        os.eventfd_write(self._stop, 1)
        self._thread.join()
        self._library.ring_buffer__free(self._ring)
        os.close(self._stop)

    def _gather(self, _context: int, data: int, size: int) -> int:
        self._batch.append(C.string_at(data, size))
        return 0

    def _run(self) -> None:
        poller = select.poll()
        ring = self._library.ring_buffer__epoll_fd(self._ring)
        poller.register(ring, select.POLLIN)
        poller.register(self._stop, select.POLLIN)
        while not any(descriptor == self._stop for descriptor, _ in poller.poll()):
            self._library.ring_buffer__consume(self._ring)
            batch, self._batch = self._batch, []
            self._tell(batch)

    def _tell(self, batch: list[bytes]) -> None:
        by_kind: dict[int, list[bytes]] = {}
        for record in batch:
            by_kind.setdefault(int.from_bytes(record[:_KIND_BYTES], "little"), []).append(record)
        for kind, notices in by_kind.items():
            hear = self._listeners.get(kind)
            try:
                if hear:
                    hear(notices)
            except Exception:
                log.exception("%d notices of kind %d were not dealt with", len(notices), kind)


def _library() -> C.CDLL:
    library = libbpf.library()
    library.ring_buffer__new.argtypes = [C.c_int, _Sample, C.c_void_p, C.c_void_p]
    library.ring_buffer__new.restype = C.c_void_p
    for name in ("ring_buffer__epoll_fd", "ring_buffer__consume", "ring_buffer__free"):
        getattr(library, name).argtypes = [C.c_void_p]
    library.ring_buffer__free.restype = None
    return library
