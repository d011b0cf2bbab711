-- A login as most services write it: one row, one statement, one durable commit.
\set k random(1, 100000)
INSERT INTO login_codes (tenant_id, email_key, code_mac, sealed, expires_at, attempts, tat) VALUES ('11111111-1111-1111-1111-111111111111', sha256((:k)::int::text::bytea), sha256('x'), decode('abababababababababababababababababababababababababababababababababab', 'hex'), now() + interval '1 day', 0, now()) ON CONFLICT (tenant_id, email_key) DO UPDATE SET code_mac = excluded.code_mac, sealed = excluded.sealed, expires_at = excluded.expires_at, attempts = 0, tat = excluded.tat;
