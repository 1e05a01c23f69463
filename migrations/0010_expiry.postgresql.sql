-- phase: pre
-- transaction: none
-- The time after which a job does not start, milliseconds since the Unix epoch; NULL: never. The
-- index finds the jobs that expired while they waited.

-- up
DO $$ BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    ALTER TABLE rolehost_jobs ADD COLUMN IF NOT EXISTS expires_at BIGINT;
END $$;
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_expires;
CREATE INDEX CONCURRENTLY rolehost_jobs_expires ON rolehost_jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('available', 'scheduled', 'retrying');

-- down
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_expires;
DO $$ BEGIN
    PERFORM set_config('lock_timeout', '1s', true);
    ALTER TABLE rolehost_jobs DROP COLUMN IF EXISTS expires_at;
END $$;
