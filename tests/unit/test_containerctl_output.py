# SPDX-License-Identifier: Apache-2.0
"""Texts for people: values of the API come in, what a terminal may show comes out."""

import click
import pytest

from containerctl import output
from containerctl.commands import container_name, task_id


@pytest.mark.parametrize(
    ("count_bytes", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1024, "1.0 KiB"),
        (4096 * 13, "52.0 KiB"),
        (1024**2 - 1, "1.0 MiB"),
        (1024**2, "1.0 MiB"),
        (3 * 1024**3 // 2, "1.5 GiB"),
        (2**63, "8192.0 PiB"),
    ],
)
def test_size(count_bytes: int, text: str) -> None:
    assert output.size(count_bytes) == text


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/web", "/web"),
        ("/größe/漢 x", "/größe/漢 x"),
        ("/a\x1b[31mb\n", "/a\\x1b[31mb\\x0a"),
        ("/\x9b2J", "/\\xc2\\x9b2J"),
        ("/\u202egnp", "/\\xe2\\x80\\xaegnp"),
        ("/\udcff", "/\\xff"),
        ("/\ud800", "/\\xed\\xa0\\x80"),
        ("/dev\\x2ddisk", "/dev\\x2ddisk"),
    ],
)
def test_escape(name: str, text: str) -> None:
    assert output.escape(name) == text


def test_pages_have_units_and_say_when_they_are_partial() -> None:
    document = {"page_size": 4096, "num_anon_pages": 10, "num_file_pages": None, "partial_pages": False}
    assert output.pages(document, "num_anon_pages") == "40.0 KiB"
    assert output.pages(document, "num_file_pages") == "-"
    assert output.pages(document, "no_such_pages") == "-"
    assert output.pages({**document, "partial_pages": True}, "num_anon_pages") == "~40.0 KiB"


def test_value() -> None:
    assert [output.value(found) for found in (None, True, False, 0)] == ["-", "yes", "no", "0"]
    assert output.value({"tasks": "fentry", "pages": None}) == "tasks fentry, pages -"
    assert output.value("a\x07") == "a\\x07"


@pytest.mark.parametrize(
    ("found", "text"),
    [
        (None, "-"),
        ({"runtime": "docker", "id": "49dc0d7a84b2ddcc6b", "name": None}, "docker 49dc0d7a84b2"),
        ({"runtime": "systemd", "name": "ssh.service"}, "systemd ssh.service"),
        ({"runtime": "cri-o", "name": "app", "pod": "web-0", "namespace": "shop"}, "cri-o shop/web-0/app"),
        ({"runtime": "kubernetes", "pod_uid": "0b7632a2-a56e-4278"}, "kubernetes 0b7632a2-a56"),
        ({"runtime": "docker", "name": "a\x1b[1m"}, "docker a\\x1b[1m"),
    ],
)
def test_workload(found: object, text: str) -> None:
    assert output.workload(found) == text


def test_a_name_gets_its_slash() -> None:
    assert (container_name("web"), container_name("/web"), container_name("a/b")) == ("/web", "/web", "/a/b")
    with pytest.raises(click.BadParameter):
        container_name("")


@pytest.mark.parametrize("text", ["", "-1", "+1", " 1", "1_0", "x", "1.0", "٣", "2147483648", "9" * 5000])
def test_what_is_no_task_id(text: str) -> None:
    with pytest.raises(click.BadParameter):
        task_id(text)


def test_task_id_0_is_our_parent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.getppid", lambda: 4711)
    assert (task_id("0"), task_id("00"), task_id("23")) == (4711, 4711, 23)
