-- phase: pre
-- Parked events: a failed event, and later events of its key, wait here for the retry, so that the
-- offsets move on. Times are milliseconds since the Unix epoch.

-- up
-- A consumer group retries the first event of each row. lane: a hash of topic and key, or of topic
-- and identity for an event without a key. attempt: failed attempts of the first event. run_at: its
-- next attempt. owner: the process that handles it. suspect: a process may have died meanwhile.
CREATE TABLE rolehost_parked_keys (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    consumer_group TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    lane           BLOB    NOT NULL,
    attempt        INTEGER NOT NULL,
    run_at         INTEGER NOT NULL,
    suspect        INTEGER NOT NULL,
    owner          TEXT,
    token          INTEGER NOT NULL DEFAULT 0,
    error          TEXT    NOT NULL
);
CREATE UNIQUE INDEX rolehost_parked_keys_lane ON rolehost_parked_keys (consumer_group, lane);
CREATE INDEX rolehost_parked_keys_due ON rolehost_parked_keys (consumer_group, run_at);

-- The events of a row of rolehost_parked_keys, in the order of their ids.
CREATE TABLE rolehost_parked_events (
    id             INTEGER PRIMARY KEY AUTOINCREMENT,
    parked_key     INTEGER NOT NULL,
    event          TEXT    NOT NULL,
    part           INTEGER NOT NULL,
    position       INTEGER NOT NULL,
    key            BLOB,
    headers        BLOB    NOT NULL,
    value          BLOB    NOT NULL,
    published_at   INTEGER NOT NULL
);
CREATE UNIQUE INDEX rolehost_parked_events_once ON rolehost_parked_events (event, parked_key);
CREATE INDEX rolehost_parked_events_order ON rolehost_parked_events (parked_key, id);

-- down
DROP TABLE rolehost_parked_events;
DROP TABLE rolehost_parked_keys;
