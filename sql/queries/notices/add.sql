-- Adds notices to customers, at most one of a kind a day for each; of a new device only where the tenant wants that.
--
-- $1 now in µs, or NULL for the database's clock. $2 to $5 one array per column, rows unique by the first three: tenant_id, address_key,
-- kind, note.
WITH clock AS MATERIALIZED (
    SELECT coalesce($1::bigint, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) AS now_us
),
asked AS MATERIALIZED (
    SELECT i.*, clock.now_us
    FROM clock CROSS JOIN ROWS FROM (unnest($2::uuid[], $3::uuid[], $4::smallint[], $5::bytea[]), generate_series(1, cardinality($2::uuid[])))
        AS i (tenant_id, address_key, kind, note, place)
)
INSERT INTO notices (tenant_id, address_key, kind, happened_us, note, due_us)
SELECT a.tenant_id, a.address_key, a.kind, a.now_us, a.note, a.now_us
FROM (SELECT * FROM asked ORDER BY tenant_id, address_key, kind) a CROSS JOIN LATERAL (
    SELECT k.disabled FROM customers k
    WHERE (k.tenant_id, k.address_key) = (a.tenant_id, a.address_key) AND (k.tenant_id, k.address_key) >= (a.tenant_id, a.address_key)
    LIMIT 1
) k CROSS JOIN LATERAL (
    SELECT t.new_device_notice FROM tenants t WHERE t.tenant_id = a.tenant_id LIMIT 1
) t
WHERE NOT k.disabled AND (a.kind = 0 OR t.new_device_notice)
ON CONFLICT (tenant_id, address_key, kind) DO NOTHING
