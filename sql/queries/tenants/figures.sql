-- Counts a tenant's customers, the disabled among them, and its live sessions.
SELECT count(*), count(*) FILTER (WHERE c.disabled),
       (SELECT count(*)
        FROM sessions s
        WHERE s.tenant_id = $1
          AND least(s.idle_until_us, s.expires_us) > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint)
FROM customers c
WHERE c.tenant_id = $1
