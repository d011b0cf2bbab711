-- Gives the customer of an address.
SELECT customer_id, email, disabled, created_us FROM customers WHERE tenant_id = $1 AND address_key = $2
