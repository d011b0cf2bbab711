-- Puts keys under another master key. $1, $2 one array per column.
UPDATE signing_keys s SET wrapped = i.wrapped
FROM unnest($1::text[], $2::bytea[]) AS i (kid, wrapped)
WHERE s.kid = ANY (ARRAY[i.kid])
