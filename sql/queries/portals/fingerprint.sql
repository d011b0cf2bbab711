-- Sums up all portals in one number: another number means that one was added, changed, closed or opened.
--
-- Hashes are added up, so the order of rows does not matter and nothing is sorted. Takes no locks, writes nothing.
SELECT concat_ws(' ',
    (SELECT sum(uuid_hash_extended(tenant_id, hashtextextended(concat_ws(' ', slug, name, colour, return_urls::text), 0))) FROM tenants WHERE NOT disabled),
    (SELECT sum(uuid_hash_extended(tenant_id, hashtextextended(origin, 1))) FROM origins)) AS fingerprint
