-- One of a share's budgets after so much was taken of it; 0: nothing.
CREATE FUNCTION share_next(tat bigint, now_us bigint, taken_us bigint) RETURNS bigint
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$ SELECT CASE WHEN taken_us = 0 THEN tat ELSE gcra_next(tat, now_us, taken_us) END $$;

-- A network's share of which nothing was taken says so whatever the clock does: it was stamped with the moment at which the other
-- of its two budgets was used, and was spent to a clock that was put back later.
CREATE OR REPLACE FUNCTION share_tats_next(c challenges, tag bigint, now_us bigint, mail_us bigint, digit_us bigint) RETURNS bigint[]
LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE WHEN greatest(c.s_mail_tat, c.s_digit_tat) <= now_us THEN ARRAY[share_next(0, now_us, mail_us), share_next(0, now_us, digit_us)]
        ELSE c.share_tats[:2 * share_place(c, tag, now_us) - 2] || ARRAY[
            share_next(coalesce(c.share_tats[2 * share_place(c, tag, now_us) - 1], 0), now_us, mail_us),
            share_next(coalesce(c.share_tats[2 * share_place(c, tag, now_us)], 0), now_us, digit_us)
        ] || c.share_tats[2 * share_place(c, tag, now_us) + 1:] END
$$;
