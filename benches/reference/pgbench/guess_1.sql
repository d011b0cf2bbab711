-- A guess as most services count it: one UPDATE ... RETURNING, one durable commit.
\set k random(1, 100000)
UPDATE login_codes SET attempts = attempts + 1 WHERE tenant_id = '11111111-1111-1111-1111-111111111111' AND email_key = sha256((:k)::int::text::bytea) AND expires_at > now() AND attempts < 1000000 RETURNING code_mac, sealed, attempts;
