-- up
-- Whether the endpoint gets its messages one after the other, in their order.
ALTER TABLE webhooks_endpoint ADD COLUMN fifo INTEGER NOT NULL DEFAULT 0;

-- down
ALTER TABLE webhooks_endpoint DROP COLUMN fifo;
