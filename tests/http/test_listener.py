"""Addresses to listen on, and which of them only this machine reaches."""

from __future__ import annotations

import socket

import pytest
from rolehost.errors import StartError
from rolehost.loopback import binds_locally, is_address
from rolehost.roles.http import listener


@pytest.mark.parametrize(
    "bind",
    [
        "127.0.0.1:8000",
        "127.1.2.3:80",
        "localhost:8000",
        "LOCALHOST:1",
        "[::1]:8000",
        "[::ffff:127.0.0.1]:8000",
        "unix:/run/rolehost.sock",
    ],
)
def test_a_loopback_address_and_a_unix_socket_are_local(bind: str) -> None:
    assert binds_locally(bind)


@pytest.mark.parametrize(
    "bind",
    [
        "0.0.0.0:8000",
        ":8000",
        "[::]:8000",
        "[::ffff:0.0.0.0]:8000",
        "10.0.0.1:8000",
        "[fe80::1]:8000",
        "[2001:db8::1]:8000",
        "laptop:8000",
        "localhost.example:8000",
        "127.0.0.1.example:8000",
        "0:8000",
        "127.1:8000",
        "2130706433:8000",
        "0.0.0.0:8000,127.0.0.1:8001",
        "127.0.0.1:8000,0.0.0.0:8001",
        "127.0.0.1:8000 0.0.0.0:8001",
        "",
    ],
)
def test_whatever_may_be_another_address_is_not_local(bind: str) -> None:
    assert not binds_locally(bind)


def test_localhost_that_is_another_address_here_is_not_listened_on(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    listener.open_listener("localhost:0").close()
    # As with an entry in /etc/hosts: the name counts as loopback, its address does not.
    monkeypatch.setattr(listener, "names_loopback", lambda host: host == "localhost")
    with pytest.raises(StartError, match="not a loopback address"):
        listener.open_listener("localhost:0")


def test_an_address_in_use_is_named_as_it_was_written_and_no_part_of_it_apart() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        bind = f"127.0.0.1:{port}"
        with pytest.raises(StartError, match="in use") as caught:
            listener.open_listener(bind)
    # A bind that came from a reference is masked as a whole; its port alone would stay.
    assert str(port) not in str(caught.value).replace(bind, "")


@pytest.mark.parametrize("bind", ["a..b:8000", f"{'a' * 64}.example:8000"])
def test_a_name_that_cannot_exist_is_one_line(bind: str) -> None:
    with pytest.raises(StartError, match=f"cannot listen on {bind}: the host name is unknown"):
        listener.open_listener(bind)


@pytest.mark.parametrize("bind", ["unix:\0abstract", "unix:/run/a\0b", "127.0.0.1\0:8000"])
def test_an_address_has_no_nul(bind: str) -> None:
    assert not is_address(bind)
