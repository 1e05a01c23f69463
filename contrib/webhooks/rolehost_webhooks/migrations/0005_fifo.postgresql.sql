-- up
-- Whether the endpoint gets its messages one after the other, in their order.
ALTER TABLE webhooks_endpoint ADD COLUMN fifo BOOLEAN NOT NULL DEFAULT FALSE;

-- down
ALTER TABLE webhooks_endpoint DROP COLUMN fifo;
