-- Deletes the versions of a purpose key ($1) before one ($2).
DELETE FROM purpose_keys WHERE purpose = $1 AND version < $2
