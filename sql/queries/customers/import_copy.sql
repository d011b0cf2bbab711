-- Takes an import's rows.
COPY customers_import (line, customer_id, address_key, email) FROM STDIN (FORMAT binary)
