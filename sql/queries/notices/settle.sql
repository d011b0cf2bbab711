-- Notes of notices that they have left or never will: each stays for a day from when it happened, so that no other of its kind is sent.
--
-- $1 to $3 one array per column, rows unique: tenant_id, address_key, kind.
UPDATE notices n SET is_done = true, due_us = n.happened_us + 86400000000
FROM (
    SELECT i.tenant_id, i.address_key, i.kind
    FROM ROWS FROM (unnest($1::uuid[], $2::uuid[], $3::smallint[]), generate_series(1, cardinality($1::uuid[])))
        AS i (tenant_id, address_key, kind, place)
    ORDER BY 1, 2, 3
) d
WHERE n.tenant_id = ANY (ARRAY[d.tenant_id]) AND n.address_key = d.address_key AND n.kind = d.kind
