-- phase: pre
-- The indexes of limits, listings and metrics.

-- up
CREATE INDEX rolehost_jobs_unlimited ON rolehost_jobs (queue, priority, run_at, id)
    WHERE state = 'available' AND partition_id IS NULL;
CREATE INDEX rolehost_jobs_partition ON rolehost_jobs (partition_id, priority, run_at, id)
    WHERE state = 'available' AND partition_id IS NOT NULL AND key IS NULL;
-- Cancelled jobs that a process holds; workers ask for them many times a second.
CREATE INDEX rolehost_jobs_cancelled ON rolehost_jobs (owner)
    WHERE cancel = 1 AND state IN ('claimed', 'running');
-- For the listings of jobs and the metrics. Jobs that are held are few, and have an index already.
CREATE INDEX rolehost_jobs_listed ON rolehost_jobs (state, queue, actor, id)
    WHERE state NOT IN ('claimed', 'running');
CREATE INDEX rolehost_jobs_of_partition ON rolehost_jobs (partition, id)
    WHERE partition IS NOT NULL AND state NOT IN ('claimed', 'running');
CREATE INDEX rolehost_jobs_dead ON rolehost_jobs (actor, finished_at) WHERE state = 'dead';
CREATE INDEX rolehost_dead_events_died ON rolehost_dead_events (died_at);
CREATE INDEX rolehost_dead_events_handler ON rolehost_dead_events (handler, died_at);

-- down
DROP INDEX rolehost_dead_events_handler;
DROP INDEX rolehost_dead_events_died;
DROP INDEX rolehost_jobs_dead;
DROP INDEX rolehost_jobs_of_partition;
DROP INDEX rolehost_jobs_listed;
DROP INDEX rolehost_jobs_cancelled;
DROP INDEX rolehost_jobs_partition;
DROP INDEX rolehost_jobs_unlimited;
