-- phase: pre
-- What a process runs, beside who it is; older processes leave these columns empty.

-- up
ALTER TABLE rolehost_processes ADD COLUMN manifest TEXT;
ALTER TABLE rolehost_processes ADD COLUMN version TEXT;
ALTER TABLE rolehost_processes ADD COLUMN python TEXT;
ALTER TABLE rolehost_processes ADD COLUMN state TEXT;
ALTER TABLE rolehost_processes ADD COLUMN in_flight INTEGER;
ALTER TABLE rolehost_processes ADD COLUMN renewed_at INTEGER;

CREATE TABLE rolehost_manifests (
    hash          TEXT    NOT NULL PRIMARY KEY,
    deployment    TEXT    NOT NULL,
    content       BLOB    NOT NULL,
    seen_at       INTEGER NOT NULL
);

-- down
DROP TABLE rolehost_manifests;
ALTER TABLE rolehost_processes DROP COLUMN renewed_at;
ALTER TABLE rolehost_processes DROP COLUMN in_flight;
ALTER TABLE rolehost_processes DROP COLUMN state;
ALTER TABLE rolehost_processes DROP COLUMN python;
ALTER TABLE rolehost_processes DROP COLUMN version;
ALTER TABLE rolehost_processes DROP COLUMN manifest;
