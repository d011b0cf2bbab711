-- Whether a tenant's failures of 24 hours outgrow what is normal: somebody sprays a few guesses over many accounts.
CREATE FUNCTION is_sprayed(failures numeric, successes numeric) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT coalesce(failures > 100 + 0.3 * successes, false) $$;
