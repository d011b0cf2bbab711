-- What a tenant's access tokens say of its customers.

-- Names of what enters a token, in the tenant's words: email, external_id, locale, claims.NAME. None: nothing does.
ALTER TABLE tenants ADD COLUMN token_claims text[] NOT NULL DEFAULT '{}'
    CONSTRAINT tenants_token_claims_count CHECK (cardinality(token_claims) <= 10);

-- What of a customer enters its tokens, as a JSON object. What a customer lacks is left out.
CREATE FUNCTION token_claims(names text[], k customers) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT jsonb_object_agg(CASE WHEN name LIKE 'claims.%' THEN substr(name, 8) ELSE name END, value)::text
    FROM (SELECT name, CASE name
            WHEN 'email' THEN to_jsonb(k.email)
            WHEN 'external_id' THEN to_jsonb(k.external_id)
            WHEN 'locale' THEN to_jsonb(k.locale)
            ELSE k.claims -> substr(name, 8) END AS value
          FROM unnest(names) AS name) named
    WHERE value IS NOT NULL
$$;
