-- up
-- Changes with every change of the application's endpoints: what is cached of them is found by it.
ALTER TABLE webhooks_application ADD COLUMN revision BIGINT NOT NULL DEFAULT 0;

-- down
ALTER TABLE webhooks_application DROP COLUMN revision;
