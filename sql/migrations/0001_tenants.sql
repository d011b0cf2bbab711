-- Who runs a portal.
--
-- A reference table: the only one with a key of its own. Everything else starts its key with tenant_id,
-- so that tenants can be spread over machines later without a change.

CREATE TABLE tenants (
    tenant_id   uuid PRIMARY KEY,
    slug        text NOT NULL CONSTRAINT tenants_slug_key UNIQUE
                CONSTRAINT tenants_slug_form CHECK (slug ~ '^[a-z0-9-]{1,100}$'),
    name        text NOT NULL,
    -- Host of the portal, for the last line of the mail (@host #code). NULL: no such line.
    portal_host text,
    -- What an address under attack gets: 0 stays with digits, 1 six characters of base32.
    step_up     smallint NOT NULL DEFAULT 1,
    disabled    boolean NOT NULL DEFAULT false,
    created_us  bigint NOT NULL
);

-- Web origins whose pages may call with cookies. An origin belongs to one tenant, or a cookie call would be ambiguous.
CREATE TABLE origins (
    origin    text PRIMARY KEY,
    tenant_id uuid NOT NULL REFERENCES tenants ON DELETE CASCADE
);
