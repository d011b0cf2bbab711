-- Codes and every budget of an address, in one row per (tenant, address key).
--
-- Budgets are GCRA "theoretical arrival times" in microseconds: one bigint each, checked and advanced by the statement
-- that does the work. They hold over replicas, restarts and races because nothing else counts.
--
-- s_ is the strangers' lane, k_ the known clients'. Both guess at the same live code; each has its own guesses,
-- mails and failures, so strangers can neither burn nor silence the owner's own devices.
--
-- A reader of this table learns no code: the code is derived from challenge_id with a key kept elsewhere,
-- and the MACs are keyed.

CREATE TABLE challenges (
    tenant_id    uuid     NOT NULL,
    address_key  uuid     NOT NULL,
    challenge_id uuid     NOT NULL,
    -- The code's two faces; `alphabet` says which one was mailed and is compared.
    digit_mac    uuid     NOT NULL,
    base32_mac   uuid     NOT NULL,
    -- End of the live code; 0 once it was used.
    expires_us   bigint   NOT NULL,
    s_mail_tat   bigint   NOT NULL DEFAULT 0,
    -- Until then no further mail (cool-down); 0 once the code was used or burned.
    s_quiet_us   bigint   NOT NULL DEFAULT 0,
    s_digit_tat  bigint   NOT NULL DEFAULT 0,
    s_base32_tat bigint   NOT NULL DEFAULT 0,
    k_mail_tat   bigint   NOT NULL DEFAULT 0,
    k_quiet_us   bigint   NOT NULL DEFAULT 0,
    k_digit_tat  bigint   NOT NULL DEFAULT 0,
    k_base32_tat bigint   NOT NULL DEFAULT 0,
    -- When the row was last written.
    touched_us   bigint   NOT NULL,
    -- Device cookies issued up to then are worth nothing.
    devices_from_us bigint NOT NULL DEFAULT 0,
    -- Of the last /login: issue time of its valid device cookie (0: none), keyed tag of its network prefix.
    device_us    bigint   NOT NULL DEFAULT 0,
    client_tag   bigint   NOT NULL DEFAULT 0,
    -- Of the last /login: 1 = strangers step up at once (tenant-wide trip), 2 = the tenant takes base32 at all.
    step_up      smallint NOT NULL DEFAULT 0,
    -- 0 digits, 1 base32.
    alphabet     smallint NOT NULL,
    s_guesses    smallint NOT NULL,
    k_guesses    smallint NOT NULL,
    -- A known client asked for the live code: strangers cannot replace it.
    known_asked  boolean  NOT NULL,
    -- What the last /login decided: a mail is due.
    mail_now     boolean  NOT NULL,
    -- Network prefixes with a success, newest first, at most 8, and the day (since 1970) of the last success.
    known_tags   bigint[] NOT NULL DEFAULT '{}',
    known_days   int[]    NOT NULL DEFAULT '{}',
    PRIMARY KEY (tenant_id, address_key)
    -- Half-full pages: an update finds room beside the old version and touches no index (HOT).
) WITH (fillfactor = 50);

-- Every wrong guess makes one durable write. Where an address has no row, one of these takes it,
-- so that a missing row does not answer faster.
CREATE TABLE decoys (
    slot       int PRIMARY KEY,
    touched_us bigint NOT NULL
) WITH (fillfactor = 25);
INSERT INTO decoys SELECT slot, 0 FROM generate_series(0, 1023) slot;

-- Mail that was promised and not yet handed to a mail server. Small at all times, so a sweep may scan it.
CREATE TABLE mail_due (
    tenant_id    uuid     NOT NULL,
    address_key  uuid     NOT NULL,
    challenge_id uuid     NOT NULL,
    alphabet     smallint NOT NULL,
    -- A code in the queue dies with its life.
    expires_us   bigint   NOT NULL,
    -- When the caller asked.
    asked_us     bigint   NOT NULL,
    -- Lease: until then some replica is at it.
    leased_us    bigint   NOT NULL,
    attempts     smallint NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, address_key)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 5000);
