# SPDX-License-Identifier: Apache-2.0
"""What a person sees of the page at / and can do with it, in a real Chromium with a real agent."""

from __future__ import annotations

import contextlib
import http.client
import os
import re
import signal
from collections.abc import Iterator
from pathlib import Path

import bcrypt
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

from tests.e2e.support.agent import Agent
from tests.e2e.support.processes import PYTHON, SLEEP, inside
from tests.page.browser import PHONE, page as opened

HOSTILE = {
    b"<img src=x onerror=window.evil=1>": "<img src=x onerror=window.evil=1>",
    b'"><script>window.evil=1<\\script>': '"><script>window.evil=1<\\script>',
    b"</title><svg onload=window.evil=1>".replace(b"/", b"|"): "<|title><svg onload=window.evil=1>",
    "right\u202eto left".encode(): "right\\u{202e}to left",
    b"bell\x07 \x1b[31m": "bell\\x07 \\x1b[31m",
    b"no utf-8 \xff": "no utf-8 \\xff",
    b"${window.evil=1}": "${window.evil=1}",
}


def url(agent: Agent, chosen: str = "") -> str:
    """Of the page, with what is chosen."""
    return f"http://{agent.address}/{chosen}"


def answered(agent: Agent, path: str) -> tuple[int, str]:
    """Status and type of what is there."""
    connection = http.client.HTTPConnection(agent.address, timeout=30)
    try:
        connection.request("GET", path)
        response = connection.getresponse()
        return response.status, response.headers.get_content_type()
    finally:
        connection.close()


def names(page: Page) -> list[str]:
    """In the first column, from the top down."""
    return page.locator("tbody th bdi").all_inner_texts()


def heading(page: Page, title: str) -> Locator:
    """Of a column."""
    return page.get_by_role("columnheader", name=title)


def row(page: Page, name: str) -> Locator:
    """Of the container that is called so."""
    return page.get_by_role("row").filter(has=page.get_by_role("button", name=name, exact=True))


@pytest.fixture
def shop(agent: Agent) -> Iterator[Agent]:
    """Three containers, one of them with a limit and 23 tasks."""
    for name, limits in (("/web", {"task_limit": 40, "page_limit": "1G"}), ("/web/db", {}), ("/shop", {})):
        answer = agent.api.call("POST", "/v1/containers", body={"name": name, **limits})
        assert answer.status == 201, answer.document
    threads = "import threading, time\nfor _ in range(22):\n threading.Thread(target=time.sleep, args=(1e6,)).start()\n"
    grown = "data = b'x' * (32 << 20)\nimport time\ntime.sleep(1e6)"
    with (
        inside(agent.path("/web"), [*PYTHON, threads + "time.sleep(1e6)"]),
        inside(agent.path("/web/db"), [*PYTHON, grown]),
        inside(agent.path("/shop"), SLEEP),
    ):
        yield agent


def test_a_tree_of_containers(page: Page, shop: Agent) -> None:
    """Each below its parent, the most memory first, with what it uses of its limits."""
    page.goto(url(shop))
    expect(page.locator("tbody tr")).to_have_count(4)
    expect(row(page, "/web").locator(".c-tasks")).to_have_text("24 / 40")
    expect(row(page, "/web/db").locator(".c-anon")).to_have_text(re.compile(r"^3\d\.\d MiB$"))
    expect(row(page, "/web").locator(".c-memory")).to_have_text(re.compile(r"^[34]\d\.\d MiB / 1\.0 GiB$"))
    assert names(page) == ["/", "web", "db", "shop"]
    expect(page.locator("#count")).to_have_text("4 containers")
    expect(page.locator("#whole dd").first).to_have_text("25")
    expect(heading(page, "Memory")).to_have_attribute("aria-sort", "descending")


def test_figures_move(page: Page, agent: Agent) -> None:
    """What comes and goes is there without a reload."""
    agent.create("/web")
    page.goto(url(agent))
    expect(row(page, "/web").locator(".c-tasks")).to_have_text("0")
    with inside(agent.path("/web"), SLEEP):
        expect(row(page, "/web").locator(".c-tasks")).to_have_text("1")
    agent.ctl("rm", "web").ok()
    expect(page.locator("tbody tr")).to_have_count(1)


def test_hostile_names_are_text(page: Page, agent: Agent) -> None:
    """Whatever others call their cgroups; what cannot be seen is spelled out."""
    for name in HOSTILE:
        os.mkdir(os.fsencode(agent.root) + b"/" + name)
    page.goto(url(agent, "#sort=name"))
    expect(page.locator("tbody tr")).to_have_count(1 + len(HOSTILE))
    assert set(names(page)) == {"/", *HOSTILE.values()}
    row(page, "/<img src=x onerror=window.evil=1>").click()
    expect(page.locator("#detail-name")).to_have_text("/<img src=x onerror=window.evil=1>")
    expect(page.locator("#figures div")).not_to_have_count(0)
    assert page.evaluate("[window.evil, document.images.length, document.scripts.length]") == [None, 0, 1]


def test_nothing_else_may_run(browser: Browser, agent: Agent) -> None:
    """Even if something came into the document, the policy would stop it."""
    context = browser.new_context()
    try:
        page, refused = context.new_page(), list[str]()
        page.on("console", lambda message: refused.append(message.text))
        page.goto(url(agent))
        expect(page.locator("tbody tr")).to_have_count(1)
        page.evaluate(
            "document.body.append(Object.assign(document.createElement('script'), {text: 'window.evil = 1'}))"
        )
        page.evaluate("document.body.append(Object.assign(new Image(), {src: 'http://127.0.0.1:1/x.png'}))")
        page.wait_for_function("document.images[0].complete")
        assert page.evaluate("window.evil") is None
        assert len([line for line in refused if "Content Security Policy" in line]) == 2, refused
    finally:
        context.close()


def test_sorted_by_a_click_or_a_key(page: Page, shop: Agent) -> None:
    """The column says how to those who do not see it; again turns it round; the address keeps it."""
    page.goto(url(shop))
    page.get_by_role("checkbox", name="Tree").uncheck()
    page.get_by_role("button", name="Tasks").click()
    expect(heading(page, "Tasks")).to_have_attribute("aria-sort", "descending")
    expect(page.locator("tbody th bdi")).to_have_text(["/", "/web", "/shop", "/web/db"])
    page.get_by_role("button", name="Tasks").press("Enter")
    expect(heading(page, "Tasks")).to_have_attribute("aria-sort", "ascending")
    expect(page.locator("tbody th bdi")).to_have_text(["/shop", "/web/db", "/web", "/"])
    page.get_by_role("button", name="Container", exact=True).press("Space")
    expect(heading(page, "Container")).to_have_attribute("aria-sort", "ascending")
    expect(heading(page, "Tasks")).not_to_have_attribute("aria-sort", re.compile("."))
    expect(page.locator("tbody th bdi")).to_have_text(["/", "/shop", "/web", "/web/db"])
    page.reload()
    expect(page.locator("tbody th bdi")).to_have_text(["/", "/shop", "/web", "/web/db"])


def test_filtered(page: Page, shop: Agent) -> None:
    """By a part of a name, with those above; a slash leads there."""
    page.goto(url(shop))
    expect(page.locator("tbody tr")).to_have_count(4)
    page.keyboard.press("/")
    page.keyboard.type("DB")
    expect(page.locator("tbody th bdi")).to_have_text(["/", "web", "db"])
    expect(page.locator("#count")).to_have_text("1 of 4 containers")
    page.keyboard.type("x")
    expect(page.locator("#empty")).to_be_visible()
    expect(page.locator("table")).to_be_hidden()


def test_all_cgroups(page: Page, shop: Agent) -> None:
    """Those that are not managed, too."""
    page.goto(url(shop))
    page.get_by_role("checkbox", name="All cgroups").check()
    expect(page.locator("#count")).to_have_text(re.compile(" cgroups$"))
    expect(page.locator("tbody th bdi").first).to_have_text("/")
    expect(page.locator("tbody tr", has_text=shop.cgroup.removeprefix("/"))).to_have_count(1)
    assert names(page).count("") == 0


def test_one_container_by_keyboard(page: Page, shop: Agent) -> None:
    """Arrows, Enter, Escape; the figures are those of `show`, the charts have what was sampled."""
    page.goto(url(shop))
    expect(page.locator("tbody tr")).to_have_count(4)
    page.keyboard.press("ArrowDown")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    detail = page.get_by_role("dialog")
    expect(detail.get_by_role("heading")).to_have_text("/web")
    shown, figures = shop.show("/web"), detail.locator("#figures div")
    for title, text in (
        ("Tasks", f"{shown['num_tasks']} of 40"),
        ("Highest number of tasks", str(shown["peak_tasks"])),
        ("Forks, exits", f"{shown['forks']}, {shown['exits']}"),
        ("Cgroup id", str(shown["id"])),
    ):
        figure = figures.filter(has=page.get_by_text(title, exact=True))
        expect(figure.locator("dd")).to_have_text(text)
    chart = detail.get_by_role("img", name=re.compile("^Tasks, last 10 minutes: now 24, highest 24"))
    expect(chart).to_be_visible(timeout=15000)
    page.keyboard.press("Escape")
    expect(detail).to_be_hidden()
    assert page.evaluate("document.activeElement.title") == "/web"


@pytest.mark.parametrize("dark", [False, True])
def test_a_phone(browser: Browser, shop: Agent, dark: bool) -> None:
    """375 pixels are enough: nothing to scroll sideways, the details too; sorting is a menu; light and dark."""
    with opened(browser, PHONE, dark) as page:
        page.goto(url(shop))
        expect(page.locator("tbody tr")).to_have_count(4)
        page.get_by_label("Sort by").select_option("name")
        expect(page.locator("tbody th bdi")).to_have_text(["/", "shop", "web", "db"])
        assert page.evaluate("document.documentElement.scrollWidth") == 375
        row(page, "/web/db").click()
        expect(page.locator("#figures div")).not_to_have_count(0)
        assert page.evaluate("(d => d.scrollWidth <= d.clientWidth)(document.querySelector('dialog'))")
        red, green, blue = map(
            int, re.findall(r"\d+", page.evaluate("getComputedStyle(document.body).backgroundColor"))
        )
        assert (red + green + blue < 150) is dark


def test_a_thousand_containers(page: Page, agent: Agent) -> None:
    """The first hundred; more on request; all are looked through."""
    for number in range(1000):
        os.mkdir(agent.root / f"c{number:03}")
    page.goto(url(agent, "#sort=name"))
    expect(page.locator("#count")).to_have_text("first 100 of 1 001 containers")
    page.get_by_role("button", name="Show more").click()
    expect(page.locator("tbody tr")).to_have_count(300)
    page.get_by_label("Filter by name").fill("c987")
    expect(page.locator("tbody th bdi")).to_have_text(["/", "c987"])


def test_paused(page: Page, agent: Agent) -> None:
    """It asks for nothing until it goes on."""
    page.goto(url(agent))
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Pause").click()
    agent.create("/web")
    page.wait_for_timeout(2500)
    expect(page.locator("tbody tr")).to_have_count(1)
    page.get_by_role("button", name="Go on").click()
    expect(page.locator("tbody tr")).to_have_count(2)


def test_the_agent_goes_and_comes_back(browser: Browser) -> None:
    """The page says since when its figures stand still, and goes on by itself."""
    agent, context = Agent(), browser.new_context()
    try:
        page = context.new_page()
        page.goto(url(agent.start()))
        expect(page.locator("tbody tr")).to_have_count(1)
        expect(page.get_by_role("alert")).to_be_hidden()
        agent.end(signal.SIGKILL)
        expect(page.get_by_role("alert")).to_have_text(re.compile("^The agent does not answer; these figures are of"))
        agent.start()
        expect(page.get_by_role("alert")).to_be_hidden(timeout=10000)
    finally:
        context.close()
        agent.close()


def test_behind_a_password(browser: Browser, tmp_path: Path) -> None:
    """The page and its documents as the metrics, where the web configuration file has one."""
    hashed = bcrypt.hashpw(b"secret", bcrypt.gensalt(4)).decode()
    (tmp_path / "web.yml").write_text(f"basic_auth_users: {{alice: {hashed}}}\n")
    agent = Agent("--web-config-file", str(tmp_path / "web.yml"))
    with contextlib.ExitStack() as stack:
        stack.callback(agent.close)
        agent.start()
        for path in ("/", "/live/top", "/live/container?id=1", "/metrics"):
            assert answered(agent, path) == (401, "text/plain")
        context = browser.new_context(http_credentials={"username": "alice", "password": "secret"})
        stack.callback(context.close)
        page = context.new_page()
        page.goto(url(agent))
        expect(page.locator("tbody tr")).to_have_count(1)


def test_switched_off() -> None:
    """No page and no documents; the metrics stay."""
    agent = Agent("--page-containers", "0")
    try:
        agent.start()
        assert answered(agent, "/") == answered(agent, "/live/top") == (404, "text/plain")
        assert answered(agent, "/metrics") == (200, "text/plain")
    finally:
        agent.close()
