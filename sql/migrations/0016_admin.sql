-- What others may do by HTTP, and what happened.

-- Keys of the admin API. At most 1,000: the statement that adds one counts.
CREATE TABLE admin_keys (
    key_id       text   PRIMARY KEY,
    name         text   NOT NULL,
    -- SHA-256 of 32 random bytes: a reader of this table holds no key.
    secret_hash  bytea  NOT NULL,
    -- read, write
    scopes       text[] NOT NULL,
    -- NULL: all tenants, and tenants themselves.
    tenant_id    uuid   REFERENCES tenants ON DELETE CASCADE,
    created_us   bigint NOT NULL,
    -- NULL: never.
    expires_us   bigint,
    -- Written at most once a minute. 0: not used yet.
    last_used_us bigint NOT NULL DEFAULT 0
) WITH (fillfactor = 70);

-- What happened, in the order of UUIDv7: who did what to whom. Written by the statement that does it, read by one cursor
-- over all tenants, deleted after 30 days. No mail address is in it, so that deleting a customer needs no rewriting.
CREATE TABLE events (
    event_id  uuid  PRIMARY KEY,
    type      text  NOT NULL,
    -- NULL: of the installation.
    tenant_id uuid,
    -- {"type", "id"}
    actor     jsonb NOT NULL,
    -- [{"type", "id", ...}]
    targets   jsonb NOT NULL,
    data      jsonb NOT NULL
);

-- From where: {"ip", "user_agent", "request_id"}. Personal data, deleted after 7 days.
CREATE TABLE event_contexts (
    event_id uuid  PRIMARY KEY,
    context  jsonb NOT NULL
);

-- UUIDv7 (RFC 9562): the milliseconds, then random bits. PostgreSQL has it from version 18. NULL: now.
CREATE FUNCTION event_id(now_us bigint) RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE AS $$
    SELECT encode(set_bit(set_bit(overlay(uuid_send(gen_random_uuid())
        PLACING substring(int8send(coalesce(now_us, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) / 1000) FROM 3) FROM 1 FOR 6), 52, 1), 53, 1), 'hex')::uuid
$$;

-- Before every event of that millisecond, behind all earlier ones.
CREATE FUNCTION event_floor(now_us bigint) RETURNS uuid
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT encode(substring(int8send(now_us / 1000) FROM 3) || '\x70008000000000000000'::bytea, 'hex')::uuid
$$;

-- A target of an event.
CREATE FUNCTION event_target(kind text, id text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT jsonb_build_object('type', kind, 'id', id) $$;

CREATE FUNCTION customer_target(customer_id uuid, external_id text) RETURNS jsonb
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_build_object('type', 'customer', 'id', customer_id, 'external_id', external_id)
$$;
