# SPDX-License-Identifier: Apache-2.0
"""What somebody puts in the place of config.toml, of the web configuration file and of what that names: one line each,
at once, and exit status 1.
"""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import bcrypt
import pytest
import trustme
from hypothesis import given, strategies as st

from containeragent import config, main as command, small_file, trust
from containeragent.errors import Refused
from containeragent.web import reading, tls
from containeragent.web.file import Tls, WebConfig, parse

HASH = bcrypt.hashpw(b"x", bcrypt.gensalt(4)).decode()
USERS = f"basic_auth_users: {{alice: {HASH}}}\n"


def _socket(path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(path))


def _link(target: str) -> Callable[[Path], None]:
    return lambda path: path.symlink_to(target)


def _linked_fifo(path: Path) -> None:
    os.mkfifo(f"{path}.fifo")
    path.symlink_to(f"{path}.fifo")


def _bytes(raw: bytes) -> Callable[[Path], None]:
    def put(path: Path) -> None:
        path.write_bytes(raw)

    return put


def _sparse(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(100 << 30)


def _shared(path: Path) -> None:
    path.touch()
    path.chmod(0o666)


def _unsafe_folder(path: Path) -> None:
    folder = path.parent / "for all"
    folder.mkdir()
    folder.chmod(0o777)
    (folder / "file").touch()
    path.symlink_to("for all/file")


def _below_a_file(path: Path) -> None:
    path.with_name("plain").touch()
    path.symlink_to("plain/file")


HOSTILE: dict[str, tuple[Callable[[Path], object], str]] = {
    "fifo": (os.mkfifo, "it is not a regular file"),
    "folder": (Path.mkdir, "it is not a regular file"),
    "socket": (_socket, "cannot be read: no such device or address"),
    "device": (_link("/dev/zero"), "it is not a regular file"),
    "terminal": (_link("/dev/tty"), ""),
    "link to a fifo": (_linked_fifo, "it is not a regular file"),
    "link that leads nowhere": (_link("none"), ""),
    "loop": (lambda path: path.symlink_to(path.name), "cannot be read: too many levels of symbolic links"),
    "below a file": (_below_a_file, "cannot be read: not a directory"),
    "huge": (_sparse, "it has more than 1 MiB"),
    "endless": (_link("/proc/kcore"), ""),
    "of all": (_shared, "others than root may write it; chown root {} && chmod go-w {}"),
    "in a folder of all": (_unsafe_folder, "/for all, which it is in"),
    "latin-1": (_bytes(b"# gr\xf6\xdfe\n"), "this is not UTF-8"),
    "nul": (_bytes(b"\0"), ""),
    "nul within": (_bytes(b"a = 1\n\0\n"), ""),
    "UTF-16": (_bytes("slots = 99\n".encode("utf-16")), "this is not UTF-8"),
    "a program": (_bytes(b"\x7fELF\x02\x01\x01" + bytes(range(256))), ""),
    "brackets": (_bytes(b"a = " + b"[" * 900_000), ""),
    "escapes": (_bytes(b'"\\u001b[31m\\n" = 1\n"\\e[31m": 1\n'), ""),
}


def _checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """Exit status of `containeragent check`, and its one line."""
    monkeypatch.setattr(sys, "argv", ["containeragent", "check", "--definitions", "", *arguments])
    with pytest.raises(SystemExit) as caught:
        command.main()
    said = capsys.readouterr().err
    assert said.count("\n") == (1 if caught.value.code else 0) and said.rstrip("\n").isprintable()
    return int(caught.value.code or 0), said


@pytest.mark.seconds(60)
@pytest.mark.parametrize("kind", HOSTILE)
@pytest.mark.parametrize("option", ["--config", "--web-config-file"])
def test_in_the_place_of_a_file(
    option: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Named by a flag; the line names it."""
    put, why = HOSTILE[kind]
    file = tmp_path / "file"
    put(file)
    status, said = _checked(monkeypatch, capsys, option, str(file))
    assert status == 1 and str(file) in said and why.replace("{}", str(file)) in said


@pytest.mark.parametrize("kind", [kind for kind in HOSTILE if kind not in ("latin-1", "UTF-16")])
@pytest.mark.parametrize("which", ["cert_file", "key_file", "client_ca_file"])
def test_in_the_place_of_a_certificate(
    which: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Or of a key."""
    file = tmp_path / f"{which}.pem"
    HOSTILE[kind][0](file)
    made = trustme.CA().issue_cert("localhost")
    for name, pem in (("cert_file", made.cert_chain_pems[0]), ("key_file", made.private_key_pem)):
        if name != which:
            pem.write_to_path(tmp_path / f"{name}.pem")
    web = tmp_path / "web.yml"
    web.write_text(
        "tls_server_config: {cert_file: cert_file.pem, key_file: key_file.pem, client_ca_file: client_ca_file.pem, "
        "client_auth_type: RequireAndVerifyClientCert}\n"
    )
    if which != "client_ca_file":
        made.cert_chain_pems[0].write_to_path(tmp_path / "client_ca_file.pem")
    status, said = _checked(monkeypatch, capsys, "--web-config-file", str(web))
    assert status == 1 and str(file) in said


def test_the_default_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Missing is well; a link that leads nowhere, or a folder that is closed, is not taken for that."""
    monkeypatch.setattr(config, "DEFAULT_FILE", tmp_path / "config.toml")
    assert config.read(None, {}) == config.Config()
    (tmp_path / "config.toml").symlink_to("none")
    with pytest.raises(Refused, match="is a link that leads nowhere; name another --config"):
        config.read(None, {})


def test_a_file_of_others_is_told_with_the_rest(tmp_path: Path) -> None:
    """Of `check`; nobody else obeys it."""
    file = tmp_path / "config.toml"
    file.write_text("slots = 1\n")
    file.chmod(0o666)
    found, mistakes = config.examine(file, {})
    assert [one.message.partition("; ")[0] for one in mistakes] == [
        f"{file}: others than root may write it",
        f"{file}:1: slots = 1 is not between 16 and 1048576",
    ]
    assert found.slots == 1
    with pytest.raises(Refused, match="others than root"):
        config.read(file, {})


def test_a_link_to_a_good_file(tmp_path: Path) -> None:
    """As Kubernetes makes it of a ConfigMap or a secret."""
    (tmp_path / "..2026").mkdir()
    (tmp_path / "..2026" / "config.toml").write_text("slots = 99\n")
    (tmp_path / "..2026" / "web.yml").write_text(USERS)
    (tmp_path / "..data").symlink_to("..2026")
    for name in ("config.toml", "web.yml"):
        (tmp_path / name).symlink_to(f"..data/{name}")
    assert config.read(tmp_path / "config.toml", {}).slots == 99
    assert reading.read(tmp_path / "web.yml")[0].users == {"alice": HASH}


@pytest.mark.parametrize("kind", HOSTILE)
def test_while_the_agent_runs(kind: str, tmp_path: Path) -> None:
    """Nobody is let in by what takes the web configuration's place, nor by what was before; then it is mended."""
    file = tmp_path / "web.yml"
    file.write_text(USERS)
    web = reading.Web(file)
    assert web.now()[0].users
    file.unlink()
    HOSTILE[kind][0](file)
    for _ in range(2):
        with pytest.raises(Refused):
            web.now()
    file.rmdir() if kind == "folder" else file.unlink()
    file.write_text(USERS)
    assert web.now()[0].users


def test_what_is_read_is_what_was_judged(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that is replaced between the two is not read."""
    file, other = tmp_path / "config.toml", tmp_path / "other"
    file.write_text("slots = 99\n")
    real = trust.distrust

    def replaced(path: Path, found: os.stat_result, **how: Any) -> str | None:
        other.write_text("slots = 23\n")
        other.rename(file)
        return real(path, found, **how)

    monkeypatch.setattr(trust, "distrust", replaced)
    assert config.read(file, {}).slots == 99
    assert config.read(file, {}).slots == 23


def test_size(tmp_path: Path) -> None:
    """To the byte."""
    file = tmp_path / "file"
    file.write_bytes(b"#" * small_file.MOST_BYTES)
    raw, found = small_file.read(file, follow=False)
    assert len(raw) == found.st_size == small_file.MOST_BYTES
    file.write_bytes(b"#" * (small_file.MOST_BYTES + 1))
    with pytest.raises(Refused, match="more than 1 MiB"):
        small_file.read(file, follow=False)


@pytest.mark.seconds(120)
@pytest.mark.parametrize("line", ["k{} = 1\n", "[k{}]\n"])
def test_a_file_full_of_mistakes(tmp_path: Path, line: str) -> None:
    """Lines are told of as many as is worth the time."""
    file = tmp_path / "config.toml"
    file.write_text("".join(line.format(number) for number in range(20_000)))
    _, mistakes = config.examine(file, {})
    assert len(mistakes) == 101 and mistakes[0].message.startswith(f"{file}:1: there is no key 'k0'")
    assert mistakes[99].message.startswith(f"{file}: there is no key 'k99'")
    assert mistakes[100].message == f"{file}: there are 19900 more keys that nobody knows"


def test_a_web_configuration_full_of_users(tmp_path: Path) -> None:
    """It is no work of squares."""
    text = "basic_auth_users:\n" + "".join(f"  user{number}: {HASH}\n" for number in range(10_000))
    assert len(parse(text, tmp_path).users) == 10_000


@pytest.mark.parametrize("key", ["definitions", "web_config_file", "release_agent", "cgroup_root", "bpffs", "socket"])
@pytest.mark.parametrize("value", ["/a\\u0000b", "a", "/\\u001b[31m"])
def test_odd_paths_in_it(
    key: str, value: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whatever they are for."""
    file = tmp_path / "config.toml"
    file.write_text(f'{key} = "{value}"\n')
    monkeypatch.setattr(sys, "argv", ["containeragent", "check", "--config", str(file)])
    with pytest.raises(SystemExit):
        command.main()
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) <= 1 and all(line.isprintable() for line in lines)


_TEXTS = st.sampled_from(["", "x", "/etc/passwd", "TLS12", "true", "1s", "\\0", "\\ud800", "\\e[1m", "\\n", HASH])
_WORDS = st.sampled_from(
    "tls_server_config http_server_config basic_auth_users rate_limit headers cert key client_ca cert_file key_file "
    "client_auth_type client_allowed_sans cipher_suites curve_preferences min_version interval burst http2 "
    "X-Frame-Options Strict-Transport-Security \\ud800 \\e[1m \\0".split()
)
_QUOTED = _TEXTS.map(lambda text: f'"{text}"')
_YAML = st.recursive(
    _QUOTED | st.sampled_from(["~", "&a x", "*a", "&b [*b]", "&c {x: *c}", "!!python/object:os.system x", "? [x]"]),
    lambda below: (
        st.lists(below, max_size=3).map(lambda some: "[" + ", ".join(some) + "]")
        | st.lists(st.tuples(_WORDS, below), max_size=4).map(
            lambda pairs: "{" + ", ".join(f'"{key}": {value}' for key, value in pairs) + "}"
        )
    ),
    max_leaves=12,
)


@given(_YAML | st.text(max_size=60))
def test_any_yaml_is_read_or_refused(text: str) -> None:
    """In one line, also the certificates in it."""
    try:
        found = parse(text, Path("/web.yml"))
        assert isinstance(found, WebConfig)
        if found.tls:
            tls.context(found.tls)
    except Refused as refused:
        assert refused.message.isprintable()


def test_pem_text_that_is_none(tmp_path: Path) -> None:
    """What stands for no byte, and text without a certificate."""
    for text in ("\ud800", "x", "\0"):
        with pytest.raises(Refused, match="the certificate and key of cert and key cannot be used"):
            tls.context(Tls(cert=text, key="x"))
    for file in ("/\ud800", "/a\0b"):
        with pytest.raises(Refused, match="no file can have this name"):
            tls.context(Tls(cert_file=file, key="x"))
