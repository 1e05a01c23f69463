"""Call every offered operation of Svix's Python client, of either major version.

``python drive.py URL TOKEN RECEIVER NAME``: the server, its token, a receiver's URL, and a name
that is unused on the server. Prints one JSON object; exits with 1 if an answer is unexpected.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import svix as svix_package
from svix import models
from svix.api import Svix, SvixOptions
from svix.api.message_attempt import MessageAttemptListByMsgOptions
from svix.exceptions import HttpError, HTTPValidationError

URL, TOKEN, RECEIVER, NAME = sys.argv[1:]
svix = Svix(TOKEN, SvixOptions(server_url=URL))
called: set[str] = set()


def model(*names: str) -> Any:
    """Return the client's first model with one of these names."""
    return next(getattr(models, name) for name in names if hasattr(models, name))


def call(operation: str, *arguments: Any) -> Any:
    """Call ``group.method``; if there are alternatives (``a|b``), the first that the client has."""
    group, _, methods = operation.partition(".")
    called.add(f"{group}.{methods.partition('|')[0]}")
    there = getattr(svix, group)
    method = next(getattr(there, name) for name in methods.split("|") if hasattr(there, name))
    return method(*arguments)


def refused(kind: type[Exception], status: int, fn: Callable[[], Any]) -> None:
    """Assert that a call is refused with this status, as the client's exception."""
    try:
        fn()
    except kind as error:
        assert error.status_code == status, error  # type: ignore[attr-defined]
    else:
        raise AssertionError(f"expected {status}")


def with_types(kind: Any, types: list[str], **given: Any) -> Any:
    """Create an endpoint's model, with the client's name of the event types field."""
    known = kind.model_fields
    given["event_types" if "event_types" in known else "filter_types"] = types
    return kind(**given)


def types_of(endpoint: Any) -> list[str]:
    return getattr(endpoint, "event_types", None) or endpoint.filter_types


def flagged(kind: Any, **given: Any) -> Any:
    """Create an event type's model with a flag, in the client's field for it."""
    one = "feature_flag" in kind.model_fields
    return kind(**given, **({"feature_flag": "beta"} if one else {"feature_flags": ["beta"]}))


def applications() -> str:
    made = call("application.create", models.ApplicationIn(name="n", uid=NAME, throttle_rate=3))
    assert (made.uid, made.throttle_rate) == (NAME, 3)
    assert call("application.get_or_create", models.ApplicationIn(name="o", uid=NAME)) == made
    assert call("application.get", NAME) == made
    changed = call("application.update|upsert", NAME, models.ApplicationIn(name="m", uid=NAME))
    assert (changed.name, changed.throttle_rate) == ("m", None)
    assert call("application.patch", NAME, models.ApplicationPatch(name="p")).name == "p"
    assert call("application.list").data
    refused(HttpError, 404, lambda: svix.application.get("missing"))
    bad = models.ApplicationIn(name="n", uid="no blanks")
    refused(HTTPValidationError, 422, lambda: svix.application.create(bad))
    return str(made.id)


def event_types() -> None:
    schemas = {"1": {"examples": [{"x": 1}]}}
    kind = models.EventTypeIn
    made = call("event_type.create", flagged(kind, name=NAME, description="d", schemas=schemas))
    assert "beta" in (made.feature_flag, *(made.feature_flags or []))
    assert call("event_type.get", NAME).schemas == schemas
    put = model("EventTypeUpdate", "EventTypeUpsertIn")
    call("event_type.update|upsert", NAME, flagged(put, description="e", schemas=schemas))
    assert call("event_type.patch", NAME, models.EventTypePatch(description="f")).description == "f"
    assert call("event_type.list").data


def endpoints(app: str) -> tuple[str, str]:
    made = call(
        "endpoint.create",
        app,
        with_types(models.EndpointIn, [NAME], url=RECEIVER, channels=["c"], uid="here"),
    )
    assert (types_of(made), made.channels) == ([NAME], ["c"])
    assert getattr(made, "version", 1) == 1
    assert call("endpoint.get", app, "here") == made
    put = model("EndpointUpdate", "EndpointUpsertIn")
    call("endpoint.update|upsert", app, "here", with_types(put, [NAME], url=RECEIVER, uid="here"))
    patch = with_types(models.EndpointPatch, [NAME, "other"])
    assert sorted(types_of(call("endpoint.patch", app, "here", patch))) == sorted([NAME, "other"])
    silent = svix.endpoint.create(app, models.EndpointIn(url="http://127.0.0.1:1/"))
    assert [one.id for one in call("endpoint.list", app).data] == [silent.id, made.id]
    headers = models.EndpointHeadersIn(headers={"x-one": "1", "authorization": "a"})
    call("endpoint.update_headers|set_headers", app, "here", headers)
    patch_headers = models.EndpointHeadersPatchIn(headers={"x-two": "2"}, delete_headers=["x-one"])
    call("endpoint.patch_headers", app, "here", patch_headers)
    shown = call("endpoint.get_headers", app, "here")
    assert (shown.headers, shown.sensitive) == ({"x-two": "2"}, ["authorization"])
    secret = call("endpoint.get_secret", app, "here").key
    call("endpoint.rotate_secret", app, "here", models.EndpointSecretRotateIn())
    assert svix.endpoint.get_secret(app, "here").key != secret
    return made.id, silent.id


def messages(app: str, endpoint: str, silent: str) -> None:
    sent = call("message.create", app, models.MessageIn(event_type=NAME, payload={"x": 1}))
    assert call("message.get", app, sent.id).event_type == NAME
    assert [one.id for one in call("message.list", app).data] == [sent.id]
    options = MessageAttemptListByMsgOptions(with_content=True)
    deadline = time.monotonic() + 20
    while True:
        found = call("message_attempt.list_by_msg", app, sent.id, options).data
        if {one.endpoint_id for one in found} == {endpoint, silent}:
            break
        assert time.monotonic() < deadline, found
        time.sleep(0.05)
    by_endpoint = {one.endpoint_id: one for one in found}
    assert by_endpoint[endpoint].response_status_code == 204
    assert by_endpoint[silent].response_status_code == 0
    assert by_endpoint[silent].response.startswith("connection refused"), by_endpoint[silent]
    attempt = by_endpoint[endpoint].id
    assert call("message_attempt.get", app, sent.id, attempt).msg_id == sent.id
    assert call("message_attempt.list_by_endpoint", app, endpoint).data[0].id == attempt
    (message,) = call("message_attempt.list_attempted_messages", app, endpoint).data
    assert (message.id, message.status) == (sent.id, 0)
    places = call("message_attempt.list_attempted_destinations", app, sent.id).data
    assert {one.id for one in places} == {endpoint, silent}
    call("message_attempt.expunge_content", app, sent.id, attempt)
    assert svix.message_attempt.get(app, sent.id, attempt).response == "EXPUNGED"
    call("message_attempt.resend", app, sent.id, endpoint)
    call("endpoint.send_example", app, endpoint, models.EventExampleIn(event_type=NAME))
    since = datetime.now(UTC) - timedelta(hours=1)
    assert call("endpoint.recover", app, silent, models.RecoverIn(since=since)).id
    assert call("endpoint.get_stats", app, endpoint).success >= 1
    call("message.expunge_content", app, sent.id)
    refused(HttpError, 400, lambda: svix.message_attempt.resend(app, sent.id, endpoint))


def main() -> None:
    call("health.get")
    app = applications()
    event_types()
    endpoint, silent = endpoints(app)
    messages(app, endpoint, silent)
    call("endpoint.delete", app, endpoint)
    call("event_type.delete", NAME)
    call("application.delete", app)
    print(json.dumps({"version": svix_package.__version__, "operations": len(called)}))


main()
