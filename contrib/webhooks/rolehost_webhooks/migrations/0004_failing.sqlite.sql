-- up
-- When the endpoint began to fail (Unix milliseconds); NULL: it does not.
ALTER TABLE webhooks_endpoint ADD COLUMN failing_since BIGINT;

-- down
ALTER TABLE webhooks_endpoint DROP COLUMN failing_since;
