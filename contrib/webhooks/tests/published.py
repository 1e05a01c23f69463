"""What Svix's open server publishes: operations, statuses, shapes, orders, answers to mistakes.

Written down by hand from its documents and its behaviour, in the terms that the tests need. A
shape says of each field whether it is always there, null when it is not set, or absent when it is
not set. ``tags``, ``deliverAt``, ``cause``, ``groupName`` and ``featureFlags`` are this API's own.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Shape:
    """The fields of an object; what is not named in ``null`` or ``absent`` is always set."""

    always: frozenset[str]
    null: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()

    def __or__(self, other: Shape) -> Shape:
        return Shape(self.always | other.always, self.null | other.null, self.absent | other.absent)


def shape(always: str, *, null: str = "", absent: str = "") -> Shape:
    """Make a shape of names that blanks separate."""
    return Shape(*(frozenset(names.split()) for names in (always, null, absent)))


APPLICATION = shape(
    "id name metadata createdAt updatedAt", null="throttleRate", absent="uid rateLimit"
)
ENDPOINT_COMMON = shape(
    "id url description version disabled createdAt updatedAt",
    null="rateLimit throttleRate uid eventTypes filterTypes channels",
)
ENDPOINT = ENDPOINT_COMMON | shape("metadata")
STANDING = shape("status statusText")
MESSAGE_ENDPOINT = ENDPOINT_COMMON | STANDING | shape("", null="nextAttempt")
MESSAGE = shape("id eventType payload timestamp", null="eventId channels", absent="tags deliverAt")
ENDPOINT_MESSAGE = MESSAGE | STANDING | shape("", absent="nextAttempt")
ATTEMPT = shape(
    "id msgId endpointId url response responseStatusCode responseDurationMs status statusText"
    " triggerType timestamp",
    absent="cause",
)
EVENT_TYPE = shape(
    "name description archived deprecated createdAt updatedAt",
    null="schemas featureFlag",
    absent="groupName featureFlags",
)
LISTING = shape("data done iterator", absent="prevIterator")
SECRET = shape("key")
HEADERS = shape("headers sensitive")
STATS = shape("success pending sending fail canceled")
TASK = shape("id status task updatedAt")
EMPTY = shape("")
ERROR = shape("code detail")


@dataclass(frozen=True)
class Operation:
    """One operation, called with only what it needs (``bare``), or with everything (``full``).

    Attributes:
        path: below ``/api/v1``; ``{app}`` and the like are ids of the test's own objects.
        answer: the shape of the body, or of the items of a listing; None for an empty body.
        listing: whether the body is a listing.
    """

    method: str
    path: str
    status: int
    answer: Shape | None = None
    bare: dict[str, Any] | None = None
    full: dict[str, Any] = field(default_factory=dict)
    listing: bool = False

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.status}"


def listing(path: str, items: Shape) -> Operation:
    """Return the operation of a listing."""
    return Operation("GET", path, 200, items, listing=True)


APP = "/app/{app}"
EP = f"{APP}/endpoint/{{endpoint}}"
MSG = f"{APP}/msg/{{message}}"
FULL_APP = {"name": "n", "rateLimit": 7, "metadata": {"a": "b"}}
FULL_ENDPOINT = {
    "url": "http://receiver/",
    "description": "d",
    "rateLimit": 7,
    "version": 2,
    "filterTypes": ["a.b"],
    "channels": ["c"],
    "metadata": {"a": "b"},
    "disabled": False,
}
FULL_EVENT_TYPE = {
    "description": "d",
    "archived": False,
    "deprecated": True,
    "schemas": {"1": {"example": {"x": 1}}},
    "featureFlag": "beta",
    "groupName": "g",
}

OPERATIONS = [
    listing("/app", APPLICATION),
    Operation("POST", "/app", 201, APPLICATION, {"name": "n"}, FULL_APP | {"uid": "{new}"}),
    Operation(
        "POST",
        "/app?get_if_exists=true",
        200,
        APPLICATION,
        None,
        {"name": "n", "uid": "{app_uid}"},
    ),
    Operation("GET", APP, 200, APPLICATION),
    Operation("PATCH", APP, 200, APPLICATION, {}, {"rateLimit": 9}),
    Operation("PUT", APP, 200, APPLICATION, {"name": "n"}, FULL_APP | {"uid": "put"}),
    Operation("PUT", "/app/{fresh}", 201, APPLICATION, None, FULL_APP | {"uid": "{fresh}"}),
    Operation("DELETE", APP, 204),
    listing(f"{APP}/endpoint", ENDPOINT),
    Operation(
        "POST",
        f"{APP}/endpoint",
        201,
        ENDPOINT,
        {"url": "http://receiver/"},
        FULL_ENDPOINT | {"uid": "{new}", "secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"},
    ),
    Operation("GET", EP, 200, ENDPOINT),
    Operation("PATCH", EP, 200, ENDPOINT, {}, {"filterTypes": ["c"], "version": 3}),
    Operation(
        "PUT", EP, 200, ENDPOINT, {"url": "http://receiver/"}, FULL_ENDPOINT | {"uid": "put"}
    ),
    Operation(
        "PUT",
        f"{APP}/endpoint/{{fresh}}",
        201,
        ENDPOINT,
        None,
        FULL_ENDPOINT | {"uid": "{fresh}"},
    ),
    Operation("DELETE", EP, 204),
    Operation("GET", f"{EP}/headers", 200, HEADERS),
    Operation("PUT", f"{EP}/headers", 204, None, {"headers": {}}, {"headers": {"x-a": "1"}}),
    Operation("PATCH", f"{EP}/headers", 204, None, {"headers": {}}, {"headers": {"x-a": None}}),
    listing(f"{EP}/msg", ENDPOINT_MESSAGE),
    Operation(
        "POST",
        f"{EP}/recover",
        202,
        TASK,
        {"since": "{past}"},
        {"since": "{past}", "until": "{now}"},
    ),
    Operation("GET", f"{EP}/secret", 200, SECRET),
    Operation("POST", f"{EP}/secret/rotate", 204, None, {}, {"gracePeriodSeconds": 0}),
    Operation("POST", f"{EP}/send-example", 200, shape(""), {"eventType": "svix.ping"}),
    Operation("GET", f"{EP}/stats", 200, STATS),
    listing(f"{APP}/msg", MESSAGE),
    Operation(
        "POST",
        f"{APP}/msg",
        202,
        MESSAGE,
        {"eventType": "a.b", "payload": {}},
        {
            "eventType": "a.b",
            "data": {"x": 1},
            "eventId": "{new}",
            "channels": ["c"],
            "payloadRetentionPeriod": 5,
            "tags": ["t"],
            "deliverAt": "{soon}",
        },
    ),
    Operation("GET", MSG, 200, MESSAGE),
    Operation("DELETE", f"{MSG}/content", 204),
    Operation("GET", f"{MSG}/attempt/{{attempt}}", 200, ATTEMPT),
    Operation("DELETE", f"{MSG}/attempt/{{attempt}}/content", 204),
    listing(f"{MSG}/endpoint", MESSAGE_ENDPOINT),
    Operation("POST", f"{MSG}/endpoint/{{endpoint}}/resend", 202, EMPTY),
    listing(f"{APP}/attempt/endpoint/{{endpoint}}", ATTEMPT),
    listing(f"{APP}/attempt/msg/{{message}}", ATTEMPT),
    # No longer in the open server's document; releases of the first major call them.
    listing(f"{MSG}/attempt", ATTEMPT),
    listing(f"{MSG}/endpoint/{{endpoint}}/attempt", ATTEMPT),
    listing("/event-type?with_content=true", EVENT_TYPE),
    Operation(
        "POST",
        "/event-type",
        201,
        EVENT_TYPE,
        {"name": "{new}", "description": "d"},
        FULL_EVENT_TYPE | {"name": "{new}"},
    ),
    Operation("GET", "/event-type/{event_type}", 200, EVENT_TYPE),
    Operation("PATCH", "/event-type/{event_type}", 200, EVENT_TYPE, {}, {"featureFlag": "f"}),
    Operation(
        "PUT", "/event-type/{event_type}", 200, EVENT_TYPE, {"description": "d"}, FULL_EVENT_TYPE
    ),
    Operation("PUT", "/event-type/{fresh}", 201, EVENT_TYPE, {"description": "d"}, FULL_EVENT_TYPE),
    Operation("DELETE", "/event-type/{event_type}", 204),
    Operation("DELETE", "/event-type/{event_type}?expunge=true", 204),
    Operation("GET", "/health", 204),
    Operation("HEAD", "/health", 204),
    Operation("GET", "/health/ping", 204),
    Operation("HEAD", "/health/ping", 204),
    # Not offered. The open server has no sessions either, and answers the second in the same way.
    Operation("POST", "/auth/app-portal-access/{app}", 501, ERROR, {}),
    Operation("POST", "/auth/logout", 501, ERROR, {}),
    Operation("POST", "/auth/dashboard-access/{app}", 501, ERROR),
]


@dataclass(frozen=True)
class Mistake:
    """A request that is refused, and how.

    Attributes:
        place: where the mistake is, for a 422; the code of the error, for others.
    """

    method: str
    path: str
    status: int
    place: tuple[str, ...] | str
    body: Any = None

    def __str__(self) -> str:
        return f"{self.method} {self.path} {self.body}"


MISTAKES = [
    Mistake("GET", "/app?limit=251", 422, ("query", "limit")),
    Mistake("GET", "/app?limit=many", 400, "generic_error"),
    Mistake("GET", "/app?order=sideways", 400, "generic_error"),
    Mistake("GET", f"{APP}/msg?before=yesterday", 400, "generic_error"),
    Mistake("GET", f"{APP}/attempt/msg/{{message}}?status=7", 400, "generic_error"),
    Mistake("GET", f"{APP}/attempt/msg/{{message}}?status_code_class=7", 400, "generic_error"),
    Mistake("GET", f"{APP}/attempt/msg/{{message}}?endpoint_id=no", 404, "not_found"),
    Mistake("GET", "/app/no", 404, "not_found"),
    Mistake("GET", f"{APP}/endpoint/no", 404, "not_found"),
    Mistake("GET", f"{APP}/msg/no", 404, "not_found"),
    Mistake("GET", f"{MSG}/attempt/no", 404, "not_found"),
    Mistake("GET", "/event-type/no", 404, "not_found"),
    Mistake("GET", "/no", 404, "not_found"),
    Mistake("POST", "/app", 422, ("body", "name"), {"name": ""}),
    Mistake("POST", "/app", 422, ("body", "uid"), {"name": "n", "uid": "no blank"}),
    Mistake("POST", "/app", 422, ("body", "uid"), {"name": "n", "uid": "app_x"}),
    Mistake("POST", "/app", 422, ("body", "rateLimit"), {"name": "n", "rateLimit": 0}),
    Mistake("POST", "/app", 409, "conflict", {"name": "n", "uid": "{app_uid}"}),
    Mistake("POST", f"{APP}/endpoint", 422, ("body", "url"), {"url": "ftp://a/"}),
    Mistake("POST", f"{APP}/endpoint", 422, ("body", "url"), {"url": ""}),
    Mistake(
        "POST", f"{APP}/endpoint", 422, ("body", "version"), {"url": "http://a/", "version": 0}
    ),
    Mistake(
        "POST",
        f"{APP}/endpoint",
        422,
        ("body", "filterTypes"),
        {"url": "http://a/", "filterTypes": []},
    ),
    Mistake(
        "POST",
        f"{APP}/endpoint",
        422,
        ("body",),
        {"url": "http://a/", "filterTypes": ["a"], "eventTypes": ["a"]},
    ),
    Mistake(
        "POST",
        f"{APP}/endpoint",
        422,
        ("body", "channels"),
        {"url": "http://a/", "channels": [f"c{number}" for number in range(11)]},
    ),
    Mistake(
        "POST", f"{APP}/endpoint", 422, ("body", "secret"), {"url": "http://a/", "secret": "x"}
    ),
    Mistake("PATCH", EP, 422, ("body", "rateLimit"), {"rateLimit": 0}),
    Mistake("PATCH", EP, 422, ("body", "version"), {"version": 0}),
    Mistake("PATCH", EP, 422, ("body", "secret"), {"secret": ""}),
    Mistake(
        "PUT",
        f"{EP}/headers",
        422,
        ("body", "headers", "content-length"),
        {"headers": {"content-length": "1"}},
    ),
    Mistake(
        "PUT", f"{EP}/headers", 422, ("body", "headers", "svix-a"), {"headers": {"svix-a": "1"}}
    ),
    Mistake(
        "PATCH",
        f"{EP}/headers",
        422,
        ("body", "headers", "x-svix-a"),
        {"headers": {"x-svix-a": "1"}},
    ),
    Mistake("PUT", f"{EP}/headers", 422, ("body", "headers", "a:b"), {"headers": {"a:b": "1"}}),
    Mistake("POST", f"{EP}/recover", 422, ("body",), {}),
    Mistake(
        "POST",
        f"{EP}/secret/rotate",
        422,
        ("body", "gracePeriodSeconds"),
        {"gracePeriodSeconds": 604_801},
    ),
    Mistake("POST", f"{EP}/send-example", 404, "not_found", {"eventType": "no"}),
    Mistake("POST", f"{EP}/send-example", 400, "invalid_scheme", {"eventType": "{event_type}"}),
    Mistake("POST", f"{APP}/msg", 422, ("body",), {"eventType": "a"}),
    Mistake("POST", f"{APP}/msg", 422, ("body",), {"eventType": "a", "payload": {}, "data": {}}),
    Mistake("POST", f"{APP}/msg", 422, ("body", "payload"), {"eventType": "a", "data": [1]}),
    Mistake("POST", f"{APP}/msg", 422, ("body", "eventType"), {"eventType": "$", "payload": {}}),
    Mistake(
        "POST",
        f"{APP}/msg",
        422,
        ("body", "channels"),
        {"eventType": "a", "payload": {}, "channels": list("abcdef")},
    ),
    Mistake("POST", "/app/no/msg", 404, "not_found", {"eventType": "a", "payload": {}}),
    Mistake(
        "POST",
        "/app/other/msg",
        422,
        ("body", "application", "uid"),
        {"eventType": "a", "payload": {}, "application": {"name": "n"}},
    ),
    Mistake(
        "POST",
        "/app/other/msg",
        422,
        ("body", "application", "uid"),
        {"eventType": "a", "payload": {}, "application": {"name": "n", "uid": "another"}},
    ),
    Mistake("POST", f"{APP}/msg", 422, ("body",), b'{"eventType":'),
    Mistake("POST", "/event-type", 422, ("body", "name"), {"name": "$", "description": "d"}),
    Mistake(
        "POST", "/event-type", 409, "event_type_exists", {"name": "{event_type}", "description": ""}
    ),
    Mistake(
        "PATCH", "/event-type/{event_type}", 422, ("body", "featureFlag"), {"featureFlag": "$"}
    ),
]

#: Listings, and whether they begin with the newest (by name: with the last) unless asked otherwise.
NEWEST_FIRST = {
    "/app": False,
    f"{APP}/endpoint": True,
    f"{APP}/msg": True,
    f"{EP}/msg": True,
    f"{APP}/attempt/endpoint/{{endpoint}}": True,
    f"{APP}/attempt/msg/{{message}}": True,
    f"{MSG}/endpoint": False,
    "/event-type": False,
}
