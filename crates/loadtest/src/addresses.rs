//! The customers of a run: a pattern with a number in it, shared out over the connections.

/// `user{}@example.com` for the numbers `first .. first + count`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Addresses {
    before: String,
    after: String,
    first: u64,
    count: u64,
}

impl Addresses {
    /// `None` unless the pattern holds `{}` exactly once, around an `@`, and there is at least one number.
    pub fn new(pattern: &str, first: u64, count: u64) -> Option<Addresses> {
        let (before, after) = pattern.split_once("{}")?;
        let sound =
            count > 0 && first.checked_add(count).is_some() && !after.contains("{}") && pattern.contains('@');
        sound.then(|| Addresses { before: before.to_owned(), after: after.to_owned(), first, count })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The address with the given place, from 0.
    pub fn at(&self, place: u64) -> String {
        format!("{}{}{}", self.before, self.first + place % self.count, self.after)
    }

    /// The share of connection `lane` of `lanes`: every `lanes`-th address, so that no two meet.
    pub fn share(&self, lane: u64, lanes: u64) -> Share {
        Share { addresses: self.clone(), lane, lanes: lanes.max(1), next: lane }
    }
}

/// One connection's addresses.
#[derive(Debug, Clone)]
pub struct Share {
    addresses: Addresses,
    lane: u64,
    lanes: u64,
    next: u64,
}

impl Share {
    /// The next address, from the start again after the last.
    pub fn next_round(&mut self) -> String {
        if self.next >= self.addresses.count {
            self.next = self.lane;
        }
        let address = self.addresses.at(self.next);
        self.next += self.lanes;
        address
    }

    /// The next address, each only once.
    pub fn next_once(&mut self) -> Option<String> {
        let address = (self.next < self.addresses.count).then(|| self.addresses.at(self.next));
        self.next += self.lanes;
        address
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn shares_are_disjoint_and_complete() {
        let addresses = Addresses::new("user{}@example.com", 10, 7).unwrap();
        let mut seen = HashSet::new();
        for lane in 0..3 {
            let mut share = addresses.share(lane, 3);
            while let Some(address) = share.next_once() {
                assert!(seen.insert(address));
            }
        }
        assert_eq!(seen.len(), 7);
        assert!(seen.contains("user10@example.com") && seen.contains("user16@example.com"));
    }

    #[test]
    fn a_share_goes_round() {
        let mut share = Addresses::new("u{}@x.org", 0, 4).unwrap().share(1, 2);
        let round: Vec<String> = (0..3).map(|_| share.next_round()).collect();
        assert_eq!(round, ["u1@x.org", "u3@x.org", "u1@x.org"]);
    }

    #[test]
    fn patterns_that_cannot_work_are_refused() {
        for (pattern, first, count) in [
            ("user@example.com", 0, 1),
            ("{}{}@x.org", 0, 1),
            ("user{}", 0, 1),
            ("u{}@x.org", 0, 0),
            ("u{}@x.org", u64::MAX, 1),
        ] {
            assert_eq!(Addresses::new(pattern, first, count), None, "{pattern}");
        }
    }
}
