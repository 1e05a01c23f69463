-- phase: pre
-- transaction: none
-- The index of partitions has no completed jobs any more. Every job of a partition that ended had to
-- be inserted at another place of it, which made jobs of very many partitions slower.

-- up
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_of_partition;
CREATE INDEX CONCURRENTLY rolehost_jobs_of_partition ON rolehost_jobs (partition, id)
    WHERE partition IS NOT NULL AND state NOT IN ('claimed', 'running', 'completed');

-- down
DROP INDEX CONCURRENTLY IF EXISTS rolehost_jobs_of_partition;
CREATE INDEX CONCURRENTLY rolehost_jobs_of_partition ON rolehost_jobs (partition, id)
    WHERE partition IS NOT NULL AND state NOT IN ('claimed', 'running');
