-- One row per login, none per refresh: the row holds where the line of refresh tokens stands.

CREATE TABLE sessions (
    tenant_id     uuid   NOT NULL,
    -- Keyed hash of the token's secret: a reader of this table can neither present a token nor recognise one.
    session_key   uuid   NOT NULL,
    customer_id   uuid   NOT NULL,
    -- When the code was typed: the auth_time claim.
    created_us    bigint NOT NULL,
    generation    int    NOT NULL DEFAULT 0,
    branch        int    NOT NULL DEFAULT 0,
    -- The branch of the token before, whose holder may have lost our answer.
    prev_branch   int    NOT NULL DEFAULT 0,
    -- When this generation (or its newest branch) was handed out: the iat of its access token.
    rotated_us    bigint NOT NULL,
    idle_until_us bigint NOT NULL,
    expires_us    bigint NOT NULL,
    PRIMARY KEY (tenant_id, session_key)
) WITH (fillfactor = 70);

-- Read by session lists, revocation, the cap per customer, and when a customer is deleted.
CREATE INDEX sessions_customer ON sessions (tenant_id, customer_id);
