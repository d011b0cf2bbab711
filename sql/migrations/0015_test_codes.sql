-- Fixed codes for whoever cannot read a customer's mail: the reviewers of an app store, end-to-end tests.

-- At most five a tenant, each for one address, at most 90 days. A code opens what a /login of the last minutes has made ready,
-- under that address's budgets.
CREATE TABLE test_codes (
    tenant_id   uuid   NOT NULL,
    address_key uuid   NOT NULL,
    -- Keyed MAC of the code, always base32; as `challenges.base32_mac`.
    base32_mac  uuid   NOT NULL,
    created_us  bigint NOT NULL,
    expires_us  bigint NOT NULL CONSTRAINT test_codes_life CHECK (expires_us <= created_us + 7776000000000),
    PRIMARY KEY (tenant_id, address_key),
    FOREIGN KEY (tenant_id, address_key) REFERENCES customers (tenant_id, address_key) ON DELETE CASCADE
);
