-- phase: pre
-- What operators change of schedules at run time, and the last job of each. Schedulers of an older
-- version ignore pauses and changed times.

-- up
-- skipped: ticks without a job, because the job before had not finished. cron, every, timezone: set
-- at run time; NULL: as the plugin declares.
ALTER TABLE rolehost_ticks ADD COLUMN last_job BIGINT;
ALTER TABLE rolehost_ticks ADD COLUMN skipped BIGINT NOT NULL DEFAULT 0;
ALTER TABLE rolehost_ticks ADD COLUMN paused INTEGER NOT NULL DEFAULT 0;
ALTER TABLE rolehost_ticks ADD COLUMN cron TEXT;
ALTER TABLE rolehost_ticks ADD COLUMN every DOUBLE PRECISION;
ALTER TABLE rolehost_ticks ADD COLUMN timezone TEXT;

-- down
ALTER TABLE rolehost_ticks DROP COLUMN timezone;
ALTER TABLE rolehost_ticks DROP COLUMN every;
ALTER TABLE rolehost_ticks DROP COLUMN cron;
ALTER TABLE rolehost_ticks DROP COLUMN paused;
ALTER TABLE rolehost_ticks DROP COLUMN skipped;
ALTER TABLE rolehost_ticks DROP COLUMN last_job;
