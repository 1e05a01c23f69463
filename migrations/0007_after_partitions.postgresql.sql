-- phase: post
-- What processes of before limits needed. They claim jobs by the index that is dropped here, and make
-- limited jobs available without a change; the last ones may have done so just before they ended.

-- up
INSERT INTO rolehost_partition_changes (partition_id, kind, name, queue, actor, freed)
    SELECT DISTINCT partition_id, CASE WHEN key IS NULL THEN 'partition' ELSE 'key' END,
        coalesce(key, partition, ''), queue, actor, 0
    FROM rolehost_jobs WHERE state = 'available' AND partition_id IS NOT NULL;
DROP INDEX rolehost_jobs_ready;

-- down
CREATE INDEX rolehost_jobs_ready ON rolehost_jobs (queue, priority, run_at, id)
    WHERE state = 'available';
