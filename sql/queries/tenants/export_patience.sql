-- Gives an export's or import's transaction the time it needs, against the pool's statement timeout.
SET LOCAL statement_timeout = 0
