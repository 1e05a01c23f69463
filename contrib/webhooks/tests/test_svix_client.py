"""Svix's own client works against the host when only the server's URL is changed."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import pytest
import standardwebhooks.webhooks
from svix.api import (
    ApplicationIn,
    ApplicationListOptions,
    ApplicationPatch,
    EndpointHeadersIn,
    EndpointHeadersPatchIn,
    EndpointIn,
    EndpointPatch,
    EndpointSecretRotateIn,
    EventTypeIn,
    EventTypeListOptions,
    EventTypePatch,
    EventTypeUpsertIn,
    MessageCreateOptions,
    MessageGetOptions,
    MessageIn,
    MessageListOptions,
    MessageOut,
    RecoverIn,
    Svix,
)
from svix.api.application import ApplicationCreateOptions
from svix.api.message import message_in_raw
from svix.api.message_attempt import (
    MessageAttemptListByEndpointOptions,
    MessageAttemptListByMsgOptions,
)
from svix.exceptions import HttpError, HTTPValidationError
from svix.models import ApplicationOut, EndpointOut, EventExampleIn, MessageAttemptOut
from svix.webhooks import Webhook as SvixWebhook

from .conftest import eventually
from .receiver import Receiver


@pytest.fixture
def app(svix: Svix) -> ApplicationOut:
    return svix.application.create(ApplicationIn(name="Test", uid=f"uid-{uuid4().hex}"))


@pytest.fixture
def endpoint(svix: Svix, app: ApplicationOut, receiver: Receiver) -> EndpointOut:
    return svix.endpoint.create(app.id, EndpointIn(url=receiver.url, uid="here"))


def attempts_of(svix: Svix, app: str, message: str, count: int = 1) -> list[MessageAttemptOut]:
    """Wait until a message has this many attempts; the newest first."""

    def listed() -> list[MessageAttemptOut] | None:
        options = MessageAttemptListByMsgOptions(with_content=True)
        found = svix.message_attempt.list_by_msg(app, message, options).data
        return found if len(found) >= count else None

    return eventually(listed)


# ---- applications


def test_an_application_is_found_by_id_and_by_uid(svix: Svix, app: ApplicationOut) -> None:
    assert app.id.startswith("app_") and len(app.id) == 31
    assert app.uid is not None
    assert svix.application.get(app.id) == svix.application.get(app.uid) == app


def test_a_second_application_with_the_uid_is_refused_or_returned(
    svix: Svix, app: ApplicationOut
) -> None:
    again = ApplicationIn(name="Other", uid=app.uid)
    with pytest.raises(HttpError) as caught:
        svix.application.create(again)
    assert (caught.value.status_code, caught.value.code) == (409, "conflict")
    assert svix.application.get_or_create(again).id == app.id


def test_an_application_is_changed_replaced_and_deleted(svix: Svix, app: ApplicationOut) -> None:
    patched = svix.application.patch(app.id, ApplicationPatch(name="New", metadata={"a": "b"}))
    assert (patched.name, patched.metadata, patched.uid) == ("New", {"a": "b"}, app.uid)
    replaced = svix.application.upsert(app.id, ApplicationIn(name="Newer", throttle_rate=5))
    assert (replaced.name, replaced.metadata, replaced.throttle_rate) == ("Newer", {}, 5)
    svix.application.delete(app.id)
    with pytest.raises(HttpError) as caught:
        svix.application.get(app.id)
    assert (caught.value.status_code, caught.value.code) == (404, "not_found")


def test_replacing_an_unknown_application_creates_it_under_that_uid(svix: Svix) -> None:
    uid = f"put-{uuid4().hex}"
    made = svix.application.upsert(uid, ApplicationIn(name="Made"))
    assert made.uid == uid
    assert svix.application.upsert(uid, ApplicationIn(name="Again")).id == made.id


def test_a_listing_is_walked_forwards_and_backwards(svix: Svix) -> None:
    made = sorted(svix.application.create(ApplicationIn(name="x")).id for _ in range(5))
    first = svix.application.list(ApplicationListOptions(limit=2, iterator=made[0]))
    assert [one.id for one in first.data] == made[1:3] and not first.done
    second = svix.application.list(ApplicationListOptions(limit=2, iterator=first.iterator))
    assert [one.id for one in second.data] == made[3:5] and second.done
    back = svix.application.list(ApplicationListOptions(limit=2, iterator=second.prev_iterator))
    assert back.data == first.data


def test_a_repeated_idempotency_key_makes_one_application(svix: Svix) -> None:
    options = ApplicationCreateOptions(idempotency_key=uuid4().hex)
    body = ApplicationIn(name="Once")
    assert svix.application.create(body, options) == svix.application.create(body, options)


def test_a_body_that_does_not_fit_raises_the_clients_validation_error(svix: Svix) -> None:
    with pytest.raises(HTTPValidationError) as caught:
        svix.application.create(ApplicationIn(name="x", uid="not a uid"))
    assert caught.value.detail[0].loc == ["body", "uid"]
    with pytest.raises(HTTPValidationError) as caught:
        svix.application.list(ApplicationListOptions(limit=1000))
    assert caught.value.detail[0].loc == ["query", "limit"]


# ---- endpoints


def test_an_endpoint_is_created_changed_and_deleted(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut
) -> None:
    assert endpoint.id.startswith("ep_")
    assert svix.endpoint.get(app.uid or "", "here") == endpoint
    patched = svix.endpoint.patch(
        app.id, endpoint.id, EndpointPatch(description="mine", event_types=["a.b"])
    )
    assert (patched.description, patched.event_types, patched.url) == (
        "mine",
        ["a.b"],
        endpoint.url,
    )
    assert [one.id for one in svix.endpoint.list(app.id).data] == [endpoint.id]
    svix.endpoint.delete(app.id, endpoint.id)
    assert svix.endpoint.list(app.id).data == []


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://", "http://a b/", "http://u:p@x/"])
def test_an_endpoint_needs_an_http_url(svix: Svix, app: ApplicationOut, url: str) -> None:
    with pytest.raises(HTTPValidationError) as caught:
        svix.endpoint.create(app.id, EndpointIn(url=url))
    assert caught.value.detail[0].loc == ["body", "url"]


def test_a_given_secret_is_kept_and_a_short_one_refused(
    svix: Svix, app: ApplicationOut, receiver: Receiver
) -> None:
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    made = svix.endpoint.create(app.id, EndpointIn(url=receiver.url, secret=secret))
    assert svix.endpoint.get_secret(app.id, made.id).key == secret
    with pytest.raises(HTTPValidationError):
        svix.endpoint.create(app.id, EndpointIn(url=receiver.url, secret="whsec_c2hvcnQ="))


def test_headers_are_sent_and_sensitive_ones_are_not_shown(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    svix.endpoint.set_headers(
        app.id,
        endpoint.id,
        EndpointHeadersIn(headers={"X-One": "1", "Authorization": "secret", "X-Gone": "x"}),
    )
    svix.endpoint.patch_headers(
        app.id,
        endpoint.id,
        EndpointHeadersPatchIn(headers={"X-Two": "2"}, delete_headers=["x-gone"]),
    )
    shown = svix.endpoint.get_headers(app.id, endpoint.id)
    assert (shown.headers, shown.sensitive) == ({"X-One": "1", "X-Two": "2"}, ["Authorization"])
    svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    sent = receiver.next().headers
    assert (sent["x-one"], sent["x-two"], sent["authorization"]) == ("1", "2", "secret")
    assert "x-gone" not in sent


# ---- event types


def test_an_event_type_is_created_archived_and_comes_back(svix: Svix) -> None:
    name = f"user.{uuid4().hex}"
    made = svix.event_type.create(
        EventTypeIn(name=name, description="A user", schemas={"1": {"type": "object"}})
    )
    assert svix.event_type.get(name) == made
    with pytest.raises(HttpError) as caught:
        svix.event_type.create(EventTypeIn(name=name, description="x"))
    assert caught.value.status_code == 409
    svix.event_type.patch(name, EventTypePatch(deprecated=True))
    assert svix.event_type.upsert(name, EventTypeUpsertIn(description="New")).deprecated is False
    svix.event_type.delete(name)
    archived = EventTypeListOptions(include_archived=True, limit=250)
    assert name not in [one.name for one in svix.event_type.list().data]
    assert name in [one.name for one in svix.event_type.list(archived).data]
    svix.event_type.create(EventTypeIn(name=name, description="Back"))
    assert svix.event_type.get(name).archived is False


# ---- messages and deliveries


def test_a_message_arrives_signed_and_its_attempt_is_listed(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    payload = {"text": "Grüße", "n": 1.0, "nested": {"a": [1, 2]}}
    message = svix.message.create(
        app.id, MessageIn(event_type="user.signup", payload=payload, channels=["one"])
    )
    received = receiver.next()
    assert json.loads(received.body) == payload
    secret = svix.endpoint.get_secret(app.id, endpoint.id).key
    standardwebhooks.webhooks.Webhook(secret).verify(received.body, received.headers)
    SvixWebhook(secret).verify(received.body, received.headers)
    only_svix = {n: v for n, v in received.headers.items() if not n.startswith("webhook-")}
    SvixWebhook(secret).verify(received.body, only_svix)
    assert received.headers["webhook-id"] == message.id

    (attempt,) = attempts_of(svix, app.id, message.id)
    assert (attempt.status, attempt.response_status_code, attempt.response) == (0, 200, "thanks")
    assert attempt.id.startswith("atmpt_") and attempt.trigger_type == 0
    assert svix.message_attempt.get(app.id, message.id, attempt.id).id == attempt.id
    by_endpoint = svix.message_attempt.list_by_endpoint(
        app.id, "here", MessageAttemptListByEndpointOptions(with_msg=True)
    ).data
    assert [one.id for one in by_endpoint] == [attempt.id]
    assert by_endpoint[0].msg is not None and by_endpoint[0].msg.id == message.id
    (standing,) = svix.message_attempt.list_attempted_destinations(app.id, message.id).data
    assert (standing.id, standing.status, standing.next_attempt) == (endpoint.id, 0, None)
    (sent,) = svix.message_attempt.list_attempted_messages(app.id, endpoint.id).data
    assert (sent.id, sent.status) == (message.id, 0)
    assert svix.endpoint.get_stats(app.id, endpoint.id).success == 1


def test_content_is_shown_only_when_asked_for(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut
) -> None:
    made = svix.message.create(app.id, MessageIn(event_type="a", payload={"x": 1}))
    assert made.payload == {}
    shown = svix.message.create(
        app.id,
        MessageIn(event_type="a", payload={"x": 1}),
        MessageCreateOptions(with_content=True),
    )
    assert shown.payload == {"x": 1}
    assert svix.message.get(app.id, made.id).payload == {}
    with_content = MessageGetOptions(with_content=True)
    assert svix.message.get(app.id, made.id, with_content).payload == {"x": 1}
    svix.message.expunge_content(app.id, made.id)
    assert svix.message.get(app.id, made.id, with_content).payload == {"expired": True}


def test_an_event_id_is_taken_once_and_addresses_its_message(
    svix: Svix, app: ApplicationOut
) -> None:
    body = MessageIn(event_type="a", payload={}, event_id="order-17")
    message = svix.message.create(app.id, body)
    with pytest.raises(HttpError) as caught:
        svix.message.create(app.id, body)
    assert (caught.value.status_code, caught.value.code) == (409, "conflict")
    assert svix.message.get(app.uid or "", "order-17").id == message.id


def test_a_repeated_idempotency_key_makes_one_message(svix: Svix, app: ApplicationOut) -> None:
    options = MessageCreateOptions(idempotency_key=uuid4().hex)
    body = MessageIn(event_type="a", payload={})
    assert (
        svix.message.create(app.id, body, options).id
        == svix.message.create(app.id, body, options).id
    )
    assert len(svix.message.list(app.id).data) == 1


def test_a_message_brings_its_application_along(svix: Svix) -> None:
    uid = f"new-{uuid4().hex}"
    body = MessageIn(event_type="a", payload={}, application=ApplicationIn(name="Along", uid=uid))
    message = svix.message.create(uid, body)
    assert svix.message.get(uid, message.id).id == message.id


def test_messages_are_listed_newest_first_and_filtered(svix: Svix, app: ApplicationOut) -> None:
    def send(event_type: str, **more: object) -> MessageOut:
        return svix.message.create(
            app.id,
            MessageIn(event_type=event_type, payload={}, **more),  # type: ignore[arg-type]
        )

    one = send("type.one", channels=["red", "blue"])
    two = send("type.two", tags=["t_1"])
    three = send("type.three")

    def listed(**options: object) -> set[str]:
        found = svix.message.list(app.id, MessageListOptions(**options))  # type: ignore[arg-type]
        return {message.id for message in found.data}

    everything = [one.id, two.id, three.id]
    assert [m.id for m in svix.message.list(app.id).data] == sorted(everything, reverse=True)
    assert listed(event_types=["type.one", "type.two"]) == {one.id, two.id}
    assert listed(channel="red") == {one.id}
    assert listed(channel="re") == set()
    assert listed(tag="t_1") == {two.id}
    an_hour = timedelta(hours=1)
    assert listed(before=datetime.now(UTC) + an_hour) == set(everything)
    assert listed(after=datetime.now(UTC) + an_hour) == set()


def test_only_endpoints_that_listen_get_a_message(
    svix: Svix, app: ApplicationOut, receiver: Receiver
) -> None:
    def endpoint(name: str, **more: object) -> None:
        svix.endpoint.create(
            app.id,
            EndpointIn(url=f"{receiver.url}/{name}", uid=name, **more),  # type: ignore[arg-type]
        )

    endpoint("all")
    endpoint("type", event_types=["wanted"])
    endpoint("channel", channels=["c1", "c2"])
    endpoint("off", disabled=True)

    def reached(count: int, **message: object) -> set[str]:
        svix.message.create(app.id, MessageIn(payload={}, **message))  # type: ignore[arg-type]
        return {receiver.next().path.removeprefix("/hook/") for _ in range(count)}

    assert reached(1, event_type="other") == {"all"}
    assert reached(2, event_type="wanted", channels=["c9"]) == {"all", "type"}
    assert reached(3, event_type="wanted", channels=["c2"]) == {"all", "type", "channel"}
    assert receiver.requests.empty()


def test_a_raw_payload_is_sent_as_it_is_with_its_content_type(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    message = svix.message.create(app.id, message_in_raw("a", "<x> é </x>", "text/xml"))
    received = receiver.next()
    assert received.body == "<x> é </x>".encode()
    assert received.headers["content-type"] == "text/xml"
    shown = svix.message.get(app.id, message.id, MessageGetOptions(with_content=True))
    assert shown.payload == {"rawPayload": "<x> é </x>"}


def test_a_rotated_secret_signs_beside_the_old_one(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    old = svix.endpoint.get_secret(app.id, endpoint.id).key
    new = svix.endpoint.rotate_secret(app.id, endpoint.id, EndpointSecretRotateIn()).key
    assert new != old and new == svix.endpoint.get_secret(app.id, endpoint.id).key
    svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    received = receiver.next()
    for secret in (old, new):
        SvixWebhook(secret).verify(received.body, received.headers)
    svix.endpoint.rotate_secret(app.id, endpoint.id, EndpointSecretRotateIn(grace_period_seconds=0))
    svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    received = receiver.next()
    with pytest.raises(standardwebhooks.webhooks.WebhookVerificationError):
        SvixWebhook(new).verify(received.body, received.headers)


def test_a_failed_delivery_is_tried_again_under_the_same_id(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    receiver.answers.put((500, {}, b"broken"))
    receiver.answers.put((302, {"location": "http://127.0.0.1:1/"}, b""))
    message = svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    assert {receiver.next().headers["webhook-id"] for _ in range(3)} == {message.id}
    found = attempts_of(svix, app.id, message.id, 3)
    assert [one.response_status_code for one in found] == [200, 302, 500]
    assert [one.status for one in found] == [0, 2, 2]
    failed = svix.message_attempt.list_by_msg(
        app.id, message.id, MessageAttemptListByMsgOptions(status_code_class=500, with_content=True)
    )
    assert [one.response for one in failed.data] == ["broken"]


def test_after_the_last_attempt_a_delivery_has_failed_and_can_be_resent(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    for _ in range(4):
        receiver.answers.put((500, {}, b""))
    message = svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    attempts_of(svix, app.id, message.id, 4)
    (standing,) = svix.message_attempt.list_attempted_destinations(app.id, message.id).data
    assert (standing.status, standing.next_attempt) == (2, None)
    svix.message_attempt.resend(app.id, message.id, endpoint.id)
    newest = attempts_of(svix, app.id, message.id, 5)[0]
    assert (newest.status, newest.trigger_type) == (0, 1)


def test_recovery_sends_again_what_failed(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    began = datetime.now(UTC) - timedelta(seconds=1)
    for _ in range(4):
        receiver.answers.put((500, {}, b""))
    message = svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    attempts_of(svix, app.id, message.id, 4)
    task = svix.endpoint.recover(app.id, endpoint.id, RecoverIn(since=began))
    assert task.id.startswith("qtask_")
    assert attempts_of(svix, app.id, message.id, 5)[0].status == 0


def test_an_example_goes_to_one_endpoint_only(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    svix.endpoint.create(app.id, EndpointIn(url=f"{receiver.url}/other"))
    name = f"user.{uuid4().hex}"
    example = {"id": 7}
    svix.event_type.create(
        EventTypeIn(name=name, description="x", schemas={"1": {"examples": [{}, example]}})
    )
    message = svix.endpoint.send_example(
        app.id, endpoint.id, EventExampleIn(event_type=name, example_index=1)
    )
    assert message.payload == example
    received = receiver.next()
    assert (received.path, json.loads(received.body)) == ("/hook", example)
    with pytest.raises(HttpError) as caught:
        svix.endpoint.send_example(app.id, endpoint.id, EventExampleIn(event_type="unknown"))
    assert (caught.value.status_code, caught.value.code) == (404, "not_found")
    with pytest.raises(HttpError) as caught:
        svix.endpoint.send_example(
            app.id, endpoint.id, EventExampleIn(event_type=name, example_index=2)
        )
    assert (caught.value.status_code, caught.value.code) == (400, "invalid_scheme")
    assert receiver.requests.empty()


def test_a_receiver_that_is_gone_is_disabled(
    svix: Svix, app: ApplicationOut, endpoint: EndpointOut, receiver: Receiver
) -> None:
    receiver.answers.put((410, {}, b""))
    message = svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    attempts_of(svix, app.id, message.id)
    assert svix.endpoint.get(app.id, endpoint.id).disabled is True
    (standing,) = svix.message_attempt.list_attempted_destinations(app.id, message.id).data
    assert standing.status == 2


def test_a_receiver_that_cannot_be_reached_is_a_failed_attempt(
    svix: Svix, app: ApplicationOut
) -> None:
    svix.endpoint.create(app.id, EndpointIn(url="http://127.0.0.1:1/"))
    message = svix.message.create(app.id, MessageIn(event_type="a", payload={}))
    attempt = attempts_of(svix, app.id, message.id)[0]
    assert (attempt.status, attempt.response_status_code) == (2, 0)
    assert attempt.response == "connection refused by 127.0.0.1 port 1"
