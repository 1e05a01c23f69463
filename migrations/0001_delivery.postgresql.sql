-- phase: pre
-- Times are milliseconds since the Unix epoch. States are the words of the documentation.

-- up
CREATE TABLE rolehost_processes (
    id            TEXT    NOT NULL PRIMARY KEY,
    deployment    TEXT    NOT NULL,
    role          TEXT    NOT NULL,
    slot          INTEGER NOT NULL,
    incarnation   INTEGER NOT NULL,
    host          TEXT    NOT NULL,
    pid           INTEGER NOT NULL,
    started_at    BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL
);

CREATE TABLE rolehost_leases (
    name          TEXT    NOT NULL PRIMARY KEY,
    owner         TEXT    NOT NULL,
    token         BIGINT  NOT NULL,
    expires_at    BIGINT  NOT NULL
);

CREATE TABLE rolehost_jobs (
    id            BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    queue         TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    priority      INTEGER NOT NULL,
    run_at        BIGINT  NOT NULL,
    arguments     BYTEA   NOT NULL,
    key           TEXT,
    unique_key    TEXT,
    attempt       INTEGER NOT NULL DEFAULT 0,
    crashes       INTEGER NOT NULL DEFAULT 0,
    suspect       INTEGER NOT NULL DEFAULT 0,
    cancel        INTEGER NOT NULL DEFAULT 0,
    token         BIGINT  NOT NULL DEFAULT 0,
    owner         TEXT,
    enqueued_at   BIGINT  NOT NULL,
    started_at    BIGINT,
    finished_at   BIGINT,
    error         TEXT,
    cause         TEXT
);
CREATE INDEX rolehost_jobs_ready ON rolehost_jobs (queue, priority, run_at, id)
    WHERE state = 'available';
CREATE INDEX rolehost_jobs_due ON rolehost_jobs (run_at)
    WHERE state IN ('scheduled', 'retrying');
CREATE INDEX rolehost_jobs_owner ON rolehost_jobs (owner)
    WHERE state IN ('claimed', 'running');
CREATE INDEX rolehost_jobs_finished ON rolehost_jobs (state, finished_at)
    WHERE state IN ('completed', 'cancelled', 'dead');
CREATE UNIQUE INDEX rolehost_jobs_unique ON rolehost_jobs (unique_key)
    WHERE unique_key IS NOT NULL
      AND state IN ('available', 'scheduled', 'claimed', 'running', 'retrying');
CREATE INDEX rolehost_jobs_key ON rolehost_jobs (key, id)
    WHERE key IS NOT NULL
      AND state IN ('available', 'scheduled', 'claimed', 'running', 'retrying');

CREATE TABLE rolehost_outbox (
    id            BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    shard         INTEGER NOT NULL,
    topic         TEXT    NOT NULL,
    key           BYTEA,
    headers       BYTEA   NOT NULL,
    value         BYTEA   NOT NULL,
    created_at    BIGINT  NOT NULL
);

CREATE TABLE rolehost_inbox (
    consumer_group TEXT    NOT NULL,
    event          TEXT    NOT NULL,
    handled_at     BIGINT  NOT NULL,
    PRIMARY KEY (consumer_group, event)
);
CREATE INDEX rolehost_inbox_age ON rolehost_inbox (handled_at);

CREATE TABLE rolehost_requests (
    key           TEXT    NOT NULL PRIMARY KEY,
    fingerprint   BYTEA   NOT NULL,
    status        INTEGER,
    headers       BYTEA,
    body          BYTEA,
    created_at    BIGINT  NOT NULL
);
CREATE INDEX rolehost_requests_age ON rolehost_requests (created_at);

CREATE TABLE rolehost_started_events (
    consumer_group TEXT    NOT NULL,
    event          TEXT    NOT NULL,
    starts         INTEGER NOT NULL,
    started_at     BIGINT  NOT NULL,
    PRIMARY KEY (consumer_group, event)
);

CREATE TABLE rolehost_dead_events (
    id             BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    consumer_group TEXT    NOT NULL,
    handler        TEXT    NOT NULL,
    event          TEXT    NOT NULL,
    topic          TEXT    NOT NULL,
    part           INTEGER NOT NULL,
    position       BIGINT  NOT NULL,
    key            BYTEA,
    headers        BYTEA   NOT NULL,
    value          BYTEA   NOT NULL,
    error          TEXT    NOT NULL,
    state          TEXT    NOT NULL,
    died_at        BIGINT  NOT NULL,
    published_at   BIGINT  NOT NULL
);
CREATE INDEX rolehost_dead_events_state ON rolehost_dead_events (state, consumer_group);

CREATE TABLE rolehost_ticks (
    schedule      TEXT    NOT NULL PRIMARY KEY,
    last_tick     BIGINT  NOT NULL
);

-- down
DROP TABLE rolehost_ticks;
DROP TABLE rolehost_dead_events;
DROP TABLE rolehost_started_events;
DROP TABLE rolehost_requests;
DROP TABLE rolehost_inbox;
DROP TABLE rolehost_outbox;
DROP TABLE rolehost_jobs;
DROP TABLE rolehost_leases;
DROP TABLE rolehost_processes;
