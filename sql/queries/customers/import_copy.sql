-- Takes an import's rows.
COPY customers_import (line, customer_id, address_key, email, external_id, locale, claims) FROM STDIN (FORMAT binary)
