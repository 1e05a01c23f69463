-- phase: pre
-- The time after which a job does not start, milliseconds since the Unix epoch; NULL: never. The
-- index finds the jobs that expired while they waited.

-- up
ALTER TABLE rolehost_jobs ADD COLUMN expires_at INTEGER;
CREATE INDEX rolehost_jobs_expires ON rolehost_jobs (expires_at)
    WHERE expires_at IS NOT NULL AND state IN ('available', 'scheduled', 'retrying');

-- down
DROP INDEX rolehost_jobs_expires;
ALTER TABLE rolehost_jobs DROP COLUMN expires_at;
