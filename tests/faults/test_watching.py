"""The code of a plugin has a time limit, and its side effects are reported."""

from __future__ import annotations

import os
import signal
import threading
from pathlib import Path

import pytest
from rolehost.bounded import TimeLimitExceeded, bounded
from rolehost.discovery.loading import record_effects

LITTLE = 0.1


def hangs() -> None:
    threading.Event().wait(60)


def elsewhere(call):
    """Run in another thread; return the exception."""
    raised: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    return raised[0] if raised else None


def test_a_call_that_ends_in_time_returns_its_result_and_leaves_no_alarm():
    before = signal.getsignal(signal.SIGALRM)
    assert bounded(lambda: 5, 60) == bounded(lambda: 5, 60, same_thread=True) == 5
    assert signal.getsignal(signal.SIGALRM) is before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)


def test_a_hanging_call_is_interrupted_with_its_line():
    with pytest.raises(TimeLimitExceeded) as raised:
        bounded(hangs, LITTLE)
    assert f"{__file__}:{hangs.__code__.co_firstlineno + 1}" in raised.value.where


def test_a_hanging_call_in_another_thread_is_interrupted_too():
    error = elsewhere(lambda: bounded(hangs, LITTLE))
    assert isinstance(error, TimeLimitExceeded)
    assert f"{__file__}:{hangs.__code__.co_firstlineno + 1}" in error.where


def test_code_that_swallows_its_interruption_is_interrupted_again():
    swallowed: list[BaseException] = []

    def stubborn() -> None:
        while True:
            try:
                hangs()
            except BaseException as error:
                if swallowed:
                    raise
                swallowed.append(error)

    with pytest.raises(TimeLimitExceeded):
        bounded(stubborn, LITTLE)
    assert isinstance(swallowed[0], TimeLimitExceeded)


@pytest.mark.parametrize("run", [lambda call: call(), elsewhere], ids=["main", "other"])
def test_an_error_comes_out_as_it_was_raised(run):
    def fails() -> None:
        raise LookupError("no such thing")

    if run is elsewhere:
        assert isinstance(elsewhere(lambda: bounded(fails, 60)), LookupError)
    else:
        with pytest.raises(LookupError, match="no such thing"):
            bounded(fails, 60)


def test_an_alarm_of_the_application_is_not_changed():
    heard: list[int] = []
    before = signal.signal(signal.SIGALRM, lambda number, _: heard.append(number))
    try:
        with pytest.raises(TimeLimitExceeded):
            bounded(hangs, LITTLE)
        assert bounded(lambda: 5, LITTLE, same_thread=True) == 5
        os.kill(os.getpid(), signal.SIGALRM)
        assert heard == [signal.SIGALRM]
    finally:
        signal.signal(signal.SIGALRM, before)


def test_handlers_and_the_working_directory_are_set_right_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = signal.getsignal(signal.SIGTERM)
    with record_effects() as effects:
        signal.signal(signal.SIGTERM, lambda *_: None)
        os.chdir("/")
    assert (str(Path.cwd()), signal.getsignal(signal.SIGTERM)) == (str(tmp_path), before)
    assert effects.reverted == [
        "the working directory became /",
        "SIGTERM got another handler",
    ]


def test_variables_and_threads_are_reported(monkeypatch):
    monkeypatch.setenv("FAULTS_MOOD", "high")
    go = threading.Event()
    with record_effects() as effects:
        os.environ["FAULTS_MOOD"] = "low"
        thread = threading.Thread(target=go.wait, name="eager")
        thread.start()
    go.set()
    thread.join()
    assert effects.remaining == [
        "the variable FAULTS_MOOD was changed",
        "the thread eager was started",
    ]
    assert effects.reverted == []


def test_printed_text_goes_to_standard_error(capsys):
    with record_effects():
        print("words at import")
    out, err = capsys.readouterr()
    assert (out, err) == ("", "words at import\n")
