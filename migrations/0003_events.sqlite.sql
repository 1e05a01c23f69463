-- phase: pre
-- A dead event is one row per consumer group and event, however often it is given up; rows from
-- before this migration have deaths = 0 and stay as they are. The index on the outbox lets events
-- of one topic leave while another topic cannot be published to.

-- up
ALTER TABLE rolehost_dead_events ADD COLUMN deaths INTEGER NOT NULL DEFAULT 0;
CREATE UNIQUE INDEX rolehost_dead_events_once
    ON rolehost_dead_events (consumer_group, handler, topic, event) WHERE deaths > 0;
CREATE INDEX rolehost_outbox_topic ON rolehost_outbox (topic, id);

-- down
DROP INDEX rolehost_outbox_topic;
DROP INDEX rolehost_dead_events_once;
ALTER TABLE rolehost_dead_events DROP COLUMN deaths;
