-- Which migrations this database has had. Not a migration itself: run at each start, changes nothing the second time.
CREATE TABLE IF NOT EXISTS schema_migrations (
    version    int         PRIMARY KEY,
    name       text        NOT NULL,
    -- SHA-256 of the file: an applied migration is never edited.
    checksum   bytea       NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT now()
);
-- The last migration that a binary must know to serve the schema after this one. 0: any.
ALTER TABLE schema_migrations ADD COLUMN IF NOT EXISTS min_binary int NOT NULL DEFAULT 0;
