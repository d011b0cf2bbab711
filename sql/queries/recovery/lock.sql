-- Holds off everybody who writes to what a recovery clears, so that it is cleared as of one moment.
LOCK TABLE challenges, outbox, sessions, purpose_keys IN SHARE ROW EXCLUSIVE MODE
