-- Who may become a customer by a first login.

-- NULL: nobody, the list of customers is closed. Else the domains of addresses that may, as `customers.email` has them; `*`: all.
ALTER TABLE tenants ADD COLUMN signup text[]
    CONSTRAINT tenants_signup_count CHECK (cardinality(signup) BETWEEN 1 AND 50);

-- Whether an address may become a customer of a tenant.
CREATE FUNCTION admits_signup(signup text[], email text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT coalesce(email IS NOT NULL AND (signup = '{*}' OR split_part(email, '@', 2) = ANY (signup)), false)
$$;
