-- Topics of the embedded stream, their records, and the consumer groups that read them.
-- Times are milliseconds since the Unix epoch.

-- up
CREATE TABLE embedded_topics (
    id          INTEGER PRIMARY KEY,
    name        TEXT    NOT NULL UNIQUE,
    partitions  INTEGER NOT NULL
);

CREATE TABLE embedded_partitions (
    topic_id    INTEGER NOT NULL REFERENCES embedded_topics (id),
    number      INTEGER NOT NULL,
    next_offset INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (topic_id, number)
) WITHOUT ROWID;

CREATE TABLE embedded_records (
    topic_id    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    timestamp   INTEGER NOT NULL,
    key         BLOB,
    headers     BLOB,
    value       BLOB    NOT NULL,
    PRIMARY KEY (topic_id, number, position)
);

CREATE TABLE embedded_members (
    group_name  TEXT    NOT NULL,
    member      TEXT    NOT NULL,
    expires_at  INTEGER NOT NULL,
    PRIMARY KEY (group_name, member)
) WITHOUT ROWID;

CREATE TABLE embedded_subscriptions (
    group_name  TEXT    NOT NULL,
    topic_id    INTEGER NOT NULL,
    member      TEXT    NOT NULL,
    PRIMARY KEY (group_name, topic_id, member)
) WITHOUT ROWID;

CREATE TABLE embedded_claims (
    group_name  TEXT    NOT NULL,
    topic_id    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    member      TEXT    NOT NULL,
    PRIMARY KEY (group_name, topic_id, number)
) WITHOUT ROWID;

CREATE TABLE embedded_offsets (
    group_name  TEXT    NOT NULL,
    topic_id    INTEGER NOT NULL,
    number      INTEGER NOT NULL,
    position    INTEGER NOT NULL,
    PRIMARY KEY (group_name, topic_id, number)
) WITHOUT ROWID;

-- down
DROP TABLE embedded_offsets;
DROP TABLE embedded_claims;
DROP TABLE embedded_subscriptions;
DROP TABLE embedded_members;
DROP TABLE embedded_records;
DROP TABLE embedded_partitions;
DROP TABLE embedded_topics;
