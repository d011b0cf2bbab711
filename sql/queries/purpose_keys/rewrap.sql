-- Puts keys under another master key. $1 to $3 one array per column.
UPDATE purpose_keys p SET wrapped = i.wrapped
FROM unnest($1::text[], $2::int[], $3::bytea[]) AS i (purpose, version, wrapped)
WHERE p.purpose = ANY (ARRAY[i.purpose]) AND p.version = i.version
