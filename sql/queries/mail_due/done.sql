-- Strikes mails off: sent, expired, or to nobody. A newer challenge's mail for the same address stays due.
WITH done AS MATERIALIZED (
    SELECT d.tenant_id, d.address_key
    FROM mail_due d
    JOIN unnest($1::uuid[], $2::uuid[], $3::uuid[], $4::bigint[]) AS i (tenant_id, address_key, challenge_id, asked_us)
        USING (tenant_id, address_key, challenge_id, asked_us)
    -- one lock order for all replicas
    ORDER BY d.tenant_id, d.address_key
    FOR UPDATE OF d
)
DELETE FROM mail_due d USING done
WHERE d.tenant_id = done.tenant_id AND d.address_key = done.address_key
