-- What a clock that is put back does to codes and limits: times are compared with the clock of whoever reads them.

-- Whether a code's end is further off than any code lives: the clock has been put back since, and it is dead. A minute more
-- than those 600 s, since a statement that waited for a lock reads an older clock than the one before it.
CREATE FUNCTION is_ahead(expires_us bigint, now_us bigint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT expires_us > now_us + 660000000 $$;

-- A budget as this clock sees it: further off than one that is spent as a whole, by more than a minute, it is from another
-- clock, and counts as spent as a whole.
CREATE FUNCTION gcra_settled(tat bigint, now_us bigint, burst bigint, period_us bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN tat > now_us + burst * period_us + 60000000 THEN now_us + burst * period_us ELSE tat END
$$;

-- What /login does: 0 nothing, 1 mails the live code again, 2 mails new digits, 3 mails a new base32 code.
CREATE FUNCTION decide_login(c challenges, x challenges, known boolean, mail_burst int, mail_period_us bigint)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        -- cool-down; not for digits that a trip has made useless, nor for a code that a clock has
        WHEN x.touched_us < CASE WHEN known THEN c.k_quiet_us ELSE c.s_quiet_us END
             AND NOT (is_tripped(known, x.step_up) AND c.alphabet = 0 AND NOT c.known_asked)
             AND NOT is_ahead(c.expires_us, x.touched_us) THEN 0
        -- no mail left
        WHEN NOT gcra_admits(CASE WHEN known THEN c.k_mail_tat ELSE c.s_mail_tat END,
                             x.touched_us, mail_burst, mail_period_us) THEN 0
        WHEN NOT known AND NOT share_admits_mail(c, x.share_tags[1], x.touched_us, mail_burst, mail_period_us) THEN 0
        -- live, at least 120 s to go, guesses left in this lane, and a face this lane may be shown; that this network has
        -- no digit guess left is no reason to take the code from the others
        WHEN c.expires_us - x.touched_us >= 120000000 AND NOT is_ahead(c.expires_us, x.touched_us)
             AND CASE WHEN known THEN c.k_guesses ELSE c.s_guesses END > 0
             AND CASE WHEN c.alphabet = 0 THEN NOT steps_up(c, known, x.step_up, x.touched_us)
                      ELSE NOT known OR steps_up(c, known, x.step_up, x.touched_us) END THEN 1
        -- a stranger cannot replace a code that a known client waits for
        WHEN NOT known AND c.known_asked AND c.k_guesses > 0 AND c.expires_us > x.touched_us
             AND NOT is_ahead(c.expires_us, x.touched_us) THEN 0
        WHEN steps_up(c, known, x.step_up, x.touched_us) THEN 3
        WHEN NOT known AND (x.step_up & 2) = 2 AND NOT share_admits_digits(c, x.share_tags[1], x.touched_us) THEN 3
        ELSE 2
    END
$$;
