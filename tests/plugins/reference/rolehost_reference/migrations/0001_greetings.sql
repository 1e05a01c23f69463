-- up
CREATE TABLE reference_greetings (
    id TEXT PRIMARY KEY,
    name TEXT NOT NULL,
    handled INTEGER NOT NULL DEFAULT 0,
    counted INTEGER NOT NULL DEFAULT 0
);

-- down
DROP TABLE reference_greetings;
