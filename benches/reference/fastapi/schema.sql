-- The tables of the FastAPI reference. The runner creates the database and fills in the customers.
CREATE TABLE tenants (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    slug text NOT NULL UNIQUE
);
CREATE TABLE customers (
    id uuid PRIMARY KEY DEFAULT gen_random_uuid(),
    tenant_id uuid NOT NULL REFERENCES tenants (id),
    email text NOT NULL,
    UNIQUE (tenant_id, email)
);
CREATE TABLE login_codes (
    tenant_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    code_mac bytea NOT NULL,
    expires_at timestamptz NOT NULL,
    attempts int NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, customer_id)
);
CREATE TABLE refresh_tokens (
    token_hash bytea PRIMARY KEY,
    family_id uuid NOT NULL,
    customer_id uuid NOT NULL,
    tenant_id uuid NOT NULL,
    expires_at timestamptz NOT NULL,
    used_at timestamptz
);
CREATE INDEX refresh_family ON refresh_tokens (family_id);
