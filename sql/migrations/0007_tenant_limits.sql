-- What is counted of a tenant as a whole.

-- Guesses per hour, added up by each replica every second: when failures outgrow what is normal, strangers' codes of
-- this tenant step up to base32. Statistics, not a budget: a crash may forget a second of it.
CREATE TABLE tenant_hours (
    tenant_id uuid   NOT NULL,
    -- Hours since 1970.
    hour      int    NOT NULL,
    failures  bigint NOT NULL,
    successes bigint NOT NULL,
    PRIMARY KEY (tenant_id, hour)
);

-- The tenant's request limit (GCRA), from which replicas lease what they hand out. Keyed by the slug's hash: a slug
-- that names no tenant has the same limit.
CREATE TABLE tenant_limits (
    slug_hash uuid   PRIMARY KEY,
    tat       bigint NOT NULL,
    -- Of the last lease: when, and how many requests.
    leased_us bigint NOT NULL,
    granted   bigint NOT NULL
) WITH (fillfactor = 50);

-- How many of the wanted requests a limit still admits.
CREATE FUNCTION limit_grants(tat bigint, now_us bigint, wanted bigint, burst bigint, period_us bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(0, least(wanted, burst - (greatest(tat, now_us) - now_us + period_us - 1) / period_us))
$$;
