# SPDX-License-Identifier: Apache-2.0
"""Where a request ends that comes in pieces."""

from __future__ import annotations

import pytest
from hypothesis import given, strategies as st

from containeragent.api.connections import BODY_BYTES, HEADER_BYTES, request_bytes

_HEAD = b"POST / HTTP/1.1\r\nHost: x\r\n"
_CHUNKS = _HEAD + b"Transfer-Encoding: chunked\r\n\r\n"
WHOLE = [
    b"GET / HTTP/1.1\r\n\r\n",
    b"GET / HTTP/1.1\n\n",
    _HEAD + b"Content-Length: 3\r\n\r\nabc",
    _HEAD + b"CONTENT-LENGTH:3\r\n\r\n\r\n\r",
    _CHUNKS + b"3\r\nabc\r\n0\r\n\r\n",
    _CHUNKS + b"7;x=y\r\n0\r\n\r\n12\r\n0\r\n\r\n",
]


@pytest.mark.parametrize("request_text", WHOLE)
def test_whole_and_not_before(request_text: bytes) -> None:
    """To the byte, whatever comes after it."""
    assert request_bytes(request_text) == request_bytes(request_text + b"GET / HT") == len(request_text)
    assert [size for size in range(len(request_text)) if request_bytes(request_text[:size]) is not None] == []


@pytest.mark.parametrize(
    "request_text",
    [
        b"x" * (HEADER_BYTES + 1),
        _HEAD + b"X: y\r\n" * HEADER_BYTES,
        _HEAD + f"Content-Length: {BODY_BYTES + 1}\r\n\r\n".encode(),
        _CHUNKS + b"zz\r\n",
        _CHUNKS + b"-5\r\n",
        _CHUNKS + b"ffffffffffffff\r\n",
        _CHUNKS + b"1" * 100,
    ],
)
def test_what_is_refused_is_not_waited_for(request_text: bytes) -> None:
    """Too large, or nonsense."""
    assert request_bytes(request_text) is not None


@given(st.binary(max_size=300), st.sampled_from([b"", _HEAD, _CHUNKS]))
def test_anything(garbage: bytes, before: bytes) -> None:
    """Never an error, never more than there is, and more bytes make no whole request unfinished."""
    data = before + garbage
    end = request_bytes(data)
    assert end is None or 0 < end <= len(data) or len(data) > HEADER_BYTES
    assert end is None or request_bytes(data + b"\r\n") is not None
