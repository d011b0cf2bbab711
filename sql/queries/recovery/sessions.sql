-- Ends every session. One that was logged out after the backup was made would be alive again.
DELETE FROM sessions
