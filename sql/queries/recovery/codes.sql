-- Ends every live code, and the wait for another. A code that was used after the backup was made would be unused again.
UPDATE challenges SET expires_us = 0, s_quiet_us = 0, k_quiet_us = 0
WHERE expires_us > (extract(epoch FROM clock_timestamp()) * 1000000)::bigint
