-- Gives the slugs beside one in the alphabet, to find the one that was meant.
-- $1 slug as typed
(SELECT t.slug FROM tenants t WHERE t.slug < $1 ORDER BY t.slug DESC LIMIT 20)
UNION ALL
(SELECT t.slug FROM tenants t WHERE t.slug >= $1 ORDER BY t.slug LIMIT 20)
