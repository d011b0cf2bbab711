-- What a tenant's own system knows of a customer.

ALTER TABLE customers
    -- The customer's id there. Visible ASCII, so that it can stand in a path; no mail address, since events name it.
    ADD COLUMN external_id text CONSTRAINT customers_external_id_form CHECK (external_id ~ '^[!-?A-~]{1,128}$'),
    -- BCP 47, for mails. NULL: unknown.
    ADD COLUMN locale text CONSTRAINT customers_locale_form CHECK (locale ~ '^[A-Za-z0-9]{1,8}(-[A-Za-z0-9]{1,8}){0,3}$'),
    -- What tokens may say of the customer beside its address; the tenant chooses which of it they do say.
    ADD COLUMN claims jsonb NOT NULL DEFAULT '{}'
        CONSTRAINT customers_claims_form CHECK (jsonb_typeof(claims) = 'object' AND octet_length(claims::text) <= 2048),
    -- 0: not since it was made.
    ADD COLUMN updated_us bigint NOT NULL DEFAULT 0;

-- Keeps it unique; no look-up may take this index.
CREATE UNIQUE INDEX customers_external_id ON customers (tenant_id, external_id) WHERE external_id IS NOT NULL;

-- Where the admin API looks a customer up. One column that no other index has: did a look-up name the tenant too, a plan made on
-- an empty table could read all of a tenant's customers by another index. A tenant's id has 36 characters, so the text is one pair's.
CREATE FUNCTION external_key(tenant_id uuid, external_id text) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT md5(tenant_id::text || external_id)::uuid $$;
ALTER TABLE customers ADD COLUMN external_key uuid GENERATED ALWAYS AS (external_key(tenant_id, external_id)) STORED;
CREATE INDEX customers_external_key ON customers (external_key) WHERE external_key IS NOT NULL;
