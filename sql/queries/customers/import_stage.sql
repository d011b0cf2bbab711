-- Makes the table that an import is copied into; it is gone with the transaction.
CREATE TEMPORARY TABLE customers_import (
    line bigint NOT NULL,
    customer_id uuid NOT NULL,
    address_key uuid NOT NULL,
    email text NOT NULL,
    external_id text,
    locale text,
    claims text NOT NULL
) ON COMMIT DROP
