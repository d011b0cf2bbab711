-- Gives a customer's live sessions, the newest first.
SELECT session_key, customer_id, created_us, rotated_us, idle_until_us, expires_us, generation
FROM sessions
WHERE customer_id = $2 AND tenant_id IS NOT DISTINCT FROM $1
  AND least(idle_until_us, expires_us) > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
ORDER BY created_us DESC, session_key
