-- What strangers can do to an address: a network's share of their lane, and what a tenant-wide trip does to codes that are
-- out already.

-- Networks (/24, /48) that took of the strangers' mails and digit guesses, as keyed tags, at most 4; and how much, two GCRA
-- budgets each (mails, digits), a fifth pair for all further networks. Whole again when the lane is: then forgotten.
ALTER TABLE challenges ADD COLUMN share_tags bigint[], ADD COLUMN share_tats bigint[];

-- Where a network's share stands.
CREATE FUNCTION share_place(c challenges, tag bigint, now_us bigint) RETURNS int
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN greatest(c.s_mail_tat, c.s_digit_tat) <= now_us THEN 1
        ELSE coalesce(array_position(c.share_tags, tag), least(coalesce(cardinality(c.share_tags), 0) + 1, 5)) END
$$;

-- Whether a network's share of the mails admits one: four fifths of the lane's, at least one.
CREATE FUNCTION share_admits_mail(c challenges, tag bigint, now_us bigint, mail_burst int, mail_period_us bigint)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(c.s_mail_tat, c.s_digit_tat) <= now_us OR gcra_admits(
        coalesce(c.share_tats[2 * share_place(c, tag, now_us) - 1], 0),
        now_us, greatest(1, mail_burst * 4 / 5), mail_period_us)
$$;

-- Whether a network's share of the digit guesses admits one: 15 of the lane's 20, one per 14 days.
CREATE FUNCTION share_admits_digits(c challenges, tag bigint, now_us bigint)
RETURNS boolean LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT greatest(c.s_mail_tat, c.s_digit_tat) <= now_us OR gcra_admits(
        coalesce(c.share_tats[2 * share_place(c, tag, now_us)], 0), now_us, 15, 1209600000000)
$$;

-- The tags and budgets after a network took a mail (mail_us, the period) or a digit guess (digit_us); 0: none.
CREATE FUNCTION share_tags_next(c challenges, tag bigint, now_us bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN greatest(c.s_mail_tat, c.s_digit_tat) <= now_us THEN ARRAY[tag]
        WHEN array_position(c.share_tags, tag) IS NULL AND coalesce(cardinality(c.share_tags), 0) < 4
            THEN c.share_tags || tag
        ELSE c.share_tags END
$$;

CREATE FUNCTION share_tats_next(c challenges, tag bigint, now_us bigint, mail_us bigint, digit_us bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN greatest(c.s_mail_tat, c.s_digit_tat) <= now_us THEN ARRAY[now_us + mail_us, now_us + digit_us]
        ELSE c.share_tats[:2 * share_place(c, tag, now_us) - 2] || ARRAY[
            gcra_next(coalesce(c.share_tats[2 * share_place(c, tag, now_us) - 1], 0), now_us, mail_us),
            gcra_next(coalesce(c.share_tats[2 * share_place(c, tag, now_us)], 0), now_us, digit_us)
        ] || c.share_tats[2 * share_place(c, tag, now_us) + 1:] END
$$;

-- Whether a tenant-wide trip keeps this lane from the digits that are out: nobody known asked for them.
CREATE FUNCTION is_tripped(known boolean, step_up smallint) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT NOT known AND step_up = 3 $$;

-- What /login does: 0 nothing, 1 mails the live code again, 2 mails new digits, 3 mails a new base32 code.
CREATE FUNCTION judge_login(c challenges, x challenges, known boolean, mail_burst int, mail_period_us bigint)
RETURNS int LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        -- cool-down; not for digits that a trip has made useless
        WHEN x.touched_us < CASE WHEN known THEN c.k_quiet_us ELSE c.s_quiet_us END
             AND NOT (is_tripped(known, x.step_up) AND c.alphabet = 0 AND NOT c.known_asked) THEN 0
        -- no mail left
        WHEN NOT gcra_admits(CASE WHEN known THEN c.k_mail_tat ELSE c.s_mail_tat END,
                             x.touched_us, mail_burst, mail_period_us) THEN 0
        WHEN NOT known AND NOT share_admits_mail(c, x.share_tags[1], x.touched_us, mail_burst, mail_period_us) THEN 0
        -- live, at least 120 s to go, guesses left in this lane, and a face this lane may be shown; that this network has
        -- no digit guess left is no reason to take the code from the others
        WHEN c.expires_us - x.touched_us >= 120000000
             AND CASE WHEN known THEN c.k_guesses ELSE c.s_guesses END > 0
             AND CASE WHEN c.alphabet = 0 THEN NOT steps_up(c, known, x.step_up, x.touched_us)
                      ELSE NOT known OR steps_up(c, known, x.step_up, x.touched_us) END THEN 1
        -- a stranger cannot replace a code that a known client waits for
        WHEN NOT known AND c.known_asked AND c.k_guesses > 0 AND c.expires_us > x.touched_us THEN 0
        WHEN steps_up(c, known, x.step_up, x.touched_us) THEN 3
        WHEN NOT known AND (x.step_up & 2) = 2 AND NOT share_admits_digits(c, x.share_tags[1], x.touched_us) THEN 3
        ELSE 2
    END
$$;

-- With 1,024 decoys two statements of 256 guesses at addresses that have no row always waited for each other.
INSERT INTO decoys SELECT slot, 0 FROM generate_series(1024, 16383) slot;
