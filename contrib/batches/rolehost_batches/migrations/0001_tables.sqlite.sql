-- up
-- Times are milliseconds since the Unix epoch. state: open, completed, failed or cancelled.
CREATE TABLE batches_batch (
    id            INTEGER PRIMARY KEY AUTOINCREMENT,
    description   TEXT    NOT NULL,
    state         TEXT    NOT NULL,
    step          INTEGER NOT NULL,
    steps         INTEGER NOT NULL,
    created_at    BIGINT  NOT NULL,
    finished_at   BIGINT
);
CREATE INDEX batches_batch_open ON batches_batch (id) WHERE state = 'open';
CREATE INDEX batches_batch_age ON batches_batch (finished_at) WHERE finished_at IS NOT NULL;

-- role: step, success, failure or end. state: open, completed, dead, cancelled, lost or skipped.
CREATE TABLE batches_member (
    job           BIGINT  NOT NULL PRIMARY KEY,
    batch         BIGINT  NOT NULL,
    step          INTEGER NOT NULL,
    role          TEXT    NOT NULL,
    state         TEXT    NOT NULL
);
CREATE INDEX batches_member_batch ON batches_member (batch, job);
CREATE INDEX batches_member_open ON batches_member (batch, step) WHERE state = 'open' AND role = 'step';

CREATE TABLE batches_result (
    job           BIGINT  NOT NULL PRIMARY KEY,
    value         BLOB   NOT NULL,
    expires_at    BIGINT  NOT NULL
);
CREATE INDEX batches_result_expiry ON batches_result (expires_at);

CREATE TABLE batches_progress (
    job           BIGINT  NOT NULL PRIMARY KEY,
    value         REAL  NOT NULL,
    text          TEXT    NOT NULL,
    updated_at    BIGINT  NOT NULL
);
CREATE INDEX batches_progress_age ON batches_progress (updated_at);

-- down
DROP TABLE batches_progress;
DROP TABLE batches_result;
DROP TABLE batches_member;
DROP TABLE batches_batch;
