# SPDX-License-Identifier: Apache-2.0
"""The loop of the live view: keys and the agent's answers change what is known and shown, the difference is drawn."""

import os
import threading
import time
from collections.abc import Callable
from typing import Any

from rich.color import ColorSystem
from rich.console import Console

from containerctl.client import Client, Document, Failure
from containerctl.top import detail, draw
from containerctl.top.draw import Glyphs, Line
from containerctl.top.model import Model
from containerctl.top.screen import Screen
from containerctl.top.terminal import Terminal
from containerctl.top.view import View


class _Question:
    """A request on its way, so that keys are heard meanwhile."""

    def __init__(self, ask: Callable[[], Document], waker: int) -> None:
        self._ask, self._waker = ask, waker
        self.answer: Document | None = None
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self.answer = self._ask()
        except Exception as error:  # the loop raises it
            self.error = error
        os.write(self._waker, b"\0")

    @property
    def done(self) -> bool:
        """Whether there is an answer or an error."""
        return self.answer is not None or self.error is not None


class Live:
    """One live view on one terminal."""

    def __init__(self, client: Client, view: View, terminal: Terminal) -> None:
        self._client, self._view, self._terminal = client, view, terminal
        self._known = Model()
        self._question: _Question | None = None
        self._asked_detail: str | None = None
        self._due = 0.0
        console = Console()
        self._screen = Screen(_colors(console))
        self._glyphs: Glyphs = draw.UNICODE if console.encoding.startswith("utf") else draw.ASCII

    def run(self) -> int:
        """Until it is to end; the exit status."""
        with self._terminal.taken():
            while not (self._view.ended or self._terminal.ended_by):
                self._resize()
                self._ask()
                self._terminal.write(self._screen.change(self._lines(), self._view.width))
                self._react(self._terminal.wait(self._due - time.monotonic() if self._question is None else 60.0))
        number = self._terminal.ended_by
        return 128 + number if number else 0

    def _resize(self) -> None:
        if self._terminal.resized:
            self._terminal.resized = False
            self._view.width, self._view.height = self._terminal.size()
            self._screen.forget()
            self._view.arrange(self._known)

    def _ask(self) -> None:
        now = time.monotonic()
        if self._question is not None or now < self._due:
            return
        self._due = now + self._view.interval_seconds
        looked_at = self._view.detail
        self._asked_detail = None
        path, query = "/v1/top", self._view.query()
        if looked_at is not None:
            managed = looked_at.document.get("managed")
            self._asked_detail = looked_at.name if managed else looked_at.cgroup
            path, query = "/v1/container", {"name": self._asked_detail}
        self._question = _Question(lambda: self._client.document("GET", path, query), self._terminal.waker)

    def _react(self, keys: list[str]) -> None:
        question = self._question
        if question is not None and question.done:
            self._question = None
            self._take(question)
        for key in keys:
            if self._view.press(key):
                self._due = 0.0
                self._view.arrange(self._known)

    def _take(self, question: _Question) -> None:
        """What was asked for in the meantime left is not shown any more."""
        if question.error is not None:
            self._failed(question.error)
        elif self._asked_detail is None:
            assert question.answer is not None
            self._known.update(question.answer, time.monotonic(), self._view.sort)
            self._view.arrange(self._known)
        elif self._view.detail is not None:
            assert question.answer is not None
            self._view.detail = self._known.observe(question.answer, time.monotonic())

    def _failed(self, error: Exception) -> None:
        if not isinstance(error, Failure) or error.code != "ENOENT" or self._asked_detail is None:
            raise error
        self._view.detail, self._view.message = None, f"{' '.join(error.message.split())}"
        self._due = 0.0

    def _lines(self) -> list[Line]:
        view, now = self._view, time.strftime("%H:%M:%S")
        if view.detail is None or view.help:
            return draw.screen(self._known, view, now, self._glyphs)
        return detail.screen(view.detail, self._known.history(view.detail.id), view, now, self._glyphs)


def _colors(console: Console) -> ColorSystem | None:
    """None where they are not wanted (NO_COLOR) or not known; other styles than colours go too then."""
    names: dict[str, Any] = {"standard": ColorSystem.STANDARD, "256": ColorSystem.EIGHT_BIT}
    return None if console.color_system is None else names.get(console.color_system, ColorSystem.TRUECOLOR)
