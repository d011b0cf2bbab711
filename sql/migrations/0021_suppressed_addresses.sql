-- Addresses that a provider says cannot be reached, or whose owner complained: no mail goes there for a time.

CREATE TABLE suppressed_addresses (
    tenant_id   uuid   NOT NULL,
    address_key uuid   NOT NULL,
    reason      text   NOT NULL CONSTRAINT suppressed_addresses_reason CHECK (reason IN ('bounce', 'complaint')),
    -- The first report, and the end.
    since_us    bigint NOT NULL,
    until_us    bigint NOT NULL,
    PRIMARY KEY (tenant_id, address_key),
    FOREIGN KEY (tenant_id, address_key) REFERENCES customers (tenant_id, address_key) ON DELETE CASCADE
);
