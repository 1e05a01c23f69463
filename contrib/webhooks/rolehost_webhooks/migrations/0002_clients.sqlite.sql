-- up
-- `version` has no meaning, but Svix's clients 1.x send it and need it back.
ALTER TABLE webhooks_endpoint ADD COLUMN version INTEGER NOT NULL DEFAULT 1;
-- Why an attempt brought no response: one of the names of `rolehost_webhooks.models.Cause`.
ALTER TABLE webhooks_attempt ADD COLUMN cause TEXT;

-- down
ALTER TABLE webhooks_attempt DROP COLUMN cause;
ALTER TABLE webhooks_endpoint DROP COLUMN version;
