-- Holds off everybody who adds a key, while all are wrapped anew.
LOCK TABLE purpose_keys, signing_keys IN SHARE ROW EXCLUSIVE MODE
