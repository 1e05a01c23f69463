-- phase: pre
-- Limits and partitions. The columns of a job: partition is the value that its enqueuer gave or the
-- actor computed; partition_id is a hash of it, or of the key, and NULL for jobs without limits.
-- Times with _us are microseconds since the Unix epoch.

-- up
ALTER TABLE rolehost_jobs ADD COLUMN partition TEXT;
ALTER TABLE rolehost_jobs ADD COLUMN partition_id BIGINT;
-- Most queues and actors have jobs in few states, so the planner must know the combinations.
CREATE STATISTICS rolehost_jobs_kinds (mcv) ON state, queue, actor FROM rolehost_jobs;

-- kind: partition or key. held: claimed jobs whose end is not applied yet. turn: partitions with a
-- lower one are served first. next_at_us: the theoretical arrival time of the rate limit. due_at_us:
-- when the rate limit lets a closed partition be opened again.
CREATE TABLE rolehost_partitions (
    id            BIGINT  NOT NULL PRIMARY KEY,
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    queue         TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    open          INTEGER NOT NULL,
    turn          BIGINT  NOT NULL,
    held          INTEGER NOT NULL DEFAULT 0,
    next_at_us    BIGINT  NOT NULL DEFAULT 0,
    due_at_us     BIGINT
);
CREATE INDEX rolehost_partitions_open ON rolehost_partitions (queue, actor, turn) WHERE open = 1;
CREATE INDEX rolehost_partitions_due ON rolehost_partitions (due_at_us)
    WHERE due_at_us IS NOT NULL;

-- Rows that ask a worker to look at a partition again; freed: jobs whose claim has ended.
CREATE TABLE rolehost_partition_changes (
    id            BIGINT  GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    partition_id  BIGINT  NOT NULL,
    kind          TEXT    NOT NULL,
    name          TEXT    NOT NULL,
    queue         TEXT    NOT NULL,
    actor         TEXT    NOT NULL,
    freed         INTEGER NOT NULL
);

-- name: actor:NAME, queue:NAME or partition:ACTOR/NAME. concurrency, rate (jobs a second) and burst
-- were set at run time; changed_at is in milliseconds, 0 if nothing was.
CREATE TABLE rolehost_limits (
    name          TEXT    NOT NULL PRIMARY KEY,
    held          INTEGER NOT NULL DEFAULT 0,
    next_at_us    BIGINT  NOT NULL DEFAULT 0,
    concurrency   INTEGER,
    rate          DOUBLE PRECISION,
    burst         INTEGER,
    changed_at    BIGINT  NOT NULL DEFAULT 0
);

-- down
DROP TABLE rolehost_limits;
DROP TABLE rolehost_partition_changes;
DROP TABLE rolehost_partitions;
DROP STATISTICS rolehost_jobs_kinds;
ALTER TABLE rolehost_jobs DROP COLUMN partition_id;
ALTER TABLE rolehost_jobs DROP COLUMN partition;
