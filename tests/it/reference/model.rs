//! What an address's row does, in plain Rust: written from the contract ("Codes"), not from the SQL.
//!
//! Budgets are buckets of tokens here and arrival times there, so the two can only agree by meaning the same.

pub(crate) const SECOND: i64 = 1_000_000;
pub(crate) const DAY: i64 = 86_400 * SECOND;

/// Life of a code.
pub(crate) const LIFE: i64 = 600 * SECOND;
/// At most one mail in this time.
pub(crate) const COOLDOWN: i64 = 60 * SECOND;
/// A code that is mailed again has at least this long to live.
const WORTH_MAILING: i64 = 120 * SECOND;
/// What is further ahead than this comes from a clock that has been put back; what is not may come from a statement that
/// read its clock earlier.
const MINUTE: i64 = 60 * SECOND;
/// Of a lane, per code.
const GUESSES: u32 = 5;
/// Networks that an address knows.
const PREFIXES: usize = 8;
const PREFIX_DAYS: i64 = 90;
const DEVICE_LIFE: i64 = 180 * DAY;

/// The contract's table: burst, and the time in which one more comes.
pub(crate) const MAILS: Rate = Rate { burst: 5, period: 17_280 * SECOND };

pub(crate) fn failures(lane: Lane, face: Face) -> Rate {
    match (lane, face) {
        (Lane::Stranger, Face::Digits) => Rate { burst: 20, period: 14 * DAY },
        (Lane::Stranger, Face::Base32) => Rate { burst: 50, period: DAY / 50 },
        (Lane::Known, Face::Digits) => Rate { burst: 10, period: 36 * DAY },
        (Lane::Known, Face::Base32) => Rate { burst: 50, period: DAY / 10 },
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Lane {
    Stranger,
    Known,
}

/// What a code is written in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Face {
    Digits,
    Base32,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Rate {
    pub burst: i64,
    pub period: i64,
}

impl Rate {
    /// The most that a span admits: burst + ⌊span / T⌋.
    pub(crate) fn most(self, span: i64) -> i64 {
        self.burst + span / self.period
    }

    /// Fails if these moments, sorted, are more than some span admits.
    pub(crate) fn holds(self, moments: &[i64]) -> bool {
        (0..moments.len()).all(|first| {
            let within = moments[first..].iter().enumerate();
            within.into_iter().all(|(more, last)| (more as i64) < self.most(last - moments[first]))
        })
    }
}

/// Starts full; what it holds grows by 1 µs each µs, and one token is a period's worth.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Bucket {
    rate: Rate,
    held: i64,
    seen: i64,
}

impl Bucket {
    pub(crate) fn full(rate: Rate) -> Self {
        Self { rate, held: rate.burst * rate.period, seen: 0 }
    }

    pub(crate) fn tokens(&self, now: i64) -> i64 {
        self.grown(now) / self.rate.period
    }

    pub(crate) fn take(&mut self, now: i64, tokens: i64) {
        self.held = self.grown(now) - tokens * self.rate.period;
        self.seen = now;
    }

    pub(crate) fn is_whole(&self, now: i64) -> bool {
        self.grown(now) == self.rate.burst * self.rate.period
    }

    /// What was taken under a clock that has been put back since counts as all that it holds.
    pub(crate) fn settle(&mut self, now: i64) {
        if self.grown(now) < -MINUTE {
            (self.held, self.seen) = (0, now);
        }
    }

    /// How long until it has one.
    pub(crate) fn wait(&self, now: i64) -> i64 {
        (self.rate.period - self.grown(now)).max(0)
    }

    fn grown(&self, now: i64) -> i64 {
        (self.held + (now - self.seen)).min(self.rate.burst * self.rate.period)
    }
}

/// What one coarse network gets of the strangers' lane, at most.
pub(crate) const SHARE: [Rate; 2] =
    [Rate { burst: 4, period: MAILS.period }, Rate { burst: 15, period: 14 * DAY }];
/// Networks whose shares are told apart.
const SHARES: usize = 4;

/// Who calls: from a network, perhaps with a device cookie issued at some time.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caller {
    pub prefix: i64,
    /// The coarse network that the prefix is part of.
    pub network: i64,
    pub device: Option<i64>,
}

#[derive(Clone, Copy, Debug, PartialEq)]
struct Code {
    id: u128,
    face: Face,
    ends: i64,
    used: bool,
    /// Left, by lane.
    guesses: [u32; 2],
    known_asked: bool,
}

/// A mail with this code in it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Mail {
    pub id: u128,
    pub face: Face,
    pub ends: i64,
}

/// What a guess came to, if it was compared at all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Compared {
    pub lane: Lane,
    pub face: Face,
    pub right: bool,
}

/// How a tenant's codes step up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct StepUp {
    /// The tenant takes base32 at all.
    pub may: bool,
    /// Failures of the whole tenant are too many.
    pub tripped: bool,
}

/// An address. Its arrays are by [`Lane`], the failures by [`Face`] as well.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Address {
    code: Option<Code>,
    quiet_until: [i64; 2],
    mails: [Bucket; 2],
    failures: [[Bucket; 2]; 2],
    /// Of strangers' networks: who, mails, digit guesses. The one named `None` is all the others together.
    shares: Vec<(Option<i64>, [Bucket; 2])>,
    /// Networks with a success and its day, newest first.
    prefixes: Vec<(i64, i64)>,
    devices_from: i64,
    is_customer: bool,
}

impl Address {
    pub(crate) fn new(is_customer: bool) -> Self {
        let by_face = |lane| [Face::Digits, Face::Base32].map(|face| Bucket::full(failures(lane, face)));
        Self {
            code: None,
            quiet_until: [0; 2],
            mails: [Bucket::full(MAILS); 2],
            failures: [Lane::Stranger, Lane::Known].map(by_face),
            shares: Vec::new(),
            prefixes: Vec::new(),
            devices_from: 0,
            is_customer,
        }
    }

    /// The code whose mail went out last, dead or alive.
    pub(crate) fn last_code(&self) -> Option<(u128, Face)> {
        self.code.map(|code| (code.id, code.face))
    }

    /// How long a mailed code can still be used by this lane; `None`: not any more.
    pub(crate) fn is_alive(&self, now: i64, id: u128, lane: Lane) -> Option<i64> {
        let code = self.code.filter(|code| code.id == id && !code.used && !self.is_ahead(now))?;
        (now < code.ends && code.guesses[lane as usize] > 0).then_some(code.ends - now)
    }

    pub(crate) fn lane(&self, caller: Caller, now: i64) -> Lane {
        let device = caller.device.is_some_and(|at| at > self.devices_from && now - at < DEVICE_LIFE);
        // a success counts for the rest of its day and 89 more
        let success = self.prefixes.iter().find(|(prefix, _)| *prefix == caller.prefix);
        let prefix = success.is_some_and(|(_, day)| now / DAY - day < PREFIX_DAYS);
        if device || prefix { Lane::Known } else { Lane::Stranger }
    }

    /// Whether the code ends later than any that is made now: the clock has been put back since, and it is dead.
    fn is_ahead(&self, now: i64) -> bool {
        self.code.is_some_and(|code| !code.used && code.ends > now + LIFE + MINUTE)
    }

    /// A guess or the janitor ends such a code; nobody waits for the next one.
    pub(crate) fn end_ahead(&mut self, now: i64) {
        if self.is_ahead(now) {
            self.code.iter_mut().for_each(|code| code.used = true);
            self.quiet_until = [0; 2];
        }
    }

    /// Forgets what has no effect any more: a clock that is put back later does not bring it back.
    pub(crate) fn sweep(&mut self, now: i64) {
        self.end_ahead(now);
        let drained = |bucket: &Bucket| bucket.is_whole(now - 1);
        let over = self.code.is_none_or(|code| code.used || code.ends < now)
            && self.quiet_until.iter().all(|until| *until < now)
            && self.mails.iter().chain(self.failures.as_flattened()).all(drained)
            && now - self.devices_from > DEVICE_LIFE
            && self.prefixes.first().is_none_or(|(_, day)| now / DAY - day >= PREFIX_DAYS);
        if over {
            *self = Self::new(self.is_customer);
        }
    }

    /// `/login`, with the id of the code that would be new.
    pub(crate) fn login(&mut self, now: i64, caller: Caller, step_up: StepUp, id: u128) -> Option<Mail> {
        let lane = self.lane(caller, now);
        // after a trip, digits that only strangers wait for are replaced at once
        let useless = lane == Lane::Stranger
            && step_up == (StepUp { may: true, tripped: true })
            && self.code.is_some_and(|code| code.face == Face::Digits && !code.known_asked);
        let ahead = self.is_ahead(now);
        let quiet = now < self.quiet_until[lane as usize] && !useless && !ahead;
        self.mails.iter_mut().for_each(|mails| mails.settle(now));
        if quiet || self.mails[lane as usize].tokens(now) < 1 {
            return None;
        }
        let share = self.share(now, caller);
        if lane == Lane::Stranger && share[0].tokens(now) < 1 {
            return None;
        }
        let spent = self.failures[lane as usize][Face::Digits as usize].tokens(now) < 1;
        let steps_up = step_up.may && (spent || (step_up.tripped && lane == Lane::Stranger));
        let live = self.code.filter(|code| !code.used && !ahead && now < code.ends);
        let again = live.filter(|code| {
            let fits = match code.face {
                Face::Digits => !steps_up,
                // known clients keep digits
                Face::Base32 => steps_up || lane == Lane::Stranger,
            };
            code.ends - now >= WORTH_MAILING && code.guesses[lane as usize] > 0 && fits
        });
        let awaited = live.is_some_and(|code| code.known_asked && code.guesses[Lane::Known as usize] > 0);
        let mut code = match again {
            Some(code) => code,
            None if awaited && lane == Lane::Stranger => return None,
            None => Code {
                id,
                face: if steps_up || (lane == Lane::Stranger && step_up.may && share[1].tokens(now) < 1) {
                    Face::Base32
                } else {
                    Face::Digits
                },
                ends: now + LIFE,
                used: false,
                guesses: [GUESSES; 2],
                known_asked: false,
            },
        };
        code.known_asked |= lane == Lane::Known;
        self.code = Some(code);
        if lane == Lane::Stranger {
            self.take_share(now, caller, 0);
        }
        self.mails[lane as usize].take(now, 1);
        self.quiet_until[lane as usize] = now + COOLDOWN;
        Some(Mail { id: code.id, face: code.face, ends: code.ends })
    }

    /// `/verify` or `/token`. `right` says whether the typed code is that of this id in this face.
    pub(crate) fn guess(
        &mut self,
        now: i64,
        caller: Caller,
        step_up: StepUp,
        right: impl Fn(u128, Face) -> bool,
    ) -> Option<Compared> {
        self.end_ahead(now);
        let lane = self.lane(caller, now);
        let share = self.share(now, caller)[1].tokens(now);
        let tripped = step_up == StepUp { may: true, tripped: true };
        let code = self.code.as_mut().filter(|code| !code.used && now < code.ends)?;
        let budget = &mut self.failures[lane as usize][code.face as usize];
        if code.guesses[lane as usize] == 0 || budget.tokens(now) < 1 {
            return None;
        }
        let strange_digits = lane == Lane::Stranger && code.face == Face::Digits;
        if strange_digits && (tripped || share < 1) {
            return None;
        }
        let right = right(code.id, code.face);
        if strange_digits && !right {
            self.take_share(now, caller, 1);
        }
        let code = self.code.as_mut()?;
        let budget = &mut self.failures[lane as usize][code.face as usize];
        code.guesses[lane as usize] -= 1;
        if right {
            code.used = true;
            self.quiet_until = [0; 2];
        } else {
            budget.take(now, 1);
            if code.guesses[lane as usize] == 0 || budget.tokens(now) < 1 {
                self.quiet_until[lane as usize] = 0;
            }
        }
        let compared = Compared { lane, face: code.face, right };
        if right && self.is_customer {
            self.prefixes.retain(|(prefix, _)| *prefix != caller.prefix);
            self.prefixes.insert(0, (caller.prefix, now / DAY));
            self.prefixes.truncate(PREFIXES);
        }
        Some(compared)
    }

    /// What is left of a network's mails and digit guesses. Shares are whole, and forgotten, when the lane is.
    fn share(&self, now: i64, caller: Caller) -> [Bucket; 2] {
        let found = if self.is_whole(now) { None } else { self.place(caller).map(|at| self.shares[at].1) };
        found.unwrap_or(SHARE.map(Bucket::full))
    }

    fn place(&self, caller: Caller) -> Option<usize> {
        let of = |who| self.shares.iter().position(|(of, _)| *of == who);
        of(Some(caller.network)).or(if self.shares.len() < SHARES { None } else { of(None) })
    }

    fn is_whole(&self, now: i64) -> bool {
        let [mails, digits] =
            [&self.mails[0], &self.failures[0][Face::Digits as usize]].map(|bucket| bucket.is_whole(now));
        mails && digits
    }

    /// Before the lane is charged.
    fn take_share(&mut self, now: i64, caller: Caller, what: usize) {
        if self.is_whole(now) {
            self.shares.clear();
        }
        let at = self.place(caller).unwrap_or_else(|| {
            let who = (self.shares.len() < SHARES).then_some(caller.network);
            self.shares.push((who, SHARE.map(Bucket::full)));
            self.shares.len() - 1
        });
        self.shares[at].1[what].take(now, 1);
    }

    /// All devices and networks become strangers.
    pub(crate) fn forget_devices(&mut self, now: i64) {
        self.devices_from = now;
        self.prefixes.clear();
    }
}
