-- Gives all that belongs to tenant $1, one row a JSON object, in an order in which it can be put elsewhere.
--
-- Not the mails that wait: their cell sends them. Not events, which are a log of their cell, nor the request limit, which
-- refills within seconds. A notice that waits is told here, so elsewhere it counts as told.
-- Of the large tables `row_to_json`, which costs half as much as `to_jsonb`.
SELECT jsonb_build_object('table', 'tenants', 'row', to_jsonb(t) - 'frozen_us')::text FROM tenants t WHERE t.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'origins', 'row', to_jsonb(o))::text FROM origins o WHERE o.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'admin_keys', 'row', to_jsonb(a))::text FROM admin_keys a WHERE a.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'webhooks', 'row', to_jsonb(w) || '{"leased_us": 0}')::text FROM webhooks w WHERE w.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'tenant_hours', 'row', to_jsonb(h))::text FROM tenant_hours h WHERE h.tenant_id = $1
UNION ALL
SELECT '{"table":"customers","row":' || row_to_json(k)::text || '}' FROM customers k WHERE k.tenant_id = $1
UNION ALL
SELECT '{"table":"challenges","row":' || row_to_json(c)::text || '}' FROM challenges c WHERE c.tenant_id = $1
UNION ALL
SELECT '{"table":"sessions","row":' || row_to_json(s)::text || '}' FROM sessions s WHERE s.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'test_codes', 'row', to_jsonb(x))::text FROM test_codes x WHERE x.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'suppressed_addresses', 'row', to_jsonb(x))::text FROM suppressed_addresses x WHERE x.tenant_id = $1
UNION ALL
SELECT jsonb_build_object('table', 'notices', 'row', to_jsonb(n) || jsonb_build_object('is_done', true, 'due_us',
    greatest(n.due_us, n.happened_us + 86400000000)))::text FROM notices n WHERE n.tenant_id = $1
