-- One row per address, as a login writes it, without anything else that doorcode does: the floor.
CREATE TABLE login_codes (
    tenant_id uuid NOT NULL,
    email_key bytea NOT NULL,
    code_mac bytea NOT NULL,
    sealed bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    attempts int NOT NULL,
    tat timestamptz NOT NULL,
    PRIMARY KEY (tenant_id, email_key)
) WITH (fillfactor = 70);
INSERT INTO login_codes
SELECT '11111111-1111-1111-1111-111111111111', sha256(i::text::bytea), sha256(('c' || i)::bytea),
    decode(repeat('ab', 34), 'hex'), now() + interval '1 day', 0, now()
FROM generate_series(1, 100000) i;
VACUUM ANALYZE login_codes;
CHECKPOINT;
