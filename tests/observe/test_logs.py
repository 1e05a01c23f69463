"""Log lines of structlog and of the standard library, through one writer."""

from __future__ import annotations

import contextvars
import io
import json
import logging
import warnings
from collections.abc import Iterator
from typing import Any

import pytest
import structlog
from rolehost import joblog
from rolehost.api import Secret, Settings
from rolehost.deployment.model import LogSettings
from rolehost.observe import logs

BOUND = {"deployment": "shop", "role": "worker", "slot": 2}


class Stream(io.TextIOWrapper):
    """A text stream in memory that may claim to be a terminal."""

    def __init__(self, terminal: bool = False) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    @property
    def text(self) -> str:
        memory = self.buffer
        assert isinstance(memory, io.BytesIO)
        return memory.getvalue().decode()

    @property
    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text.splitlines()]


@pytest.fixture(autouse=True)
def logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    logging.captureWarnings(False)
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    logs._writer = None
    structlog.contextvars.clear_contextvars()


def configured(terminal: bool = False, **settings: Any) -> Stream:
    stream = Stream(terminal)
    logs.configure(LogSettings(**settings), stream=stream, **BOUND)
    return stream


def test_every_line_has_deployment_role_and_slot() -> None:
    stream = configured()
    structlog.get_logger().info("ours", n=1)
    logging.getLogger("plugin").warning("theirs %s", "too")
    ours, theirs = stream.lines
    assert ours.pop("timestamp").endswith("Z")
    assert ours == {"level": "info", "event": "ours", "n": 1, **BOUND}
    theirs.pop("timestamp")
    assert theirs == {"level": "warning", "event": "theirs too", "logger": "plugin", **BOUND}


def test_ids_that_are_bound_appear_in_ours_and_in_the_standard_librarys_lines() -> None:
    stream = configured()
    with structlog.contextvars.bound_contextvars(request_id="r1", job_id=7):
        structlog.get_logger().info("inside")
        logging.getLogger("plugin").info("inside")
    structlog.get_logger().info("outside")
    *inside, outside = stream.lines
    assert all(line["request_id"] == "r1" and line["job_id"] == 7 for line in inside)
    assert "request_id" not in outside


def test_lines_of_an_attempt_are_kept_without_the_fields_of_every_line() -> None:
    configured()
    context = contextvars.copy_context()
    context.run(joblog.kept.set, joblog.new())

    def attempt() -> None:
        structlog.get_logger().info("ours", n=1, odd="\ud800", huge=10**6000)
        logging.getLogger("plugin").warning("theirs %s", "too")

    context.run(attempt)
    structlog.get_logger().info("outside")
    ours, theirs = context[joblog.kept] or ()
    assert "info     ours n=1" in ours
    assert "warning  theirs too" in theirs
    assert "shop" not in ours


@pytest.mark.parametrize(
    ("terminal", "form", "is_json"),
    [
        (False, "auto", True),
        (True, "auto", False),
        (True, "json", True),
        (False, "console", False),
    ],
)
def test_the_form_follows_the_settings_and_the_terminal(
    terminal: bool, form: str, is_json: bool
) -> None:
    stream = configured(terminal, format=form)
    structlog.get_logger().info("hello", name="two words")
    assert stream.text.startswith("{") is is_json
    if not is_json:
        assert "hello deployment=shop role=worker slot=2 name='two words'" in stream.text
        assert ("\x1b[" in stream.text) is terminal


def test_lines_below_the_level_are_not_written() -> None:
    stream = configured(level="warning")
    structlog.get_logger().info("no")
    logging.getLogger("plugin").info("no")
    structlog.get_logger().warning("yes")
    assert [line["event"] for line in stream.lines] == ["yes"]


def fail(password: str) -> None:
    raise ValueError(f"wrong length: {len(password)}")


def test_lines_that_are_written_often_look_like_the_others() -> None:
    stream = configured()
    write = logs.fast_logger("info", "request")
    assert write is not None
    with structlog.contextvars.bound_contextvars(request_id="r1"):
        write({"status": 200})
        structlog.get_logger().info("request", status=200)
    short, long = stream.lines
    assert {**short, "timestamp": ""} == {**long, "timestamp": ""}


def test_lines_that_are_written_often_obey_the_level() -> None:
    configured(level="warning")
    assert logs.fast_logger("info", "request") is None


@pytest.mark.parametrize("form", ["json", "console"])
def test_exceptions_are_shown_without_the_values_of_variables(form: str) -> None:
    stream = configured(format=form)
    try:
        fail("hun" + "ter2")
    except ValueError as error:
        structlog.get_logger().exception("ours")
        structlog.get_logger().error("ours", exc_info=error)
        logging.getLogger("plugin").exception("theirs")
    assert stream.text.count("ValueError: wrong length: 7") == 3
    assert "Traceback (most recent call last)" in stream.text
    assert "hunter2" not in stream.text


class Login(Settings, frozen=True):
    user: str
    password: Secret


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_secret_cannot_be_printed(form: str) -> None:
    stream = configured(format=form)
    secret = Secret("hunter2")
    login = Login(user="me", password=secret)
    logger = structlog.get_logger()
    logger.info("plain", value=secret)
    logger.info("nested", value={"a": [secret, (secret,)]}, settings=login)
    logger.info(f"formatted {secret} {secret!r} {login}")
    logging.getLogger("plugin").info("args %s %r", secret, login)
    assert stream.text.count("********") >= 6
    assert "hunter2" not in stream.text


def test_values_without_a_json_form_are_logged_as_text() -> None:
    stream = configured(format="json")
    for value in (object(), "\ud800", 2**80, {1: "key"}, b"bytes", {3, 4}, float("nan")):
        structlog.get_logger().info("odd", value=value)
    assert len(stream.lines) == 7


def test_a_value_cannot_look_like_another_line() -> None:
    stream = configured(format="console")
    structlog.get_logger().info("a\nb", path="/x\n2026 info forged", key="k=v")
    assert len(stream.text.splitlines()) == 1
    assert r"a\nb" in stream.text
    assert "key='k=v'" in stream.text


def test_warnings_become_lines() -> None:
    stream = configured()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.warn("old way", DeprecationWarning, stacklevel=1)
    assert "DeprecationWarning: old way" in stream.lines[0]["event"]


def test_a_closed_stream_loses_the_line_and_nothing_else() -> None:
    stream = configured()
    stream.close()
    structlog.get_logger().info("lost")
    logging.getLogger("plugin").info("lost")


def test_a_record_that_cannot_be_formatted_is_reported_and_fails_nothing(
    capsys: pytest.CaptureFixture[str],
) -> None:
    configured()
    logging.getLogger("plugin").info("%d", "no number")
    assert "no number" in capsys.readouterr().err
