-- Claims rows whose lease has passed (a crash, a mail put off, what did not fit into memory), each for one claimant, by lanes in turn.
--
-- $1 now in µs, or NULL for the database's clock. $2 holder, $3 lease in µs, $4 the newest version that can be read.
-- $5 lanes, $6 rows of each to look at; together the rows have at most $7 mails.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
free AS MATERIALIZED (
    SELECT l.lane, o.batch_id, o.leased_us, o.mails
    FROM clock CROSS JOIN generate_series(0, $5::int - 1) AS l (lane) CROSS JOIN LATERAL (
        SELECT o.batch_id, o.leased_us, o.mails FROM outbox o
        WHERE o.lane = l.lane::smallint AND o.leased_us <= clock.now_us AND o.version <= $4::smallint
        ORDER BY o.leased_us
        LIMIT $6::bigint
        FOR UPDATE SKIP LOCKED
    ) o
),
in_turn AS MATERIALIZED (
    SELECT batch_id, sum(mails) OVER (ORDER BY turn, lane ROWS UNBOUNDED PRECEDING) AS upto
    FROM (SELECT *, row_number() OVER (PARTITION BY lane ORDER BY leased_us) AS turn FROM free) f
)
UPDATE outbox o SET holder = $2::uuid, leased_us = clock.now_us + $3::bigint
FROM clock CROSS JOIN in_turn t
WHERE o.batch_id = ANY (ARRAY[t.batch_id]) AND t.upto <= $7::bigint
RETURNING o.batch_id, o.asked_us, o.expires_us, o.attempts, o.asked, o.due, o.done, clock.now_us
