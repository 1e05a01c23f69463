-- phase: pre
-- Until when a job is unique, and how the ticks of schedules went.

-- up
-- unique_held: 0 its unique text is free, or it has none · 1 taken until a process takes the job
-- · 2 until the job is over · 3 until unique_until (milliseconds), whatever becomes of the job.
ALTER TABLE rolehost_jobs ADD COLUMN unique_held INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rolehost_jobs ADD COLUMN unique_until INTEGER;
UPDATE rolehost_jobs SET unique_held = 2
    WHERE unique_key IS NOT NULL
      AND state IN ('available', 'scheduled', 'claimed', 'running', 'retrying');
DROP INDEX rolehost_jobs_unique;
CREATE UNIQUE INDEX rolehost_jobs_unique ON rolehost_jobs (unique_key)
    WHERE unique_key IS NOT NULL
      AND (unique_held = 3 OR (unique_held IN (1, 2)
      AND state IN ('available', 'scheduled', 'claimed', 'running', 'retrying')));

ALTER TABLE rolehost_ticks ADD COLUMN failures INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rolehost_ticks ADD COLUMN failed_at INTEGER;
ALTER TABLE rolehost_ticks ADD COLUMN error TEXT;
ALTER TABLE rolehost_ticks ADD COLUMN set_back_at INTEGER;
ALTER TABLE rolehost_ticks ADD COLUMN set_back_from INTEGER;

-- down
ALTER TABLE rolehost_ticks DROP COLUMN set_back_from;
ALTER TABLE rolehost_ticks DROP COLUMN set_back_at;
ALTER TABLE rolehost_ticks DROP COLUMN error;
ALTER TABLE rolehost_ticks DROP COLUMN failed_at;
ALTER TABLE rolehost_ticks DROP COLUMN failures;
DROP INDEX rolehost_jobs_unique;
UPDATE rolehost_jobs SET unique_key = NULL WHERE unique_held <> 2;
CREATE UNIQUE INDEX rolehost_jobs_unique ON rolehost_jobs (unique_key)
    WHERE unique_key IS NOT NULL
      AND state IN ('available', 'scheduled', 'claimed', 'running', 'retrying');
ALTER TABLE rolehost_jobs DROP COLUMN unique_until;
ALTER TABLE rolehost_jobs DROP COLUMN unique_held;
