-- Takes an address's test code away.
DELETE FROM test_codes WHERE tenant_id = $1 AND address_key = $2
