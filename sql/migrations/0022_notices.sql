-- Mails that tell a customer what happened: an outbox of their own, so that none is before a code.

-- A row is a notice until it has left, then the mark that there is no other of its kind for a day.
CREATE TABLE notices (
    tenant_id   uuid     NOT NULL,
    address_key uuid     NOT NULL,
    -- 0: repeated failed guesses, 1: a login from a new device.
    kind        smallint NOT NULL CONSTRAINT notices_kind CHECK (kind IN (0, 1)),
    happened_us bigint   NOT NULL,
    -- Language and network of the request, as in the outbox.
    note        bytea    NOT NULL,
    attempts    smallint NOT NULL DEFAULT 0,
    -- It has left, or never will.
    is_done     boolean  NOT NULL DEFAULT false,
    -- When it is looked at again: to be sent, or, once done, to be deleted.
    due_us      bigint   NOT NULL,
    PRIMARY KEY (tenant_id, address_key, kind),
    FOREIGN KEY (tenant_id, address_key) REFERENCES customers (tenant_id, address_key) ON DELETE CASCADE ON UPDATE CASCADE
);
-- Read by notices/claim.sql.
CREATE INDEX notices_due ON notices (due_us);

-- Whether a login from a new device is told.
ALTER TABLE tenants ADD COLUMN new_device_notice boolean NOT NULL DEFAULT false;
