-- Gives the next $2 events behind $1 that are older than 10 s: ids are made before the commit, so a younger one could still come before them.
SELECT e.event_id, e.type, e.tenant_id, e.actor::text, e.targets::text, x.context::text, e.data::text
FROM (
    SELECT * FROM events
    WHERE event_id > $1 AND event_id < (SELECT event_floor((extract(epoch FROM clock_timestamp()) * 1000000)::bigint - 10000000))
    ORDER BY event_id
    LIMIT $2
) e LEFT JOIN LATERAL (SELECT x.context FROM event_contexts x WHERE x.event_id = e.event_id LIMIT 1) x ON true
ORDER BY e.event_id
