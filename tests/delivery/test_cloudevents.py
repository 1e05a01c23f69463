"""CloudEvents 1.0: valid events, decoding, and times."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import msgspec
import pytest
from rolehost.api import Event, Partition, PayloadError, Record
from rolehost.api.delivery import DeliverySettings
from rolehost.delivery import envelope
from rolehost.delivery.cloudevents import format_time, parse_time
from rolehost.delivery.scopes import unit_of_work

STRUCTURED = (("content-type", b"application/cloudevents+json; charset=UTF-8"),)


def event(**fields):
    return Event(**{"topic": "t", "type": "thing.made", "data": {"n": 1}, **fields})


def write(given, **more):
    return envelope.to_record(given, **{"event_id": "1", "source": "/s", "now": 0, **more})


def read(record, decoder=None):
    return envelope.to_event(record.read_at(Partition(record.topic, 0), 7, 0), decoder)


def identity(record):
    return envelope.identity(record.read_at(Partition(record.topic, 0), 7, 0))


def ce(**attributes):
    known = {"specversion": "1.0", "id": "1", "source": "/s", "type": "x", **attributes}
    return tuple((f"ce_{name}", text.encode()) for name, text in known.items() if text is not None)


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2024-01-02T03:04:05Z", "2024-01-02T03:04:05+00:00"),
        ("2024-01-02t03:04:05z", "2024-01-02T03:04:05+00:00"),
        ("2024-01-02T03:04:05.1234567890123Z", "2024-01-02T03:04:05.123456+00:00"),
        ("2024-01-02T03:04:05.1+05:30", "2024-01-02T03:04:05.100000+05:30"),
        ("2024-01-02T03:04:05-00:00", "2024-01-02T03:04:05+00:00"),
        ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00+00:00"),
        ("2016-12-31T15:59:60.5-08:00", "2016-12-31T16:00:00-08:00"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00+00:00"),
    ],
)
def test_a_time_is_decoded_by_rfc_3339(text, moment):
    assert parse_time(text).isoformat() == moment
    assert read(Record("t", b"", None, ce(time=text))).time == datetime.fromisoformat(moment)


@pytest.mark.parametrize(
    "text",
    [
        "2024-01-02",
        "2024-01-02T03:04:05",
        "2024-01-02 03:04:05Z",
        "20240102T030405Z",
        "2024-W01-2T03:04:05Z",
        "2024-01-02T03:04Z",
        "2024-01-02T24:00:00Z",
        "2024-02-30T00:00:00Z",
        "2024-01-02T03:04:05.Z",
        "2024-01-02T03:04:05+0530",
        "2024-01-02T03:04:05+24:00",
        "2024-01-02T03:04:60Z",
        "9999-12-31T23:59:60Z",
        "٢٠٢٤-01-02T03:04:05Z",
        "yesterday",
        "",
    ],
)
def test_an_invalid_rfc_3339_time_cannot_be_decoded(text):
    with pytest.raises(PayloadError, match="ValueError"):
        read(Record("t", b"", None, ce(time=text)))


def test_a_time_is_written_in_utc():
    zone = timezone(timedelta(hours=5, minutes=53, seconds=28))
    assert format_time(datetime(2024, 1, 2, 3, tzinfo=zone)) == "2024-01-01T21:06:32Z"
    with pytest.raises(PayloadError, match="years 1 to 9999"):
        write(event(time=datetime(1, 1, 1, tzinfo=timezone(timedelta(hours=1)))))


@pytest.mark.parametrize(
    "fields",
    [
        {"type": ""},
        {"type": "a\x00b"},
        {"type": "a\ud800"},
        {"type": None},
        {"topic": ""},
        {"source": "a source"},
        {"source": "/100%"},
        {"source": "1:a:b"},
        {"subject": ""},
        {"subject": "line\nbreak"},
        {"subject": 3},
        {"time": datetime(2024, 1, 1)},
        {"time": "2024-01-01T00:00:00Z"},
        {"key": b"bytes"},
        {"content_type": ""},
        {"content_type": "json"},
        {"content_type": "application/cloudevents+json"},
        {"extensions": {"My-Ext": "1"}},
        {"extensions": {"": "1"}},
        {"extensions": {"a" * 21: "1"}},
        {"extensions": {"type": "evil"}},
        {"extensions": {"data": "evil"}},
        {"extensions": {"n": 1}},
        {"extensions": {"n": None}},
        {"extensions": {"dataschema": "relative"}},
        {"data": {"n": {1, 2}, "o": object()}},
    ],
    ids=str,
)
def test_an_event_that_cloudevents_do_not_allow_is_refused(fields):
    with pytest.raises(PayloadError, match="event "):
        write(event(**fields))


@pytest.mark.parametrize("event_id", ["", "a\x07b"])
def test_an_id_is_a_text_that_is_not_empty(event_id):
    with pytest.raises(PayloadError, match="id: expected"):
        write(event(), event_id=event_id)


def test_a_refused_event_is_not_stored(bench):
    bench.make_runtime(publishes=("t",))
    with bench.unit_of_work() as work:
        with pytest.raises(PayloadError):
            work.publish(event(type=""))
        work.publish(event())
    assert bench.count("rolehost_outbox") == 1


@pytest.mark.parametrize("mode", ["binary", "structured"])
@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"subject": "s ü", "extensions": {"tenant": "å", "empty": ""}},
        {"extensions": {"dataschema": "https://example.com/s"}, "source": "urn:a:b"},
        {"key": "\udcff\udcfe", "time": datetime(2024, 1, 1, tzinfo=UTC)},
        {"data": b'{"n" : 1.0}'},
        {"data": b"\x00\xff", "content_type": "application/octet-stream"},
        {"data": b'"text"', "content_type": "text/plain; charset=utf-8"},
        {"data": b'{"a":1}', "content_type": "application/vnd.a+json"},
        {"source": "mailto:a@b", "content_type": 'multipart/x; boundary="a b"'},
    ],
    ids=str,
)
def test_an_event_comes_back_as_it_was_published_in_either_mode(mode, fields):
    given = event(**fields)
    record = write(given, mode=mode)
    assert len(record.headers) == 1 or mode == "binary"
    back = read(record)
    data = given.data if isinstance(given.data, bytes) else msgspec.json.encode(given.data)
    assert (back.data, back.id, back.source) == (data, "1", given.source or "/s")
    for name in ("topic", "type", "key", "subject", "content_type", "extensions"):
        assert getattr(back, name) == getattr(given, name)
    assert back.time == (given.time or datetime.fromtimestamp(0, UTC))
    assert identity(record) == f"{given.source or '/s'} 1"


def test_data_that_is_no_json_is_not_written_as_json():
    with pytest.raises(PayloadError, match="data: expected application/json"):
        write(event(data=b"{"), mode="structured")


def test_the_mode_that_is_written_is_a_setting_of_the_topic(bench):
    policy = DeliverySettings(content_modes={"t": "structured"})
    runtime = bench.make_runtime(publishes=("t", "other"), policy=policy)
    with unit_of_work(runtime) as work:
        work.publish(event())
        work.publish(event(topic="other"))
    with bench.database.session():
        rows = bench.database.read("SELECT topic, value FROM rolehost_outbox ORDER BY topic")
    assert [(topic, b"specversion" in bytes(value)) for topic, value in rows] == [
        ("other", False),
        ("t", True),
    ]


def test_names_of_attributes_are_read_without_regard_to_case():
    headers = (("CE_Id", b"1"), ("Ce_sourcE", b"/s"), ("CE_TYPE", b"x"), ("ce_Tenant", b"a"))
    back = read(Record("t", b"", None, (*headers, ("Content-Type", b"text/plain"))))
    assert (back.id, back.source, back.type, back.content_type) == ("1", "/s", "x", "text/plain")
    assert back.extensions == {"tenant": "a"}
    assert identity(Record("t", b"", None, headers)) == "/s 1"


def test_headers_of_others_and_binary_keys_leave_an_event_as_it_is():
    foreign = (("trace", b"\xff"), ("trace", b"\xfe"), ("ü", b""), ("CE", b"\xff"))
    back = read(Record("t", b"d", b"\xff\x00", (*foreign, *ce())))
    assert (back.id, back.data, back.extensions) == ("1", b"d", {})
    assert write(event(key=back.key)).key == b"\xff\x00"


@pytest.mark.parametrize(
    "headers",
    [
        (*ce(), ("na\udcffme", b"")),
        (*ce(), ("ce_x", b"\xff")),
        (*ce(), ("ce_id", b"2")),
        (*ce(), ("CE_ID", b"2")),
        (*ce(), ("content-type", b"\xff")),
        (*ce(), ("content-type", b"a/b"), ("Content-Type", b"a/b")),
        ce(specversion="0.3"),
        ce(id=None),
        ce(source=None),
        ce(type=None),
        ce(id=""),
        ce(source=""),
        ce(source="a b"),
        ce(type=""),
        ce(subject=""),
        ce(dataschema=""),
        (*ce(), ("content-type", b"")),
        (("content-type", b"application/cloudevents-batch+json"),),
        (("content-type", b"application/cloudevents+avro"),),
    ],
    ids=str,
)
def test_attributes_that_are_not_allowed_cannot_be_decoded(headers):
    with pytest.raises(PayloadError):
        read(Record("t", b"{}", None, headers))


@pytest.mark.parametrize(
    "value",
    [
        b"",
        b"\xff",
        b"[]",
        b"{}",
        b'{"specversion":"1.0"}',
        b'{"specversion":"1.0","id":"1","source":"/s"}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","data":1,"data_base64":""}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","data_base64":"!"}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","ext":{}}',
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","ext":1.5}',
        b'{"specversion":"1.0","id":"1","Id":"2","source":"/s","type":"x"}',
        b"[" * 100_000,
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","data":' + b"[" * 100_000,
    ],
    ids=lambda value: value[:80].decode(errors="replace"),
)
def test_a_structured_event_that_is_none_cannot_be_decoded(value):
    with pytest.raises(PayloadError):
        read(Record("t", value, None, STRUCTURED))


def test_a_structured_event_of_others_is_read():
    value = (
        b'{"specversion":"1.0","id":"1","source":"/s","type":"x","subject":null,"flag":true,'
        b'"count":-3,"time":"2024-01-02t03:04:05z","data":{"n": 1.50}}'
    )
    back = read(Record("t", value, b"k", STRUCTURED))
    assert (back.data, back.subject, back.key) == (b'{"n": 1.50}', None, "k")
    assert back.extensions == {"flag": "true", "count": "-3"}
    assert read(Record("t", value, None, STRUCTURED), msgspec.json.Decoder()).data == {"n": 1.5}


def test_a_payload_that_is_too_deep_cannot_be_decoded():
    with pytest.raises(PayloadError, match="Recursion"):
        read(Record("t", b"[" * 100_000, None, ce()), msgspec.json.Decoder())


@pytest.mark.parametrize("timestamp", [-1, -(2**63), 2**63 - 1])
def test_any_number_is_taken_for_the_time_of_a_record(timestamp):
    record = Record("t", b"", timestamp=timestamp)
    assert 1970 <= envelope.to_event(record, None).time.year <= 9999


def test_no_two_events_have_the_same_identity():
    records = [
        Record("t", b"", None, (("ce_source", source), ("ce_id", event_id)))
        for source, event_id in ((b"a", b"b c"), (b"a b", b"c"), (b"b", b"c"), (b"", b"a b c"))
    ]
    assert len({identity(record) for record in records}) == len(records)
    # Where they cannot be read, the position is all that is known.
    for headers in ((("ce_id", b"\xff"),), (("ce_id", b"1"), ("ce_id", b"2")), ()):
        assert identity(Record("t", b"", None, headers)) == "t/0/7"
