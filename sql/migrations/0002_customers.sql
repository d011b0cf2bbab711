-- Who may log in. Read by the mailer and by /verify, never by /login: existence cannot show in its answer.

CREATE TABLE customers (
    tenant_id   uuid NOT NULL REFERENCES tenants ON DELETE CASCADE,
    customer_id uuid NOT NULL,
    -- Keyed form of the address: how logins find the customer.
    address_key uuid NOT NULL,
    -- Mail goes here, never to the spelling somebody typed.
    email       text NOT NULL,
    disabled    boolean NOT NULL DEFAULT false,
    created_us  bigint NOT NULL,
    PRIMARY KEY (tenant_id, customer_id),
    CONSTRAINT customers_address_key UNIQUE (tenant_id, address_key)
);
