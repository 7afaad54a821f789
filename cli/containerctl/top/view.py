# SPDX-License-Identifier: Apache-2.0
"""What a live view shows: keys come in, what is to be asked for and drawn goes out. It knows no terminal."""

from dataclasses import dataclass, field

from containerctl.client import Document
from containerctl.top import model
from containerctl.top.model import SORTS, Model, Place, Row

MOST_ROWS = 1000
CHROME = 4  # lines that are no rows: two above the headings, the headings, the line of keys
_LEAST_ROWS = 100


@dataclass
class View:
    """The state that keys change. `selected` is a container's id; None is whatever comes first."""

    sort: str = SORTS[0]
    text: str = ""
    everything: bool = False
    as_tree: bool = True
    interval_seconds: float = 2.0
    height: int = 24
    width: int = 80
    selected: int | None = None
    first: int = 0  # row at the top of the screen
    typing: str | None = None  # a filter that is being typed
    detail: Row | None = None
    help: bool = False
    message: str = ""
    ended: bool = False
    places: list[Place] = field(default_factory=list)

    @property
    def room(self) -> int:
        """Rows that fit."""
        return max(1, self.height - CHROME)

    @property
    def at(self) -> int:
        """Where the selected one is."""
        return next((at for at, place in enumerate(self.places) if place.row.id == self.selected), 0)

    def query(self) -> Document:
        """For /v1/top: enough rows to scroll on without waiting."""
        return {
            "sort": self.sort,
            "limit": min(MOST_ROWS, max(_LEAST_ROWS, self.at + 2 * self.height)),
            "filter": self.text,
            "tree": "true" if self.as_tree else "false",
            "all": "true" if self.everything else "false",
        }

    def arrange(self, known: Model) -> None:
        """Take the rows, and keep the selected one on the screen."""
        rows = model.ordered(known.rows, self.sort)
        self.places = model.tree(rows) if self.as_tree else model.flat(rows)
        self._scroll()

    def _scroll(self) -> None:
        at = self.at
        self.first = max(min(self.first, at, len(self.places) - self.room), at - self.room + 1, 0)

    def press(self, key: str) -> bool:
        """Whether the agent is to be asked anew at once."""
        self.message = ""
        if self.typing is not None:
            return self._type(key)
        if self.help:
            self.help = False
            return False
        if self.detail is not None and key in ("q", "escape", "enter", "left", "backspace"):
            self.detail = None
            return True
        if key in _MOVES and self.detail is None:
            self._move(key)
            return False
        return self._command(key)

    def _type(self, key: str) -> bool:
        assert self.typing is not None
        if key == "enter":
            changed, self.text, self.typing = self.typing != self.text, self.typing, None
            return changed
        if key == "escape":
            self.typing = None
        elif key == "backspace":
            self.typing = self.typing[:-1]
        elif len(key) == 1:
            self.typing += key
        return False

    def _move(self, key: str) -> None:
        if not self.places:
            return
        step = {"up": -1, "k": -1, "down": 1, "j": 1, "pageup": -self.room, "pagedown": self.room}.get(key)
        if step is None:
            step = -len(self.places) if key in ("home", "g") else len(self.places)
        at = min(max(self.at + step, 0), len(self.places) - 1)
        # The first row is nobody's: whoever comes first is looked at.
        self.selected = self.places[at].row.id if at else None
        self._scroll()

    def _command(self, key: str) -> bool:
        match key:
            case "q":
                self.ended = True
                return False
            case "h" | "?":
                self.help = True
                return False
            case "enter" | "right":
                return self._look()
            case "/" if self.detail is None:
                self.typing = self.text
                return False
            case "escape" if self.text:
                self.text = ""
            case "t":
                self.as_tree = not self.as_tree
            case "a":
                self.everything = not self.everything
            case "s" | "S":
                step = 1 if key == "s" else -1
                self.sort = SORTS[(SORTS.index(self.sort) + step) % len(SORTS)]
            case " ":
                pass
            case _:
                return False
        return True

    def _look(self) -> bool:
        if not self.places or self.detail is not None:
            return False
        self.detail = self.places[self.at].row
        self.selected = self.detail.id
        return True


_MOVES = ("up", "k", "down", "j", "pageup", "pagedown", "home", "g", "end", "G")
