-- What a customer sees of their sessions.

-- Browser and system in words of ours ("Firefox on Windows"), as of the login. NULL: unknown.
ALTER TABLE sessions ADD COLUMN browser text CONSTRAINT sessions_browser_length CHECK (octet_length(browser) <= 64);
