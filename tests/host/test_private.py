"""Folders, files and sockets of one user under every umask; files of others in their place."""

from __future__ import annotations

import os
import re
import selectors
import socket
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from rolehost import private
from rolehost.private import (
    NotPrivate,
    bind_private,
    check_socket,
    peer_user,
    private_file,
    private_folder,
    safe_folder,
)
from rolehost.supervisor import control
from rolehost.supervisor.plan import module_command

ROOT = Path(__file__).parents[2]

#: None, the usual two, and one that takes rights from the owner.
UMASKS = (0o000, 0o022, 0o077, 0o277)


@pytest.fixture(params=UMASKS, ids=oct)
def umask(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    before = os.umask(request.param)
    yield
    os.umask(before)


@pytest.fixture
def another_user(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make every existing file belong to another user."""
    monkeypatch.setattr(private.os, "geteuid", lambda: os.getuid() + 1)


def mode(path: Path) -> int:
    return stat.S_IMODE(path.lstat().st_mode)


def test_no_umask_changes_the_mode_of_created_files(umask: None, tmp_path: Path) -> None:
    folder = private_folder(tmp_path / "a")
    sheltered = safe_folder(tmp_path / "b" / "c")
    os.close(private_file(folder / "file"))
    with socket.socket(socket.AF_UNIX) as listener:
        bind_private(listener, folder / "socket")
    assert [mode(each) for each in (folder, sheltered, sheltered.parent)] == [0o700] * 3
    assert [mode(folder / name) for name in ("file", "socket")] == [0o600] * 2


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere the mode is set after the bind")
def test_a_socket_is_closed_to_others_from_its_first_moment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Path, "chmod", None)  # not called
    before = os.umask(0)
    try:
        with socket.socket(socket.AF_UNIX) as listener:
            bind_private(listener, tmp_path / "socket")
    finally:
        os.umask(before)
    assert mode(tmp_path / "socket") == 0o600


def test_an_open_file_of_this_user_is_closed_to_others(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    (tmp_path / "file").chmod(0o666)
    os.close(private_file(tmp_path / "file"))
    assert mode(tmp_path / "file") == 0o600


@pytest.mark.parametrize(
    ("make", "what"),
    [
        (lambda path: path.symlink_to("elsewhere"), "a symbolic link"),
        (lambda path: path.symlink_to(path), "a symbolic link"),
        (lambda path: path.mkdir(), "a folder"),
        (lambda path: os.mkfifo(path), "a named pipe"),
    ],
)
def test_no_file_of_another_kind_is_taken_for_ours(tmp_path: Path, make, what: str) -> None:
    path = tmp_path / "lock"
    make(path)
    with pytest.raises(NotPrivate, match=f"{path}: expected a file, found {what}; remove it"):
        private_file(path)
    with pytest.raises(NotPrivate, match=f"{path}: expected a socket, found {what}; remove it"):
        check_socket(path)


def test_a_file_of_another_user_is_reported_with_its_owner(
    tmp_path: Path, another_user: None
) -> None:
    made = tmp_path / "lock"
    made.touch()
    (tmp_path / "folder").mkdir(mode=0o700)
    said = (
        re.escape(f"{made}: a regular file belongs to the user")
        + ".*; run rolehost as .* or remove it"
    )
    with pytest.raises(NotPrivate, match=said):
        private_file(made)
    with pytest.raises(NotPrivate, match="folder: a folder belongs to the user"):
        private_folder(tmp_path / "folder")


def test_an_open_folder_is_not_private(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(tmp_path)
    (tmp_path / "open").mkdir()
    (tmp_path / "open").chmod(0o750)
    with pytest.raises(NotPrivate, match=r"mode 0750.*chmod 700"):
        private_folder(tmp_path / "open")
    with pytest.raises(NotPrivate, match="expected a folder, found a symbolic link"):
        private_folder(tmp_path / "link")


def test_a_folder_in_which_all_users_replace_files_shelters_none(tmp_path: Path) -> None:
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    assert safe_folder(folder) == folder
    folder.chmod(0o1777)
    assert safe_folder(folder) == folder
    folder.chmod(0o777)
    with pytest.raises(NotPrivate, match=f"mode 0777.*chmod o-w {folder}"):
        safe_folder(folder)


def test_a_file_in_the_place_of_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(NotPrivate, match="/file: expected a folder, found a regular file"):
        safe_folder(tmp_path / "file")


def test_the_user_at_the_other_end_is_known() -> None:
    one, other = socket.socketpair(socket.AF_UNIX)
    with one, other:
        assert peer_user(one) == os.geteuid()


@pytest.mark.needs("gunicorn")
def test_the_address_of_the_role_http_is_of_one_user(
    umask: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from rolehost.roles.http.listener import open_listener

    with open_listener(f"unix:{tmp_path}/http.sock"):
        assert mode(tmp_path / "http.sock") == 0o600
    with open_listener(f"unix:{tmp_path}/http.sock"):  # no process listened there any more
        pass
    monkeypatch.setattr(private.os, "geteuid", lambda: os.getuid() + 1)
    with pytest.raises(
        NotPrivate, match=r"http\.sock: a socket belongs to the user .* set \[http\] bind"
    ):
        open_listener(f"unix:{tmp_path}/http.sock")


# --- commands and supervisors


@pytest.fixture
def supervisors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    return private_folder(control.folder())


@pytest.fixture
def answering(supervisors: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX) as listener:
        bind_private(listener, supervisors / "1.sock")
        listener.listen()
        yield listener


def asked() -> list[control.RunningSupervisor]:
    """List the supervisors; they send no greeting, so only connections can be counted."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            control.RunningSupervisor, "__init__", lambda self, connection: connection.close()
        )
        return control.running_supervisors()


def test_a_command_accepts_a_socket_of_its_own_user(answering: socket.socket) -> None:
    assert len(asked()) == 1


def test_a_command_believes_no_process_of_another_user(
    answering: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control, "peer_user", lambda connection: os.geteuid() + 1)
    assert asked() == []


def test_a_command_believes_no_socket_of_another_user(
    answering: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    def foreign(path: Path) -> bool:
        raise NotPrivate(f"{path}: of another user")

    monkeypatch.setattr(control, "check_socket", foreign)
    assert asked() == []


def test_a_folder_of_supervisors_that_others_can_use_is_an_error(supervisors: Path) -> None:
    supervisors.chmod(0o777)
    with pytest.raises(NotPrivate, match=f"{supervisors}: other users can use this folder"):
        control.running_supervisors()


def test_folders_of_other_users_are_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    folder = private_folder(tmp_path / f"{control.FOLDER}{os.geteuid() + 1}")
    with socket.socket(socket.AF_UNIX) as listener:
        bind_private(listener, folder / "1.sock")
        listener.listen()
        assert asked() == []


@pytest.mark.parametrize(("user", "greeted"), [(0, True), (None, True), (65_534, False)])
def test_a_supervisor_answers_its_own_user_and_root(
    supervisors: Path, monkeypatch: pytest.MonkeyPatch, user: int | None, greeted: bool
) -> None:
    if os.geteuid() == 65_534:
        pytest.skip("this is that user")
    monkeypatch.setattr(control, "peer_user", lambda connection: user)
    selector = selectors.DefaultSelector()
    one = control.ControlServer(selector, lambda: {"pid": 1}, lambda notify: None)
    one.open()
    try:
        with socket.socket(socket.AF_UNIX) as client:
            client.connect(str(next(supervisors.glob("*.sock"))))
            one._accept()
            client.settimeout(5)
            assert client.recv(100) == (b'{"pid": 1}\n' if greeted else b"")
    finally:
        one.close()
        selector.close()


# --- the working directory

MODULES = (
    "rolehost",
    "rolehost.roles",
    "rolehost.supervisor.check_program",
    "rolehost_testing.services",
)


@pytest.mark.processes
@pytest.mark.parametrize("module", MODULES)
def test_no_process_imports_from_the_working_directory(module: str, tmp_path: Path) -> None:
    for name in ("json", "argparse", "selectors", "click", "rolehost"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    done = subprocess.run(
        [*module_command(module), "--help"], cwd=tmp_path, capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.processes
def test_the_supervisor_does_not_import_from_the_working_directory(tmp_path: Path) -> None:
    for name in ("json", "selectors", "rolehost"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    command = module_command("rolehost.supervisor")
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "start the supervisor with rolehost run\n")


@pytest.mark.processes
def test_python_m_rolehost_imports_nothing_else_from_the_working_directory(tmp_path: Path) -> None:
    for name in ("json", "argparse", "selectors", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('imported from here')")
    command = [sys.executable, "-m", "rolehost", "--help"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")


def test_every_module_is_started_without_the_working_directory() -> None:
    """Only the tests of a plugin that is graded run in its own folder, on purpose."""
    found = [
        f"{path.relative_to(ROOT)}"
        for room in ("host", "plugins", "contrib")
        for path in sorted((ROOT / room).rglob("*.py"))
        if "tests" not in path.relative_to(ROOT).parts
        and re.search(r'sys\.executable,(?!\s*"-[PI]").{0,80}"-m"', path.read_text(), re.DOTALL)
    ]
    assert found == ["contrib/testing/rolehost_testing/grading/judging.py"]
