-- Ends one session.
DELETE FROM sessions WHERE tenant_id = $1 AND session_key = $2
