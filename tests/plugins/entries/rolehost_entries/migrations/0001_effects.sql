-- up
CREATE TABLE entries_effects (
    kind TEXT NOT NULL,
    entry TEXT NOT NULL,
    key TEXT NOT NULL,
    seq BIGINT NOT NULL,
    position BIGINT NOT NULL
);
CREATE INDEX entries_effects_entry ON entries_effects (entry);
CREATE TABLE entries_counters (
    name TEXT PRIMARY KEY,
    value BIGINT NOT NULL
);

-- down
DROP TABLE entries_counters;
DROP TABLE entries_effects;
