-- Adds a version of a purpose key; if another replica was first, its key stays.
INSERT INTO purpose_keys (purpose, version, wrapped, created_us)
VALUES ($1, $2, $3, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
ON CONFLICT (purpose, version) DO NOTHING
