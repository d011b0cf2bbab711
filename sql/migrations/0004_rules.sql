-- The rules of codes as small immutable functions. PostgreSQL inlines them, so they cost what their text costs.
-- Times are microseconds; `now` is always an argument.

-- GCRA (ITU-T I.371): burst, then one per period.
CREATE FUNCTION gcra_admits(tat bigint, now_us bigint, burst int, period_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT tat <= now_us + (burst - 1) * period_us $$;

CREATE FUNCTION gcra_next(tat bigint, now_us bigint, period_us bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT greatest(tat, now_us) + period_us $$;

-- The failure budgets of docs/SECURITY.md, by lane and alphabet. Constants on purpose: no setting can lift them.
CREATE FUNCTION guess_burst(known boolean, alphabet smallint) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN alphabet = 0 THEN CASE WHEN known THEN 10 ELSE 20 END ELSE 50 END
$$;

CREATE FUNCTION guess_period_us(known boolean, alphabet smallint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN alphabet = 0
        THEN CASE WHEN known THEN 3110400000000 ELSE 1209600000000 END  -- 36 days, 14 days
        ELSE CASE WHEN known THEN 8640000000 ELSE 1728000000 END        -- 10 a day, 50 a day
    END
$$;

-- A device cookie lives 180 days.
CREATE FUNCTION is_fresh_device(device_us bigint, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT device_us > now_us - 15552000000000 $$;

-- A known client: a fresh device cookie younger than the row's epoch, or a network prefix with a success in 90 days.
CREATE FUNCTION is_known(c challenges, device_us bigint, tag bigint, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (device_us > c.devices_from_us AND is_fresh_device(device_us, now_us))
        OR coalesce(c.known_days[array_position(c.known_tags, tag)] > now_us / 86400000000 - 90, false)
$$;

-- The same for a row `x` that a statement proposes in place of `c`; x.touched_us is its `now`.
CREATE FUNCTION is_known(c challenges, x challenges) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT is_known(c, x.device_us, x.client_tag, x.touched_us) $$;

-- Whether a lane's budget still admits a guess in this alphabet.
CREATE FUNCTION may_guess(c challenges, known boolean, alphabet smallint, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT gcra_admits(
        CASE WHEN known THEN CASE WHEN alphabet = 0 THEN c.k_digit_tat ELSE c.k_base32_tat END
                        ELSE CASE WHEN alphabet = 0 THEN c.s_digit_tat ELSE c.s_base32_tat END END,
        now_us, guess_burst(known, alphabet), guess_period_us(known, alphabet))
$$;

-- Whether a new code for this lane is base32: its digit budget is spent, or strangers step up tenant-wide.
-- step_up: bit 2 the tenant takes base32 at all, bit 1 the tenant-wide trip.
CREATE FUNCTION steps_up(c challenges, known boolean, step_up smallint, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT (step_up & 2) = 2
       AND ((NOT known AND (step_up & 1) = 1) OR NOT may_guess(c, known, 0::smallint, now_us))
$$;

-- What /login does: 0 nothing, 1 mails the live code again, 2 mails new digits, 3 mails a new base32 code.
CREATE FUNCTION login_verdict(c challenges, x challenges, known boolean, mail_burst int, mail_period_us bigint)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        -- cool-down, or no mail left
        WHEN x.touched_us < CASE WHEN known THEN c.k_quiet_us ELSE c.s_quiet_us END THEN 0
        WHEN NOT gcra_admits(CASE WHEN known THEN c.k_mail_tat ELSE c.s_mail_tat END,
                             x.touched_us, mail_burst, mail_period_us) THEN 0
        -- live, at least 120 s to go, guesses left in this lane, and a face this lane may be shown
        WHEN c.expires_us - x.touched_us >= 120000000
             AND CASE WHEN known THEN c.k_guesses ELSE c.s_guesses END > 0
             AND CASE WHEN c.alphabet = 0 THEN NOT steps_up(c, known, x.step_up, x.touched_us)
                      ELSE NOT known OR steps_up(c, known, x.step_up, x.touched_us) END THEN 1
        -- a stranger cannot replace a code that a known client waits for
        WHEN NOT known AND c.known_asked AND c.k_guesses > 0 AND c.expires_us > x.touched_us THEN 0
        WHEN steps_up(c, known, x.step_up, x.touched_us) THEN 3
        ELSE 2
    END
$$;

CREATE FUNCTION login_verdict(c challenges, x challenges, mail_burst int, mail_period_us bigint)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT login_verdict(c, x, is_known(c, x), mail_burst, mail_period_us)
$$;
