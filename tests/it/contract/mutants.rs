//! Bugs to be found: one of each class.

pub(super) struct Mutant {
    pub class: &'static str,
    /// A file below `sql/`: a statement, or the migration with the rule.
    pub file: &'static str,
    pub from: &'static str,
    pub to: &'static str,
}

const fn bug(class: &'static str, file: &'static str, from: &'static str, to: &'static str) -> Mutant {
    Mutant { class, file, from, to }
}

const VERIFY: &str = "queries/challenges/verify.sql";
const RULES: &str = "migrations/0025_clock_steps.sql";

pub(super) const MUTANTS: &[Mutant] = &[
    bug(
        "more guesses than a code admits",
        VERIFY,
        "CASE WHEN known THEN (h.row).k_guesses ELSE (h.row).s_guesses END > 0",
        "true",
    ),
    bug(
        "more guesses than a lane's budget admits",
        VERIFY,
        "may_guess(h.row, known, alphabet, now_us)\n",
        "true\n",
    ),
    bug(
        "known devices share the strangers' lane",
        VERIFY,
        "is_known(c.row, a.at_device_us, a.at_client_tag, a.now_us)",
        "false",
    ),
    bug(
        "a trip that does not reach codes that are out",
        VERIFY,
        "NOT is_tripped(known, at_step_up) AND ",
        "",
    ),
    bug("a session whose code is not consumed", VERIFY, "CASE WHEN j.hit OR is_ahead", "CASE WHEN is_ahead"),
    bug(
        "two replicas, one code, two sessions",
        VERIFY,
        "        LIMIT 1\n        FOR UPDATE\n    ) c LEFT",
        "        LIMIT 1\n    ) c LEFT",
    ),
    bug("a guess that is evaluated when nobody waits", VERIFY, "NOT late\n            AND ", ""),
    bug("a log-out without cause", VERIFY, "OFFSET $13::bigint - 1", "OFFSET $13::bigint - 2"),
    bug(
        "a lost answer that is not found",
        "queries/sessions/find.sql",
        "i.session_key)\n",
        "i.session_key) AND s.generation > 0\n",
    ),
    bug("a dead code is mailed", "queries/outbox/resolve.sql", " AND is_alive(c, i.known, clock.now_us)", ""),
    bug(
        "a mail that two replicas hand over",
        "queries/outbox/claim.sql",
        "o.leased_us <= clock.now_us",
        "true",
    ),
    bug(
        "a mail that is noted and sent again",
        "queries/outbox/settle.sql",
        "SET done = h.done,",
        "SET done = o.done,",
    ),
    bug(
        "asking again lengthens a code's life",
        "queries/challenges/login.sql",
        "CASE WHEN does >= 2 THEN excluded.expires_us",
        "CASE WHEN does >= 1 THEN excluded.expires_us",
    ),
    bug("mails without a cool-down", RULES, "WHEN x.touched_us < CASE", "WHEN false AND x.touched_us < CASE"),
    bug("a clock that is put back lengthens a code", RULES, "expires_us > now_us + 660000000", "false"),
];
