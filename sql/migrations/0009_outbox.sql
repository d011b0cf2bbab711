-- Mail that was promised and has not left: one row per flush, so that its size follows flushes and not logins.
--
-- A row is leased, looked up and handed out as a whole, and deleted when all of its mails have left. Its two byte strings
-- are doorcode's own (actors/src/mail/record.rs); SQL never reads them.

CREATE TABLE outbox (
    batch_id   uuid     PRIMARY KEY,
    -- The form of `asked` and `due`: a replica claims what it can read.
    version    smallint NOT NULL,
    -- 0: many tenants' mail, leased at birth. Above: what one tenant asked beyond its share of memory, by the tenant's
    -- hash, so that claims can take turns.
    lane       smallint NOT NULL,
    -- Who is at it, until when. A lease that has passed still is the holder's until somebody else claims the row.
    holder     uuid     NOT NULL,
    leased_us  bigint   NOT NULL,
    -- When the callers asked, and when the last of the codes dies.
    asked_us   bigint   NOT NULL,
    expires_us bigint   NOT NULL,
    -- How often its mails were put off.
    attempts   smallint NOT NULL,
    -- How many mails are in it.
    mails      int      NOT NULL,
    -- One record per login of the flush: known, unknown and limited addresses alike.
    asked      bytea    NOT NULL,
    -- One record per login that gets a mail: its place in `asked`, and what the mail is about.
    due        bytea    NOT NULL,
    -- Bits of the mails that have left, by place in `due`. NULL: none has.
    done       bytea
) WITH (autovacuum_vacuum_scale_factor = 0.0, autovacuum_vacuum_threshold = 1000);
-- Keyed bytes do not compress.
ALTER TABLE outbox ALTER asked SET STORAGE EXTERNAL, ALTER due SET STORAGE EXTERNAL;

-- Read by claims.
CREATE INDEX outbox_free ON outbox (lane, leased_us);

-- Of the last /login: the row's place in its flush.
ALTER TABLE challenges ADD COLUMN slot int NOT NULL DEFAULT 0;

-- Nothing has been released that knows the table before.
DROP TABLE mail_due;

-- Whether a code is alive for who asked for it: not used, not outlived, with guesses left.
CREATE FUNCTION is_alive(c challenges, known boolean, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT c.expires_us > now_us AND CASE WHEN known THEN c.k_guesses ELSE c.s_guesses END > 0
$$;
