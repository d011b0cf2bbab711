-- Drops the mail that was due: its codes are dead. Returns a row per mail.
WITH gone AS (
    DELETE FROM outbox RETURNING mails
)
SELECT FROM gone CROSS JOIN generate_series(1, mails)
