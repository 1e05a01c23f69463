-- up
-- Whether the endpoint gets its messages one after the other, in their order; NULL: no.
ALTER TABLE webhooks_endpoint ADD COLUMN fifo BOOLEAN;

-- down
ALTER TABLE webhooks_endpoint DROP COLUMN fifo;
