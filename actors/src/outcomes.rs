//! What the verbs came to, counted where it is known: by the service, or by a ledger whose caller may have gone.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

macro_rules! outcomes {
    ($($name:ident = $verb:literal $outcome:literal;)*) => {
        /// What the verbs came to.
        pub(crate) struct Outcomes { $(pub(crate) $name: Outcome,)* }
        impl Default for Outcomes {
            fn default() -> Self {
                Self { $($name: Outcome { name: $outcome, times: AtomicU64::new(0) },)* }
            }
        }
        impl Outcomes {
            pub(crate) fn snapshot(&self) -> Vec<(&'static str, &'static str, u64)> {
                vec![$(($verb, $outcome, self.$name.times.load(Relaxed)),)*]
            }
        }
    };
}

outcomes! {
    login_accepted = "login" "accepted";
    login_refused = "login" "refused";
    verify_logged_in = "verify" "logged_in";
    verify_test_code = "verify" "test_code";
    verify_wrong = "verify" "wrong";
    verify_not_evaluated = "verify" "not_evaluated";
    verify_refused = "verify" "refused";
    verify_handed_over = "verify" "handed_over";
    exchange_done = "exchange" "done";
    exchange_rejected = "exchange" "rejected";
    refresh_rotated = "refresh" "rotated";
    refresh_repeated = "refresh" "repeated";
    refresh_branched = "refresh" "branched";
    refresh_ahead = "refresh" "ahead";
    refresh_gone = "refresh" "gone";
    refresh_theft = "refresh" "theft";
    refresh_forged = "refresh" "forged";
    refresh_refused = "refresh" "refused";
    login_tenant_limited = "login" "tenant_limited";
    verify_tenant_limited = "verify" "tenant_limited";
    logout_done = "logout" "done";
    logout_forged = "logout" "forged";
    logout_refused = "logout" "refused";
    logout_all_done = "logout_all" "done";
    logout_all_forged = "logout_all" "forged";
    logout_all_refused = "logout_all" "refused";
}

/// One of them.
pub(crate) struct Outcome {
    name: &'static str,
    times: AtomicU64,
}

impl Outcome {
    pub(crate) fn add(&self) {
        self.times.fetch_add(1, Relaxed);
    }

    pub(crate) fn name(&self) -> &'static str {
        self.name
    }
}
