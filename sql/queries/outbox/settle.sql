-- Notes of rows that are still the holder's which mails have left: all (the row goes), or some; extends the lease, and moves mails that were put off to a row of their own.
--
-- $1 now in µs, or NULL for the database's clock. $2 holder. $3 to $5 one array per column, unique by id: id, bits of the
-- mails that have left (NULL: all), lease in µs (0: free for whoever claims it). $6 to $10 the row of the mails put off,
-- if there are any: its id, how long they wait, how many, `asked` and `due`. Returns the ids that were the holder's.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
held AS MATERIALIZED (
    SELECT i.*, o.version, o.asked_us, o.expires_us, o.attempts, o.done AS before
    FROM (
        SELECT * FROM unnest($3::uuid[], $4::bytea[], $5::bigint[], $6::uuid[], $7::bigint[], $8::int[], $9::bytea[], $10::bytea[])
            AS i (batch_id, done, lease_us, late_id, wait_us, late_mails, late_asked, late_due)
        -- one lock order for all replicas
        ORDER BY batch_id
    ) i CROSS JOIN LATERAL (
        SELECT o.version, o.asked_us, o.expires_us, o.attempts, o.done FROM outbox o
        WHERE o.batch_id = i.batch_id AND o.holder = $2::uuid
        LIMIT 1
        FOR UPDATE
    ) o
),
kept AS (
    UPDATE outbox o SET done = h.done, leased_us = clock.now_us + h.lease_us
    FROM clock CROSS JOIN held h
    WHERE o.batch_id = ANY (ARRAY[h.batch_id]) AND h.done IS NOT NULL
),
gone AS (
    DELETE FROM outbox o USING held h
    WHERE o.batch_id = ANY (ARRAY[h.batch_id]) AND h.done IS NULL
),
late AS (
    INSERT INTO outbox (batch_id, version, lane, holder, leased_us, asked_us, expires_us, attempts, mails, asked, due)
    SELECT late_id, version, 0, $2::uuid, now_us + wait_us, asked_us, expires_us, least(attempts + 1, 100), late_mails, late_asked, late_due
    FROM clock CROSS JOIN held
    -- already there: this was sent before, and its answer lost
    WHERE late_id IS NOT NULL AND (done IS NULL OR before IS DISTINCT FROM done)
)
SELECT batch_id FROM held
