-- Deletes at most $1 rows of events older than 7 days, the oldest first. $2 now in µs, or NULL for the database's clock.
WITH page AS MATERIALIZED (
    SELECT event_id FROM event_contexts
    WHERE event_id < (SELECT event_floor(coalesce($2::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) - 604800000000))
    ORDER BY event_id
    LIMIT $1::bigint
    FOR UPDATE SKIP LOCKED
),
gone AS (
    DELETE FROM event_contexts e USING page p WHERE e.event_id = ANY (ARRAY[p.event_id]) RETURNING 1
)
SELECT (SELECT count(*) FROM page) AS seen, (SELECT count(*) FROM gone) AS gone
