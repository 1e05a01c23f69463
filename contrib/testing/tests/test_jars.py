"""Kafka's jars: downloaded once, and only those of the release."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath

import pytest
from rolehost_testing.services import Missing, jars

JAR = PurePosixPath("org/example/thing/1.0/thing-1.0.jar")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Print nothing."""


@pytest.fixture
def repository(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A Maven repository with one jar, which is all that is wanted; an empty home."""
    root = tmp_path / "repository"
    (root / JAR).parent.mkdir(parents=True)
    (root / JAR).write_bytes(b"content")
    digest = hashlib.sha256(b"content").hexdigest()
    monkeypatch.setattr(jars, "wanted", lambda: {JAR: digest})
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv(jars.FOLDER, str(tmp_path / "cache" / "kafka"))
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=root)) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        monkeypatch.setenv(jars.REPOSITORY, f"http://127.0.0.1:{server.server_address[1]}/")
        yield root
        server.shutdown()
        thread.join()


def test_they_are_brought_once_and_kept(repository: Path) -> None:
    with pytest.raises(Missing):
        jars.folder()
    kept = jars.bring() / JAR.name
    assert kept.read_bytes() == b"content"
    (repository / JAR).unlink()
    assert jars.bring() == jars.folder() == kept.parent


def test_another_content_is_refused_and_not_kept(repository: Path) -> None:
    (repository / JAR).write_bytes(b"another file")
    with pytest.raises(OSError, match=r"thing-1\.0\.jar: not what the release has"):
        jars.bring()
    assert not jars.place().exists()


def test_the_local_maven_repository_is_enough(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    local = tmp_path / "home" / ".m2" / "repository" / JAR
    local.parent.mkdir(parents=True)
    local.write_bytes(b"content")
    monkeypatch.setenv(jars.REPOSITORY, "http://127.0.0.1:1")
    assert (jars.folder() / JAR.name).read_bytes() == b"content"


def test_the_release_is_listed_with_a_check_sum_for_each_jar() -> None:
    listed = jars.wanted()
    assert f"kafka_2.13-{jars.VERSION}.jar" in {path.name for path in listed}
    assert all(len(digest) == 64 and path.suffix == ".jar" for path, digest in listed.items())
