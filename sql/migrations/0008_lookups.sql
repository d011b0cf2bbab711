-- Indexes that leave a plan no choice: each look-up has one whose columns it names all.

-- A session is found by its id or by its customer. Did both indexes begin with the tenant, a plan made on an empty table
-- could read all of a tenant's sessions by the wrong one.
DROP INDEX sessions_customer;
CREATE INDEX sessions_customer ON sessions (customer_id);

-- Read by tenant listings, and when a tenant's origins are replaced or it is deleted.
CREATE INDEX origins_tenant ON origins (tenant_id);
