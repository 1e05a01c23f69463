-- phase: pre
-- The history of jobs: each failed attempt, and each attempt of the actors that ask for it. Times
-- are milliseconds since the Unix epoch.

-- up
CREATE TABLE rolehost_attempts (
    id            BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    job           BIGINT  NOT NULL,
    attempt       INTEGER NOT NULL,
    outcome       TEXT    NOT NULL,
    started_at    BIGINT  NOT NULL,
    ended_at      BIGINT  NOT NULL,
    process       TEXT    NOT NULL,
    version       TEXT,
    error         TEXT,
    traceback     TEXT,
    log           TEXT
);
CREATE INDEX rolehost_attempts_of_job ON rolehost_attempts (job, id);
CREATE INDEX rolehost_attempts_age ON rolehost_attempts (ended_at);

-- down
DROP TABLE rolehost_attempts;
