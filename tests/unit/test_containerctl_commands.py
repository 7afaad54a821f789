# SPDX-License-Identifier: Apache-2.0
"""Command lines come in; a fake agent notes what it is asked and answers from a dict; texts, JSON, statuses go out."""

import json
import os
import pty
import re
import socket
import socketserver
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

import containerctl

SOURCE = Path(containerctl.__file__).parent.parent
WEB: dict[str, Any] = {
    "name": "/web", "cgroup": "/containers/web", "id": 1234, "managed": True, "state": "live", "page_size": 4096,
    "engine": {"tasks": "tracepoint", "pages": "tracepoint"}, "limit_mode": {"tasks": None, "pages": None},
    "notify_on_release": False, "partial_pages": False, "num_tasks": 1, "num_anon_pages": 10, "num_file_pages": 3,
    "num_shmem_pages": 0, "num_mapped_pages": None, "task_limit": None, "peak_tasks": 2, "peak_pages": 256, "forks": 0,
    "local": {"num_tasks": 1, "num_anon_pages": 5, "num_mapped_pages": None},
}  # fmt: skip
ODD = {**WEB, "name": "/odd\x1b[31m[red]\n", "managed": False, "partial_pages": True, "num_tasks": None}
DOCTOR = {
    "checks": [
        {"name": "btf", "status": "yes", "detail": "/sys/kernel/btf/vmlinux", "hint": None},
        {"name": "fentry", "status": "no", "detail": "refused", "hint": "boot with another kernel"},
    ],
    "version": "0.1.0",
    "engine": {"tasks": "tracepoint", "pages": "tracepoint"},
    "slots": {"size": 16384, "used": 3},
    "lost": {"tasks": 0},
}
FILE = {"path": "/lib/a.so", "container": "/web", "device": "254:0", "inode": 23, "cached_pages": 3, "removed": False}
FILES = {
    "name": "/web",
    "page_size": 4096,
    "files": [
        FILE,
        FILE | {"path": "/b", "removed": True},
        FILE | {"path": "/c\n", "cached_pages": None, "removed": None},
    ],
}
FILES_SHOWN = (
    "PATH         CACHED  DEVICE  INODE  NOTE\n"
    "/lib/a.so  12.0 KiB   254:0     23\n"
    "/b         12.0 KiB   254:0     23  removed, in use\n"
    "/c\\x0a            -   254:0     23  not in memory\n"
)
Answers = dict[str, tuple[int, Any]]


class FakeAgent(socketserver.ThreadingUnixStreamServer):
    """Answers "METHOD target" with what `answers` holds; bytes go out as they are, and None hangs up."""

    daemon_threads = True

    def __init__(self, path: Path) -> None:
        super().__init__(str(path), _Handler)
        self.answers: Answers = {}
        self.asked: list[tuple[str, Any]] = []


class _Handler(BaseHTTPRequestHandler):
    server: FakeAgent

    def _answer(self) -> None:
        length = int(self.headers.get("Content-Length", 0))
        request = f"{self.command} {self.path}"
        self.server.asked.append((request, json.loads(self.rfile.read(length)) if length else None))
        missing = (404, {"error": {"code": "ENOENT", "message": f"no answer for {request}"}})
        status, answer = self.server.answers.get(request, missing)
        if answer is None:
            return
        text = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
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


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def ctl(tmp_path: Path) -> Run:
    def run(*arguments: str, columns: int = 200, **options: Any) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "containerctl", *arguments]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE), "CONTAINERAGENT_SOCKET": str(tmp_path / "agent.sock")}
        environment |= {"COLUMNS": str(columns)}
        settings = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True, "timeout": 30, **options}
        return subprocess.run(command, env=environment, check=False, **settings)

    return run


HAPPY: list[tuple[list[str], str, Any, Any, str]] = [
    (["create", "web"], "POST /v1/containers", {"name": "/web", "parents": False}, WEB, ""),
    (["create", "--parents", "/a/b"], "POST /v1/containers", {"name": "/a/b", "parents": True}, WEB, ""),
    (
        ["create", "--no-notify-on-release", "--remove-on-release", "web"],
        "POST /v1/containers",
        {"name": "/web", "parents": False, "notify_on_release": False, "remove_on_release": True},
        WEB,
        "",
    ),
    (["rename", "web", "/www"], "POST /v1/container/rename?name=%2Fweb", {"to": "/www"}, WEB, ""),
    (["notify", "web", "on"], "POST /v1/container/notify?name=%2Fweb", {"notify_on_release": True}, WEB, ""),
    (
        ["notify", "/", "off", "--no-remove-on-release"],
        "POST /v1/container/notify?name=%2F",
        {"notify_on_release": False, "remove_on_release": False},
        WEB,
        "",
    ),
    (["rm", "web"], "DELETE /v1/container?name=%2Fweb&recursive=false", None, {"removed": ["/web"]}, ""),
    (["rm", "--recursive", "a b"], "DELETE /v1/container?name=%2Fa%20b&recursive=true", None, {"removed": []}, ""),
    (["file", "ls", "web"], "GET /v1/container/files?name=%2Fweb", None, FILES, FILES_SHOWN),
    (["tasks", "web"], "GET /v1/container/tasks?name=%2Fweb", None, [3, 23], "3\n23\n"),
    (["tasks", "/empty"], "GET /v1/container/tasks?name=%2Fempty", None, [], ""),
    (["ls"], "GET /v1/containers?all=false", None, [], "NAME  TASKS  ANON  FILE  SHMEM  PEAK-TASKS  PEAK-MEM\n"),
    (
        ["attach", "web", "5", "6"],
        "POST /v1/container/tasks?name=%2Fweb",
        {"pids": [5, 6], "move": True},
        {"attached": [5, 6]},
        "",
    ),
    (
        ["attach", "--no-move", "web", "0"],
        "POST /v1/container/tasks?name=%2Fweb",
        {"pids": [os.getpid()], "move": False},
        {"attached": [os.getpid()]},
        "",
    ),
    (
        ["set", "web", "cpuset.cpus=0-1", "door.note=a=b", "x="],
        "POST /v1/container/attributes?name=%2Fweb",
        {"attributes": {"cpuset.cpus": "0-1", "door.note": "a=b", "x": ""}},
        WEB,
        "",
    ),
    (["detach", "5", "6"], "POST /v1/detach", {"pids": [5, 6]}, {"detached": [5, 6]}, ""),
    (["which", "5"], "GET /v1/task?pid=5", None, {"pid": 5, "name": "/web", "cgroup": "/containers/web"}, "5 /web\n"),
    (
        ["which", "5"],
        "GET /v1/task?pid=5",
        None,
        {"pid": 5, "name": None, "cgroup": "/init\n"},
        "5 /init\\x0a (not managed)\n",
    ),
]


@pytest.mark.parametrize(("arguments", "request_line", "body", "answer", "text"), HAPPY)
def test_a_command_asks_and_shows(
    agent: FakeAgent, ctl: Run, *, arguments: list[str], request_line: str, body: Any, answer: Any, text: str
) -> None:
    agent.answers[request_line] = (200, answer)
    for line in (arguments, ["--json", *arguments], [*arguments, "--json"]):
        done = ctl(*line)
        assert (done.returncode, done.stderr) == (0, "")
        assert agent.asked.pop() == (request_line, body)
        if "--json" in line:
            assert json.loads(done.stdout) == answer
        else:
            assert done.stdout == text


def test_ls_table(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/containers?all=true"] = (200, [WEB, ODD])
    done = ctl("ls", "--all")
    assert (done.returncode, done.stderr) == (0, "")
    header, web, odd, footnote = done.stdout.splitlines()
    assert header.split() == ["NAME", "TASKS", "ANON", "FILE", "SHMEM", "PEAK-TASKS", "PEAK-MEM", "MANAGED", "WORKLOAD"]
    assert web.split() == ["/web", "1", "40.0", "KiB", "12.0", "KiB", "0", "B", "2", "1.0", "MiB", "yes", "-"]
    assert odd.split()[:4] == [r"/odd\x1b[31m[red]\x0a", "-", "~40.0", "KiB"]
    assert footnote.startswith("~ ")
    assert json.loads(ctl("ls", "--all", "--json").stdout) == [WEB, ODD]


def test_tables_on_a_terminal(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/containers?all=true"] = (200, [WEB, ODD])
    agent.answers["GET /v1/doctor"] = (200, DOCTOR)
    for arguments, expected in ((["ls", "--all"], [r"/odd\x1b[31m[red]\x0a", "~40.0 KiB"]), (["doctor"], ["fentry"])):
        ours, theirs = pty.openpty()
        assert ctl(*arguments, stdout=theirs).returncode == 0
        os.close(theirs)
        shown = os.read(ours, 100_000).decode()
        os.close(ours)
        assert all(text in shown for text in expected), shown


def test_a_terminal_that_is_too_narrow(agent: FakeAgent, ctl: Run) -> None:
    """A row's texts come before its numbers, and none is folded into a column that nobody can read."""
    agent.answers["GET /v1/containers?all=true"] = (200, [{**WEB, "name": "/" + "a" * 60}])
    ours, theirs = pty.openpty()
    assert ctl("ls", "--all", columns=80, stdout=theirs).returncode == 0
    os.close(theirs)
    shown = re.sub(r"\x1b\[[0-9;]*m", "", os.read(ours, 100_000).decode()).splitlines()
    os.close(ours)
    assert [line.split() for line in shown[:2]] == [
        ["NAME", "MANAGED", "WORKLOAD"],
        ["TASKS", "ANON", "FILE", "SHMEM", "PEAK-TASKS", "PEAK-MEM"],
    ]
    assert shown[2] == "/" + "a" * 60 + "  yes  -" and shown[3].split()[:3] == ["1", "40.0", "KiB"]
    assert len(shown[1]) == len(shown[3]) <= 80


def test_wide_names_in_a_pipe(agent: FakeAgent, ctl: Run) -> None:
    """Columns stay below each other where a character takes two of a terminal's, or none."""
    names = ("/数据库", "/e\u0301te\u0301", "/größe", "/web")
    agent.answers["GET /v1/containers?all=false"] = (200, [{**WEB, "name": name} for name in names])
    _, *lines = ctl("ls").stdout.splitlines()
    gaps = [line.removeprefix(name).index("1") for name, line in zip(names, lines, strict=True)]
    assert [gap + width for gap, width in zip(gaps, (7, 4, 6, 4), strict=True)] == [gaps[3] + 4] * 4


def test_show(agent: FakeAgent, ctl: Run) -> None:
    web = {**WEB, "attributes": {"cpu.usage_seconds": 0.25, "cpuset.cpus": None, "x.text": "a\x1bb"}}
    agent.answers["GET /v1/container?name=%2Fweb"] = (200, web)
    lines = dict(line.split("  ", 1) for line in ctl("show", "web").stdout.splitlines())
    shown = {key: text.strip() for key, text in lines.items()}
    assert shown["name"] == "/web"
    assert shown["engine"] == "tasks tracepoint, pages tracepoint"
    assert shown["num_tasks"] == "1"
    assert shown["num_anon_pages"] == "40.0 KiB"
    assert shown["num_mapped_pages"] == "-"
    assert shown["notify_on_release"] == "no"
    assert shown["local num_anon_pages"] == "20.0 KiB"
    assert (shown["cpu.usage_seconds"], shown["cpuset.cpus"], shown["x.text"]) == ("0.25", "-", "a\\x1bb")
    assert json.loads(ctl("show", "web", "--json").stdout) == web


def _audited(**line: Any) -> list[dict[str, Any]]:
    known = {"counter": "num_anon_pages", "ours": 9, "kernel": 9, "difference": 0, "source": "memory.stat"}
    return [{"name": "/web", "counters": [{**known, "moving": False, "age_seconds": None, **line}]}]


@pytest.mark.parametrize(
    ("line", "row", "status"),
    [
        ({}, "/web num_anon_pages 9 9 0 memory.stat", 0),
        ({"ours": 32, "difference": 23}, "/web num_anon_pages 32 9 +23 memory.stat", 1),
        ({"ours": 8, "difference": -1}, "/web num_anon_pages 8 9 -1 memory.stat", 1),
        ({"ours": 8, "difference": -1, "moving": True}, "/web num_anon_pages 8 9 -1 memory.stat moving", 0),
        (
            {"ours": 8, "difference": -1, "age_seconds": 12.3},
            "/web num_anon_pages 8 9 -1 memory.stat ours is 12 s old",
            0,
        ),
        ({"kernel": None, "difference": None, "source": None}, "/web num_anon_pages 9 - - -", 0),
    ],
)
def test_audit(agent: FakeAgent, ctl: Run, line: dict[str, Any], row: str, status: int) -> None:
    """1 says that counters are wrong: not that they moved, are old, or are unknown."""
    agent.answers["GET /v1/audit?name=%2Fweb"] = 200, _audited(**line)
    done = ctl("audit", "web")
    header, shown = done.stdout.splitlines()
    assert (done.returncode, " ".join(shown.split())) == (status, row)
    assert header.split() == "CONTAINER COUNTER OURS KERNEL DIFFERENCE SOURCE NOTE".split()
    done = ctl("audit", "web", "--json")
    assert (done.returncode, json.loads(done.stdout)) == (status, _audited(**line))


def test_audit_of_several(agent: FakeAgent, ctl: Run) -> None:
    """All containers, or all cgroups."""
    agent.answers = {"GET /v1/audit?all=false": (200, []), "GET /v1/audit?all=true": (200, _audited() + _audited())}
    assert ctl("audit").stdout.startswith("CONTAINER") and len(ctl("audit", "--all").stdout.splitlines()) == 3


def test_task_stats(agent: FakeAgent, ctl: Run) -> None:
    task = {"tid": 3, "comm": "a\tb", "user_seconds": 1.5, "blkio_delay_seconds": None, "peak_rss_bytes": 2048}
    answer = {"tasks": [task, {**task, "tid": 23, "comm": "sleep"}], "hints": ["switch it on"]}
    agent.answers["GET /v1/container/tasks?name=%2Fweb&stats=true"] = (200, answer)
    lines = ctl("tasks", "web", "--stats").stdout.splitlines()
    assert lines[0].split()[:3] == ["TID", "COMM", "USER"]
    assert lines[1].split()[:6] == ["3", "a\\x09b", "1.500", "s", "-", "-"] and "2.0 KiB" in lines[1]
    assert lines[2].startswith(" 23") and lines[-2:] == ["", "switch it on"]
    assert json.loads(ctl("tasks", "web", "--stats", "--json").stdout) == answer


def test_doctor(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/doctor"] = (200, DOCTOR)
    done = ctl("doctor")
    assert (done.returncode, done.stderr) == (0, "")
    assert [line.split()[:2] for line in done.stdout.splitlines()[:4]] == [
        ["CHECK", "STATUS"], ["agent", "yes"], ["btf", "yes"], ["fentry", "no"],
    ]  # fmt: skip
    assert "\nfentry: boot with another kernel\n" in done.stdout
    document = json.loads(ctl("doctor", "--json").stdout)
    assert [check["name"] for check in document.pop("checks")] == ["agent", "btf", "fentry"]
    assert document == {key: found for key, found in DOCTOR.items() if key != "checks"}


def test_doctor_without_an_agent(ctl: Run) -> None:
    done = ctl("doctor")
    assert done.returncode == 1
    assert done.stdout.splitlines()[1].split()[:2] == ["agent", "no"]
    assert_one_line(done, "the agent is not running")
    document = json.loads(ctl("--json", "doctor").stdout)
    assert [(check["name"], check["status"]) for check in document["checks"]] == [("agent", "no")]
    assert document["error"]["code"] == "ECONNREFUSED"


def assert_one_line(done: subprocess.CompletedProcess[str], text: str) -> None:
    assert done.stderr.startswith("containerctl: ")
    assert done.stderr.count("\n") == 1
    assert text in done.stderr


def assert_fails(ctl: Run, text: str, code: str, status: int = 1, *arguments: str) -> None:
    line = arguments or ("show", "web")
    done = ctl(*line)
    assert (done.returncode, done.stdout) == (status, "")
    assert_one_line(done, text)
    done = ctl("--json", *line)
    assert done.returncode == status
    assert_one_line(done, text)
    error = json.loads(done.stdout)["error"]
    assert error["code"] == code
    assert text in error["message"]


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "EINVAL"), (403, "EACCES"), (404, "ENOENT"), (409, "EBUSY"), (507, "ENOSPC"), (500, "EIO")],
)
def test_what_the_agent_refuses(agent: FakeAgent, ctl: Run, status: int, code: str) -> None:
    error = {"error": {"code": code, "message": "refused: \x1b[31m why\nwhat to do"}}
    agent.answers["GET /v1/container?name=%2Fweb"] = (status, error)
    done = ctl("show", "web")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "containerctl: refused: \\x1b[31m why what to do\n"
    assert json.loads(ctl("show", "web", "--json").stdout)["error"]["code"] == code


@pytest.mark.parametrize(
    ("status", "answer", "code", "text"),
    [
        (200, b"<html>", "EPROTO", "without JSON"),
        (500, b"", "EPROTO", "HTTP status 500 without JSON"),
        (500, {"detail": 1}, "EPROTO", "HTTP status 500 without a reason"),
        (200, [1], "EPROTO", "gave no JSON object"),
        (200, None, "ECONNRESET", "hung up"),
    ],
)
def test_strange_answers(agent: FakeAgent, ctl: Run, *, status: int, answer: Any, code: str, text: str) -> None:
    agent.answers["GET /v1/container?name=%2Fweb"] = (status, answer)
    assert_fails(ctl, text, code)


def test_a_list_of_the_wrong_kind(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/containers?all=false"] = (200, [1])
    assert_fails(ctl, "gave no JSON list of the right kind", "EPROTO", 1, "ls")


@pytest.mark.parametrize(
    ("raw", "code", "text"),
    [
        (b"", "ECONNRESET", "hung up"),
        (b"SSH-2.0-x\r\n", "EPROTO", "no HTTP"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{", "ECONNRESET", "hung up"),
    ],
)
def test_no_agent_at_the_socket(tmp_path: Path, ctl: Run, raw: bytes, code: str, text: str) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
        listener.listen()

        def serve() -> None:
            for _ in range(2):
                peer, _address = listener.accept()
                with peer:
                    peer.recv(10_000)
                    peer.sendall(raw)

        thread = threading.Thread(target=serve)
        thread.start()
        assert_fails(ctl, text, code)
        thread.join()


def test_no_socket(tmp_path: Path, ctl: Run) -> None:
    text = f"the agent is not running (no socket {tmp_path}/agent.sock); start the agent with: systemctl start"
    assert_fails(ctl, text, "ECONNREFUSED")


def test_stale_socket(tmp_path: Path, ctl: Run) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
    assert_fails(ctl, f"nobody listens on {tmp_path}/agent.sock", "ECONNREFUSED")


def test_socket_path_too_long(ctl: Run) -> None:
    assert_fails(ctl, "cannot reach the agent", "EIO", 1, "--socket", "/x" * 60, "ls")


def test_no_permission(agent: FakeAgent, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """In this process: root may open any socket, so the refusal is made up."""
    from containerctl.client import Client, Failure

    def refuse(_self: socket.socket, _address: str) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    path = tmp_path / "agent.sock"
    for mode, text in ((0o660, "the group"), (0o600, "alone; use sudo")):
        path.chmod(mode)
        with pytest.raises(Failure) as caught:
            Client(str(path)).document("GET", "/v1/doctor")
        assert caught.value.code == "EACCES"
        assert f"no permission to use {path}: it is for " in caught.value.message
        assert text in caught.value.message


def test_an_agent_that_does_not_answer(tmp_path: Path) -> None:
    from containerctl.client import Client, Failure

    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
        listener.listen(0)
        # The first waits for its answer, the second for its place in the backlog.
        for _ in range(2):
            with pytest.raises(Failure) as caught:
                Client(str(tmp_path / "agent.sock"), 0.1).document("GET", "/v1/doctor")
            assert caught.value.code == "ETIMEDOUT"
            assert "did not answer within 0.1 seconds" in caught.value.message


@pytest.mark.parametrize(
    ("arguments", "text", "hint"),
    [
        ([], "Missing command", "see containerctl --help"),
        (["nosuch"], "nosuch", "see containerctl --help"),
        (["lim"], "lim", "see containerctl --help"),
        (["create"], "Missing argument 'NAME'", "see containerctl create --help"),
        (["create", "a", "b"], "unexpected extra argument", "see containerctl create --help"),
        (["create", "--quota", "1G", "a"], "--quota", "see containerctl create --help"),
        (["rename", "web"], "Missing argument 'NEW'", "see containerctl rename --help"),
        (["notify", "web"], "Missing argument '{on|off}'", "see containerctl notify --help"),
        (["rm", ""], "cannot be empty", "see containerctl rm --help"),
        (["attach", "web"], "Missing argument 'PID...'", "see containerctl attach --help"),
        (["attach", "web", "x"], "'x' is not a task's id", "see containerctl attach --help"),
        (["attach", "web", "-5"], "-5", "see containerctl attach --help"),
        (["detach", "--", "-5"], "'-5' is not a task's id", "see containerctl detach --help"),
        (["set", "web"], "Missing argument 'KEY=VALUE...'", "see containerctl set --help"),
        (["set", "web", "x"], "'x' is not KEY=VALUE", "see containerctl set --help"),
        (["set", "web", "=1"], "'=1' is not KEY=VALUE", "see containerctl set --help"),
        (["set", "web", "x=1", "x=2"], "x is given twice", "see containerctl set --help"),
        (["run"], "Missing argument 'COMMAND...'", "see containerctl run --help"),
    ],
)
def test_wrong_usage(ctl: Run, arguments: list[str], text: str, hint: str) -> None:
    done = ctl(*arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert_one_line(done, text)
    assert done.stderr.endswith(f"; {hint}\n")
    done = ctl("--json", *arguments)
    assert json.loads(done.stdout)["error"]["code"] == "EINVAL"


def test_help_ends_with_examples_and_version_is_told(ctl: Run) -> None:
    from containerctl.main import COMMANDS

    for command in COMMANDS:
        done = ctl(command, "--help")
        assert done.returncode == 0
        examples = done.stdout.partition("\n  Examples:\n")[2].splitlines()
        assert 1 <= len(examples) <= 3
        assert all(example.startswith(f"    containerctl {command}") for example in examples)
    assert ctl("--version").stdout == f"containerctl {containerctl.__version__}\n"


@pytest.mark.parametrize("arguments", [["show", "--json", "web"], ["show", "web"], ["ls"]])
def test_what_is_imported(agent: FakeAgent, tmp_path: Path, arguments: list[str]) -> None:
    agent.answers["GET /v1/container?name=%2Fweb"] = (200, WEB)
    agent.answers["GET /v1/containers?all=false"] = (200, [WEB])
    line = ["--socket", str(tmp_path / "agent.sock"), *arguments]
    script = (
        "import sys; from containerctl import main; status = main._status(sys.argv[1:]); assert status == 0;"
        "print(*(name.partition('.')[0] for name in sys.modules), file=sys.stderr)"
    )
    command = [sys.executable, "-c", script, *line]
    done = subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, capture_output=True, text=True, check=True)
    assert not {"numpy", "bcc", "containeragent", "rich"} & set(done.stderr.split())


def test_nobody_reads_the_output(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/containers?all=false"] = (200, [WEB] * 1000)
    ours, theirs = os.pipe()
    os.close(ours)
    done = ctl("ls", stdout=theirs)
    os.close(theirs)
    assert done.stderr == ""


def test_a_full_disk(agent: FakeAgent, ctl: Run) -> None:
    agent.answers["GET /v1/containers?all=false"] = (200, [WEB])
    with open("/dev/full", "w") as full:
        done = ctl("ls", stdout=full)
    assert done.returncode == 1
    assert_one_line(done, "cannot write the output: No space left on device")


def test_a_locale_without_the_letters(agent: FakeAgent, tmp_path: Path) -> None:
    agent.answers["GET /v1/containers?all=false"] = (200, [{**WEB, "name": "/漢"}])
    command = [sys.executable, "-m", "containerctl", "--socket", str(tmp_path / "agent.sock"), "ls"]
    environment = {"PYTHONPATH": str(SOURCE), "PYTHONIOENCODING": "iso-8859-1"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert "/\\u6f22" in done.stdout


def test_ctrl_c(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "agent.sock"))
        listener.listen()
        command = [sys.executable, "-m", "containerctl", "--socket", str(tmp_path / "agent.sock"), "ls"]
        environment = {**os.environ, "PYTHONPATH": str(SOURCE)}
        with subprocess.Popen(command, env=environment, stdout=-1, stderr=-1, text=True) as process:
            peer, _address = listener.accept()
            peer.recv(10_000)
            process.send_signal(2)
            out, err = process.communicate(timeout=10)
        peer.close()
    assert (process.returncode, out, err.strip()) == (130, "", "")


def test_it_runs_uninstalled_from_any_folder() -> None:
    command = [sys.executable, "-m", "containerctl", "--version"]
    assert subprocess.run(command, env={"PYTHONPATH": str(SOURCE)}, cwd="/", check=True, capture_output=True).stdout


def test_files_come_and_go(agent: FakeAgent, ctl: Run) -> None:
    """One request a file, all in one document; what cannot be opened can still be removed by its path, not added."""
    files = "/v1/container/files?name=%2Fweb"
    agent.answers |= {
        f"POST {files}": (200, FILE),
        f"DELETE {files}&path=%2Fno%2Fsuch": (200, {"path": "/no/such"}),
        f"DELETE {files}&path=%2Fdev%2Fnull": (200, {"path": "/dev/null"}),
    }
    assert json.loads(ctl("--json", "file", "add", "web", "/proc/self/exe", "/").stdout) == [FILE, FILE]
    removed = ctl("--json", "file", "rm", "web", "/no/such", "/dev/null")
    assert json.loads(removed.stdout) == [{"path": "/no/such"}, {"path": "/dev/null"}]
    asked = len(agent.asked)
    missing = ctl("file", "add", "web", "/no/such")
    assert (missing.returncode, missing.stderr) == (
        1,
        "containerctl: file /no/such cannot be opened: no such file or directory\n",
    )
    assert ctl("file").returncode == 2 and len(agent.asked) == asked
