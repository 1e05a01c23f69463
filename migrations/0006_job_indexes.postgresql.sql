-- phase: pre
-- transaction: none
-- The indexes of limits, listings and metrics. CONCURRENTLY lets the fleet enqueue and run jobs
-- meanwhile; a build that failed leaves an invalid index, which is dropped first.

-- up
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_unlimited;
CREATE INDEX CONCURRENTLY rolehost_jobs_unlimited ON rolehost_jobs (queue, priority, run_at, id)
    WHERE state = 'available' AND partition_id IS NULL;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_partition;
CREATE INDEX CONCURRENTLY rolehost_jobs_partition ON rolehost_jobs (partition_id, priority, run_at, id)
    WHERE state = 'available' AND partition_id IS NOT NULL AND key IS NULL;
-- Cancelled jobs that a process holds; workers ask for them many times a second.
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_cancelled;
CREATE INDEX CONCURRENTLY rolehost_jobs_cancelled ON rolehost_jobs (owner)
    WHERE cancel = 1 AND state IN ('claimed', 'running');
-- For the listings of jobs and the metrics. Jobs that are held are few, and have an index already.
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_listed;
CREATE INDEX CONCURRENTLY rolehost_jobs_listed ON rolehost_jobs (state, queue, actor, id)
    WHERE state NOT IN ('claimed', 'running');
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_of_partition;
CREATE INDEX CONCURRENTLY rolehost_jobs_of_partition ON rolehost_jobs (partition, id)
    WHERE partition IS NOT NULL AND state NOT IN ('claimed', 'running');
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_dead;
CREATE INDEX CONCURRENTLY rolehost_jobs_dead ON rolehost_jobs (actor, finished_at) WHERE state = 'dead';
DROP INDEX CONCURRENTLY IF EXISTS rolehost_dead_events_died;
CREATE INDEX CONCURRENTLY rolehost_dead_events_died ON rolehost_dead_events (died_at);
DROP INDEX CONCURRENTLY IF EXISTS rolehost_dead_events_handler;
CREATE INDEX CONCURRENTLY rolehost_dead_events_handler ON rolehost_dead_events (handler, died_at);

-- down
DROP INDEX CONCURRENTLY IF EXISTS rolehost_dead_events_handler;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_dead_events_died;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_dead;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_of_partition;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_listed;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_cancelled;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_partition;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_unlimited;
