-- up
-- Ids sort by time, byte by byte: every id column has the collation "C".
CREATE TABLE webhooks_application (
    id TEXT COLLATE "C" PRIMARY KEY,
    uid TEXT COLLATE "C",
    name TEXT NOT NULL,
    throttle_rate INTEGER,
    metadata TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE UNIQUE INDEX webhooks_application_uid ON webhooks_application (uid);
CREATE INDEX webhooks_application_deleted ON webhooks_application (deleted_at) WHERE deleted_at IS NOT NULL;

CREATE TABLE webhooks_endpoint (
    id TEXT COLLATE "C" PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL,
    uid TEXT COLLATE "C",
    url TEXT NOT NULL,
    description TEXT NOT NULL,
    throttle_rate INTEGER,
    event_types TEXT,
    channels TEXT,
    headers TEXT NOT NULL,
    metadata TEXT NOT NULL,
    disabled BOOLEAN NOT NULL,
    secret TEXT NOT NULL,
    old_secrets TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL,
    deleted_at BIGINT
);
CREATE INDEX webhooks_endpoint_app ON webhooks_endpoint (app_id, id);
CREATE UNIQUE INDEX webhooks_endpoint_uid ON webhooks_endpoint (app_id, uid);

CREATE TABLE webhooks_event_type (
    name TEXT COLLATE "C" PRIMARY KEY,
    description TEXT NOT NULL,
    schemas TEXT,
    archived BOOLEAN NOT NULL,
    deprecated BOOLEAN NOT NULL,
    group_name TEXT,
    feature_flags TEXT,
    created_at BIGINT NOT NULL,
    updated_at BIGINT NOT NULL
);

CREATE TABLE webhooks_message (
    id TEXT COLLATE "C" PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL,
    event_id TEXT COLLATE "C",
    superseded BIGINT NOT NULL DEFAULT 0,
    event_type TEXT COLLATE "C" NOT NULL,
    channels TEXT,
    tags TEXT,
    payload BYTEA,
    content_type TEXT,
    payload_expires_at BIGINT,
    deliver_at BIGINT,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhooks_message_app ON webhooks_message (app_id, id);
CREATE UNIQUE INDEX webhooks_message_event ON webhooks_message (app_id, event_id, superseded)
    WHERE event_id IS NOT NULL;
CREATE INDEX webhooks_message_expiry ON webhooks_message (payload_expires_at)
    WHERE payload_expires_at IS NOT NULL;

CREATE TABLE webhooks_delivery (
    message_id TEXT COLLATE "C" NOT NULL,
    endpoint_id TEXT COLLATE "C" NOT NULL,
    status SMALLINT NOT NULL,
    next_attempt BIGINT,
    attempts INTEGER NOT NULL,
    updated_at BIGINT NOT NULL,
    PRIMARY KEY (message_id, endpoint_id)
);
CREATE INDEX webhooks_delivery_endpoint ON webhooks_delivery (endpoint_id, message_id);
CREATE INDEX webhooks_delivery_next ON webhooks_delivery (next_attempt) WHERE next_attempt IS NOT NULL;

CREATE TABLE webhooks_attempt (
    id TEXT COLLATE "C" PRIMARY KEY,
    app_id TEXT COLLATE "C" NOT NULL,
    message_id TEXT COLLATE "C" NOT NULL,
    endpoint_id TEXT COLLATE "C" NOT NULL,
    url TEXT NOT NULL,
    response TEXT NOT NULL,
    response_status SMALLINT NOT NULL,
    duration INTEGER NOT NULL,
    status SMALLINT NOT NULL,
    "trigger" SMALLINT NOT NULL,
    created_at BIGINT NOT NULL
);
CREATE INDEX webhooks_attempt_message ON webhooks_attempt (message_id, id);
CREATE INDEX webhooks_attempt_endpoint ON webhooks_attempt (endpoint_id, id);

-- down
DROP TABLE webhooks_attempt;
DROP TABLE webhooks_delivery;
DROP TABLE webhooks_message;
DROP TABLE webhooks_event_type;
DROP TABLE webhooks_endpoint;
DROP TABLE webhooks_application;
