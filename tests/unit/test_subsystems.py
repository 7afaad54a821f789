# SPDX-License-Identifier: Apache-2.0
"""Subsystems in this process: which calls they get in which order, and what is undone when one says no or fails."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from containeragent.errors import Refused
from containeragent.events.bus import Bus
from containeragent.subsystems.api import Attribute, Container, Subsystem, Task, Value, hooks
from containeragent.subsystems.attributes import Attributes, checked
from containeragent.subsystems.members import BuiltIn
from containeragent.subsystems.registry import MOST, Registry

ROOT = Container("/", "/root", 1, "/fake")
WEB = Container("/web", "/root/web", 2, "/fake/web")
TASK = Task(7, 0)
Call = tuple[str, str, str]


class Noted(Subsystem):
    """Notes what it is called for; `no` says what it does at some call instead of returning."""

    def __init__(self, name: str, calls: list[Call], **no: Callable[[], Any]) -> None:
        self.name = name
        self._calls = calls
        self._no = no

    def _note(self, call: str, container: Container) -> Any:
        self._calls.append((self.name, call, container.name))
        return self._no.get(call, lambda: None)()

    def create(self, container: Container) -> None:
        """Noted."""
        return self._note("create", container)  # type: ignore[no-any-return]

    def destroy(self, container: Container) -> None:
        """Noted."""
        self._note("destroy", container)

    def can_attach(self, container: Container, task: Task) -> None:
        """Noted."""
        return self._note("can_attach", container)  # type: ignore[no-any-return]

    def cancel_attach(self, container: Container, task: Task) -> None:
        """Noted."""
        self._note("cancel_attach", container)

    def attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """Noted."""
        self._note("attach", container)

    def post_attach(self, container: Container, origin: Container | None, task: Task) -> None:
        """Noted."""
        self._note("post_attach", container)

    def populate(self, container: Container) -> Iterable[Attribute]:
        """What `no` has."""
        return self._no.get("populate", lambda: ())()  # type: ignore[no-any-return]


class Nothing(Subsystem):
    """No hook at all."""

    name = "nothing"


def raising(error: BaseException) -> Callable[[], Any]:
    """A call that ends so."""

    def end() -> None:
        raise error

    return end


class Set:
    """A registry and what its subsystems were called for since they were registered."""

    def __init__(self, *registered: dict[str, Callable[[], Any]]) -> None:
        self.calls: list[Call] = []
        self.bus = Bus()
        self.registry = Registry(ROOT, self.bus)
        self.attributes = Attributes(self.registry, self.bus)
        for number, no in enumerate(registered):
            self.registry.register(BuiltIn(Noted("abcdefgh"[number], self.calls, **no)))
        self.calls.clear()

    def shown(self) -> dict[str, Value]:
        """Attributes of /web, which everybody knows by now."""
        self.registry.take_up(WEB)
        return self.attributes.shown(WEB)

    def failures(self) -> list[Any]:
        """Subsystem and call of each failure that was told."""
        events = self.bus.recent(lambda event: event.kind == "subsystem_failed")
        return [(event.details["subsystem"], event.details["call"]) for event in events]


def code(call: Callable[..., Any], *arguments: Any) -> str:
    """The errno name of what must be refused."""
    with pytest.raises(Refused) as caught:
        call(*arguments)
    return caught.value.code


NO = raising(Refused("EPERM", "no"))
BROKEN = raising(KeyError("broken"))


def test_absent_hooks_are_not_called() -> None:
    """One with nothing, one that is not derived from the base class."""

    class Free:
        name = "free"

        def can_attach(self, container: Container, task: Task) -> None:
            pass

    assert hooks(Nothing()) == frozenset() and hooks(Free()) == {"can_attach"}
    made = Set({})
    made.registry.register(BuiltIn(Nothing()))
    made.registry.create(WEB)
    assert made.calls == [("a", "create", "/web")]


def test_registration() -> None:
    """The root is made known at once; one that refuses it is not registered."""
    calls: list[Call] = []
    registry = Registry(ROOT, Bus())
    registry.register(BuiltIn(Noted("a", calls)))
    assert calls == [("a", "create", "/")]
    assert code(registry.register, BuiltIn(Noted("b", calls, create=NO))) == "EPERM"
    assert code(registry.register, BuiltIn(Noted("c", calls, create=BROKEN))) == "EIO"
    assert code(registry.register, BuiltIn(Noted("a", calls))) == "EEXIST"
    for name in ("", "A", "a.b", "1a", "a" * 40):
        assert code(registry.register, BuiltIn(Noted(name, calls))) == "EINVAL"
    assert [member.name for member in registry.members] == ["a"]


def test_at_most_eight() -> None:
    """ENOSPC, as of 2006."""
    made = Set(*[{}] * MOST)
    assert MOST == 8 and code(made.registry.register, BuiltIn(Noted("i", []))) == "ENOSPC"


def test_too_late() -> None:
    """Not while there is a container besides the root."""
    made = Set({})
    made.registry.create(WEB)
    assert code(made.registry.register, BuiltIn(Noted("b", []))) == "EBUSY"
    made.registry.destroy(WEB.id)
    made.registry.register(BuiltIn(Noted("b", made.calls)))


def test_a_life() -> None:
    """In the order of registration; the end in reverse."""
    made = Set({}, {})
    made.registry.create(WEB)
    with made.registry.attaching(WEB, ROOT, TASK):
        made.calls.append(("", "moved", ""))
    made.registry.post_attach([(WEB, ROOT, TASK)])
    made.registry.destroy(WEB.id)
    made.registry.destroy(WEB.id)
    assert [(name, call) for name, call, _ in made.calls] == [
        *[("a", "create"), ("b", "create")],
        *[("a", "can_attach"), ("b", "can_attach"), ("", "moved"), ("a", "attach"), ("b", "attach")],
        *[("a", "post_attach"), ("b", "post_attach"), ("b", "destroy"), ("a", "destroy")],
    ]


@pytest.mark.parametrize("no, refused", [(NO, "EPERM"), (BROKEN, "EIO"), (lambda: 0, "EIO"), (lambda: False, "EIO")])
def test_create_is_undone(no: Callable[[], Any], refused: str) -> None:
    """What the others did, the last one first; the one that failed and those after it are left out."""
    made = Set({}, {}, {}, {})
    made.registry._members[2]._subsystem._no["create"] = no  # type: ignore[attr-defined]
    assert code(made.registry.create, WEB) == refused
    assert [name + " " + call for name, call, _ in made.calls] == [
        *("a create", "b create", "c create", "b destroy", "a destroy"),
    ]
    assert made.failures() == ([("c", "create")] if refused == "EIO" else [])
    assert made.registry.known() == []


@pytest.mark.parametrize("no, refused", [(NO, "EPERM"), (BROKEN, "EIO"), (lambda: False, "EIO")])
def test_can_attach_is_undone(no: Callable[[], Any], refused: str) -> None:
    """In reverse order, and nothing moves: also when False was meant for no."""
    made = Set({}, {}, {"can_attach": no}, {})
    with pytest.raises(Refused) as caught, made.registry.attaching(WEB, None, TASK):
        raise AssertionError("it moved")
    assert caught.value.code == refused
    assert [name + " " + call for name, call, _ in made.calls] == [
        *("a can_attach", "b can_attach", "c can_attach", "b cancel_attach", "a cancel_attach"),
    ]


def test_a_move_that_the_kernel_refuses_is_cancelled() -> None:
    """Everybody who said yes hears it; nobody is told that it came."""
    made = Set({}, {})
    with pytest.raises(Refused), made.registry.attaching(WEB, None, TASK):
        raise Refused("ESRCH", "gone")
    assert [call for _, call, _ in made.calls] == ["can_attach"] * 2 + ["cancel_attach"] * 2


def test_what_cannot_be_refused_goes_on() -> None:
    """A failure is told, and the next ones hear of it all the same."""
    broken = {call: BROKEN for call in ("destroy", "attach", "post_attach")}
    made = Set(broken, {"attach": NO, "destroy": NO, "post_attach": lambda: None})
    made.registry.create(WEB)
    with made.registry.attaching(WEB, None, TASK):
        pass
    made.registry.post_attach([(WEB, None, TASK)])
    made.registry.destroy(WEB.id)
    assert made.failures() == [
        *[("a", "attach"), ("b", "attach"), ("a", "post_attach")],
        *[("b", "destroy"), ("a", "destroy")],
    ]
    assert made.registry.failures == {"a": 3, "b": 2}


def test_one_that_was_there_before() -> None:
    """It is told that; while it is refused, the container is not known, and it is asked again."""
    made = Set({}, {})
    no = made.registry._members[1]._subsystem._no  # type: ignore[attr-defined]
    no["create"] = NO
    assert code(made.registry.take_up, WEB) == "EPERM" and not made.registry.knows(WEB)
    del no["create"]
    made.registry.take_up(WEB)
    assert made.registry.knows(WEB)
    assert [name for name, _, _ in made.calls] == ["a", "b", "b"]


def _same(value: Any) -> Any:
    return value


def values(**found: Any) -> dict[str, Callable[[], Any]]:
    """A subsystem's `populate` with attributes that only show."""
    return {
        "populate": lambda: [Attribute(name, show=functools.partial(_same, value)) for name, value in found.items()]
    }


def test_shown_attributes() -> None:
    """With the subsystem's name in front."""
    made = Set(values(text="x", number=7, part=0.5, yes=True, unknown=None), values(text="y"))
    assert made.shown() == {
        **{"a.text": "x", "a.number": 7, "a.part": 0.5, "a.yes": True, "a.unknown": None, "b.text": "y"}
    }


@pytest.mark.parametrize("nonsense", [float("nan"), float("inf"), 1 << 70, [1], {"a": 1}, b"x", "x" * 5000, object()])
def test_a_nonsense_value_is_unknown(nonsense: Any) -> None:
    """The others are shown."""
    made = Set(values(bad=nonsense, good=1))
    assert made.shown() == {"a.bad": None, "a.good": 1} and made.failures() == [("a", "show")]


@pytest.mark.parametrize(
    "populate",
    [
        lambda: None,
        lambda: 7,
        lambda: ["x"],
        lambda: [Attribute("Bad.Name")],
        lambda: [Attribute(7)],  # type: ignore[arg-type]
        lambda: [Attribute("x"), Attribute("x")],
        lambda: [Attribute(f"x{number}") for number in range(65)],
        BROKEN,
        raising(SystemExit(1)),
    ],
)
def test_nonsense_attributes(populate: Callable[[], Any]) -> None:
    """None of them; those of the others are shown, and set of them fails clearly."""
    made = Set({"populate": populate}, values(good=1))
    assert made.shown() == {"b.good": 1} and made.failures() == [("a", "show")]
    assert code(made.attributes.set, WEB, {"a.x": "1"}) == "ENOENT"


class Kept:
    """Attributes `one`, `two` and `three`; the last takes no text but 3."""

    def __init__(self) -> None:
        self.values: dict[str, Any] = {"one": "1", "two": 2, "three": "3"}

    def populate(self) -> list[Attribute]:
        """As a subsystem has them."""
        made = [
            Attribute(name, show=functools.partial(self.values.__getitem__, name), set=self._setter(name))
            for name in self.values
        ]
        return [*made, Attribute("fixed", show=lambda: 0), Attribute("secret", set=lambda value: None)]

    def _setter(self, name: str) -> Callable[[str], None]:
        def set_one(value: str) -> None:
            if name == "three" and value != "3":
                raise ValueError("it must be 3")
            self.values[name] = value

        return set_one


def test_set() -> None:
    """All that was asked for, each told."""
    kept = Kept()
    made = Set({"populate": kept.populate})
    made.attributes.set(WEB, {"a.one": "x", "a.secret": "y"})
    assert kept.values["one"] == "x"
    told = made.bus.recent(lambda event: event.kind == "set")
    assert [event.message for event in told] == ["a.one set to x", "a.secret set to y"]
    assert "a.secret" not in made.shown()


def test_set_is_undone() -> None:
    """What was set before one is refused; what cannot be put back is named."""
    kept = Kept()
    made = Set({"populate": kept.populate})
    with pytest.raises(Refused, match=r"^a.three was not set: it must be 3$"):
        made.attributes.set(WEB, {"a.one": "x", "a.two": "y", "a.three": "z"})
    assert kept.values == {"one": "1", "two": "2", "three": "3"}
    with pytest.raises(Refused, match=r"set before, and not put back: a.secret$"):
        made.attributes.set(WEB, {"a.secret": "x", "a.three": "z"})
    assert made.bus.recent(lambda event: event.kind == "set") == []


@pytest.mark.parametrize(
    "name, refused", [("a.none", "ENOENT"), ("one", "ENOENT"), ("b.one", "ENOENT"), ("a.fixed", "EACCES")]
)
def test_set_what_cannot_be_set(name: str, refused: str) -> None:
    """Before anything is set."""
    kept = Kept()
    made = Set({"populate": kept.populate})
    assert code(made.attributes.set, WEB, {"a.one": "x", name: "1"}) == refused
    assert kept.values["one"] == "1"


@pytest.mark.parametrize("body", [None, {}, [], "x", {"a": 1}, {"a": None}, {"a": "x" * 5000}, {"a": "x\n"}])
def test_bad_values(body: Any) -> None:
    """EINVAL before any subsystem is asked."""
    assert code(checked, body) == "EINVAL"


def test_described() -> None:
    """Hooks, failures, attributes."""
    made = Set(values(bad=[1]))
    made.registry.register(BuiltIn(Nothing()))
    made.shown()
    first, second = made.attributes.described(ROOT)
    assert (first["name"], first["state"], first["failures"], second["hooks"]) == ("a", "on", 1, [])
    assert first["attributes"] == [{"name": "a.bad", "help": "", "shown": True, "settable": False}]
