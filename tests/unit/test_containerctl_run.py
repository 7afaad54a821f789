# SPDX-License-Identifier: Apache-2.0
"""`containerctl run`: commands come in; a fake agent that keeps a set of containers notes the order of events."""

import json
import os
import signal
import socketserver
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qs, urlsplit

import pytest

import containerctl

SOURCE = Path(containerctl.__file__).parent.parent
COUNTERS = {
    "page_size": 4096,
    "peak_tasks": 3,
    "peak_pages": 512,
    "num_anon_pages": 0,
    "num_file_pages": 5,
    "forks": 22,
}
REPORT_KEYS = [
    "name", "exit_status", "signal", "wall_seconds", "peak_tasks", "peak_pages", "num_anon_pages", "num_file_pages",
    "page_size", "forks", "killed", "kept",
]  # fmt: skip


class FakeAgent(socketserver.ThreadingUnixStreamServer):
    """Keeps names of containers; `refuse` names steps that fail, `hang_up` steps that are cut off, `seen` the steps."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.containers: set[str] = {"/taken"}
        self.refuse: dict[str, tuple[int, str]] = {}
        self.hang_up: set[str] = set()
        self.seen: list[str] = []
        self.commands_of_attached: list[list[str]] = []

    def answer(self, step: str, name: str, body: Any) -> tuple[int, Any]:
        if step in self.refuse:
            status, code = self.refuse[step]
            return status, {"error": {"code": code, "message": f"{step} refused"}}
        if step == "create":
            if name in self.containers:
                return 409, {"error": {"code": "EEXIST", "message": f"{name} exists already"}}
            self.containers.add(name)
        elif name not in self.containers:
            return 404, {"error": {"code": "ENOENT", "message": f"no container {name}"}}
        match step:
            case "attach":
                (pid,) = body["pids"]
                # What it is at this moment: not the command yet.
                self.commands_of_attached.append(Path(f"/proc/{pid}/cmdline").read_text().split("\0")[:-1])
                return 200, {"attached": [pid]}
            case "kill":
                return 200, {"killed": 2}
            case "remove":
                self.containers.remove(name)
                return 200, {"removed": [name]}
        return 200, {"name": name, "partial_pages": False, **COUNTERS}


class _Handler(BaseHTTPRequestHandler):
    server: FakeAgent
    STEPS: ClassVar = {
        "POST /v1/containers": "create",
        "GET /v1/container": "read",
        "DELETE /v1/container": "remove",
        "POST /v1/container/tasks": "attach",
        "POST /v1/container/kill": "kill",
    }

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        body: dict[str, Any] = json.loads(self.rfile.read(length)) if length else {}
        url = urlsplit(self.path)
        step = self.STEPS[f"{self.command} {url.path}"]
        name = body["name"] if step == "create" else parse_qs(url.query)["name"][0]
        self.server.seen.append(step)
        status, answer = self.server.answer(step, name, body)
        if step in self.server.hang_up:
            return
        text = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    do_GET = do_POST = do_DELETE = _answer

    def address_string(self) -> str:
        return "peer"

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def agent(tmp_path: Path) -> Iterator[FakeAgent]:
    server = FakeAgent(tmp_path / "agent.sock")
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


Start = Callable[..., subprocess.Popen[str]]
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def start(tmp_path: Path) -> Start:
    def popen(*arguments: str, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "containerctl", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "CONTAINERAGENT_SOCKET": str(tmp_path / "agent.sock")}
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "env": environment, **options}
        return subprocess.Popen(command, **settings)

    return popen


@pytest.fixture
def ctl(start: Start) -> Run:
    def run(*arguments: str, **options: Any) -> tuple[int, str, str]:
        with start(*arguments, **options) as process:
            out, err = process.communicate(timeout=30)
        return process.returncode, out, err

    return run


def test_report_for_people(agent: FakeAgent, ctl: Run) -> None:
    status, out, err = ctl("run", "--name", "job", "--", "sh", "-c", "echo out; echo err >&2; exit 3")
    assert (status, out) == (3, "out\n")
    first, *block = err.splitlines()
    assert first == "err"
    shown = {line[:18].strip(): line[18:] for line in block}
    assert shown.pop("wall time").endswith(" s")
    assert shown == {
        "container": "/job", "exit status": "3", "peak tasks": "3", "peak memory": "2.0 MiB", "anon at end": "0 B",
        "file at end": "20.0 KiB", "forks": "22", "leftovers killed": "2",
    }  # fmt: skip
    # The counters are read before anything is killed.
    assert agent.seen == ["create", "attach", "read", "kill", "remove"]
    assert agent.containers == {"/taken"}
    # Attached while it was still waiting, so the command's first instruction is counted.
    assert agent.commands_of_attached[0][1:3] == ["-m", "containerctl"]


@pytest.mark.parametrize("arguments", [["--json", "run"], ["run", "--json"]])
def test_report_for_scripts(agent: FakeAgent, ctl: Run, arguments: list[str]) -> None:
    status, out, err = ctl(*arguments, "--", "echo", "--json")
    assert (status, err) == (0, "")
    own, report_text = out.split("\n", 1)
    assert own == "--json"
    report = json.loads(report_text)
    assert list(report) == REPORT_KEYS
    assert report["name"].startswith("/run-")
    assert 0 < report.pop("wall_seconds") < 30
    assert {key: report[key] for key in COUNTERS} == COUNTERS
    assert (report["exit_status"], report["signal"], report["killed"], report["kept"]) == (0, None, 2, False)


def test_options_after_the_command_are_the_commands(agent: FakeAgent, ctl: Run) -> None:
    status, out, _err = ctl("run", "echo", "--json", "--keep", "--", "-x")
    assert (status, out) == (0, "--json --keep -- -x\n")


def test_keep(agent: FakeAgent, ctl: Run) -> None:
    status, out, err = ctl("run", "--json", "--keep", "--name", "/job", "--", "true")
    report = json.loads(out)
    assert (status, err, report["kept"], report["killed"]) == (0, "", True, 0)
    assert agent.seen == ["create", "attach", "read"]
    assert "/job" in agent.containers


@pytest.mark.parametrize(("number", "name"), [(9, "SIGKILL"), (15, "SIGTERM"), (signal.SIGRTMIN + 1, "SIGRTMIN+1")])
def test_killed_by_a_signal(agent: FakeAgent, ctl: Run, number: int, name: str) -> None:
    status, out, _err = ctl("run", "--json", "--", "sh", "-c", f"kill -{int(number)} $$")
    report = json.loads(out)
    assert status == report["exit_status"] == 128 + number
    assert report["signal"] == name


@pytest.mark.parametrize(
    ("program", "status", "code"),
    [("no-such-program", 127, "ENOENT"), ("./none", 127, "ENOENT"), ("", 127, "ENOENT"), ("/", 126, "EACCES"),
     ("./plain", 126, "EACCES"), ("plain", 126, "EACCES"), ("./plain/x", 126, "ENOTDIR")],
)  # fmt: skip
def test_what_cannot_be_executed(
    agent: FakeAgent, ctl: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, program: str, status: int, code: str
) -> None:
    (tmp_path / "plain").write_text("no program")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    found, out, err = ctl("run", "--json", "--", program, cwd=tmp_path)
    assert (found, json.loads(out)["error"]["code"]) == (status, code)
    assert err.startswith("containerctl: c")
    assert err.count("\n") == 1
    assert agent.containers == {"/taken"}


def test_a_script_without_its_first_line_is_the_shells(agent: FakeAgent, ctl: Run, tmp_path: Path) -> None:
    (tmp_path / "script").write_text("echo $1; exit 5\n")
    (tmp_path / "script").chmod(0o755)
    status, out, _err = ctl("run", "--", "./script", "a b", cwd=tmp_path)
    assert (status, out) == (5, "a b\n")


def assert_125(done: tuple[int, str, str], text: str) -> None:
    status, out, err = done
    assert (status, out) == (125, "")
    assert err.startswith("containerctl: ")
    assert err.count("\n") == 1
    assert text in err


def test_125_without_an_agent(ctl: Run) -> None:
    assert_125(ctl("run", "--", "echo", "must not run"), "the agent is not running")


def test_125_when_the_name_is_taken(agent: FakeAgent, ctl: Run) -> None:
    assert_125(ctl("run", "--name", "taken", "--", "echo", "must not run"), "/taken exists already")
    assert agent.containers == {"/taken"}
    assert agent.seen == ["create"]


def test_125_when_attaching_is_refused(agent: FakeAgent, ctl: Run) -> None:
    agent.refuse["attach"] = (403, "EACCES")
    assert_125(ctl("run", "--", "echo", "must not run"), "attach refused\n")
    assert agent.containers == {"/taken"}


def test_125_says_what_is_left_behind(agent: FakeAgent, ctl: Run) -> None:
    agent.refuse["attach"] = agent.refuse["remove"] = (500, "EIO")
    done = ctl("run", "--name", "job", "--", "echo", "must not run")
    assert_125(done, "attach refused; the container /job is left behind")


def test_125_when_cut_off_while_creating(agent: FakeAgent, ctl: Run) -> None:
    """It may have been created: an invented name is removed again, somebody's own name is not."""
    agent.hang_up.add("create")
    assert_125(ctl("run", "--", "echo", "must not run"), "hung up")
    assert agent.containers == {"/taken"}
    assert_125(ctl("run", "--name", "taken", "--", "echo", "must not run"), "hung up")
    assert agent.containers == {"/taken"}


@pytest.mark.parametrize("step", ["read", "kill", "remove"])
def test_an_agent_that_dies_meanwhile(agent: FakeAgent, ctl: Run, step: str) -> None:
    agent.hang_up |= {"read": {"read", "kill", "remove"}, "kill": {"kill", "remove"}, "remove": {"remove"}}[step]
    status, out, err = ctl("run", "--json", "--name", "job", "--", "sh", "-c", "exit 7")
    assert status == 7
    assert err.startswith("containerctl: warning: ")
    assert err.count("\n") == 1
    assert "the container /job is left behind" in err
    assert ("the report is missing" in err) == (step == "read")
    report = json.loads(out)
    assert list(report) == REPORT_KEYS
    assert report["peak_pages"] == (None if step == "read" else 512)
    status, out, err = ctl("run", "--", "sh", "-c", "exit 7")
    assert (status, out) == (7, "")
    assert len(err.splitlines()) == (1 if step == "read" else 10)


def test_a_container_that_somebody_removed_meanwhile(agent: FakeAgent, ctl: Run) -> None:
    agent.refuse["read"] = agent.refuse["remove"] = (404, "ENOENT")
    status, _out, err = ctl("run", "--", "sh", "-c", "exit 7")
    assert (status, err) == (7, "containerctl: warning: the report is missing: read refused\n")


def wait_for(path: Path) -> None:
    deadline = time.monotonic() + 20
    while not path.exists():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT])
def test_signals_are_forwarded(agent: FakeAgent, start: Start, tmp_path: Path, number: signal.Signals) -> None:
    script = f"trap 'exit 9' {number.name[3:]}; touch ready; while :; do sleep 0.05; done"
    with start("run", "--", "sh", "-c", script, cwd=tmp_path) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(signal.SIGINT)  # ours to ignore
        process.send_signal(number)
        process.communicate(timeout=20)
    assert process.returncode == 9
    assert agent.containers == {"/taken"}


def test_ctrl_c_ends_the_command_and_the_report_comes_all_the_same(
    agent: FakeAgent, start: Start, tmp_path: Path
) -> None:
    script = ["sh", "-c", "touch ready; exec sleep 60"]
    with start("run", "--json", "--", *script, cwd=tmp_path, process_group=0) as process:
        wait_for(tmp_path / "ready")
        os.killpg(process.pid, signal.SIGINT)
        out, err = process.communicate(timeout=20)
    assert (process.returncode, err, json.loads(out)["signal"]) == (130, "", "SIGINT")
    assert agent.containers == {"/taken"}


def test_stopping_and_going_on(agent: FakeAgent, start: Start, tmp_path: Path) -> None:
    with start("run", "--", "sh", "-c", "touch ready; read line; exit 4", cwd=tmp_path, stdin=-1) as process:
        wait_for(tmp_path / "ready")
        process.send_signal(signal.SIGSTOP)
        time.sleep(0.05)
        process.send_signal(signal.SIGCONT)
        process.communicate("line\n", timeout=20)
    assert process.returncode == 4


def test_the_command_gets_its_signals_and_process_group_as_we_got_them(agent: FakeAgent, ctl: Run) -> None:
    script = (
        "sed -n 's/^Sig\\(Blk\\|Ign\\).//p' /proc/self/status; cut -d' ' -f5 /proc/self/stat; ls /proc/self/fd | wc -l"
    )
    plain = subprocess.run(["sh", "-c", script], capture_output=True, text=True, check=True).stdout
    _status, out, _err = ctl("run", "--", "sh", "-c", script)
    assert out == plain
    assert out.split()[2] == str(os.getpgrp())


def test_what_is_ignored_stays_ignored(agent: FakeAgent, ctl: Run) -> None:
    def ignore() -> None:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGCHLD, signal.SIG_IGN)

    script = "grep SigIgn /proc/self/status; kill -HUP $$; kill -INT $$; exit 6"
    status, out, _err = ctl("run", "--", "sh", "-c", script, preexec_fn=ignore)
    assert status == 6
    assert int(out.split()[1], 16) & 0b11 == 0b11


def test_nobody_reads_the_report(agent: FakeAgent, ctl: Run) -> None:
    ours, theirs = os.pipe()
    os.close(ours)
    assert ctl("run", "--json", "--", "sh", "-c", "exit 8", stdout=theirs)[0] == 8
    assert ctl("run", "--", "sh", "-c", "exit 8", stderr=theirs)[0] == 8
    os.close(theirs)
    assert agent.containers == {"/taken"}
