-- Where events are sent by HTTP. At most 1,000, and 10 of a tenant: the statement that adds one counts.
CREATE TABLE webhooks (
    webhook_id      uuid   PRIMARY KEY,
    -- NULL: events of all tenants, and of the installation.
    tenant_id       uuid   REFERENCES tenants ON DELETE CASCADE,
    url             text   NOT NULL,
    -- As GET /v1/admin/events takes them. Empty: all.
    types           text[] NOT NULL,
    created_us      bigint NOT NULL,
    -- The secret is derived from the id and this; nothing of it is stored.
    secret_version  int    NOT NULL DEFAULT 1,
    -- Until then the secret of the version before signs too.
    former_until_us bigint NOT NULL DEFAULT 0,
    -- The last event that was sent or left out.
    after_id        uuid   NOT NULL,
    -- Failed tries of the event behind it.
    attempts        int    NOT NULL DEFAULT 0,
    -- Nothing is tried before.
    due_us          bigint NOT NULL DEFAULT 0,
    -- Until then one replica has it. 0: none.
    leased_us       bigint NOT NULL DEFAULT 0,
    -- Since when each try failed, and why the last one did. NULL: the last one did not.
    failing_us      bigint,
    last_error      text,
    -- Nothing is sent: by_admin, gone (410), failing (for days). NULL: it is sent.
    disabled        text
) WITH (fillfactor = 50);
