//! The customers of a run: patterns with a number in them, shared out over the connections.

/// Somebody who logs in.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Customer {
    /// The slug.
    pub tenant: String,
    /// The address.
    pub email: String,
}

/// `user{}@example.com` for the numbers `first .. first + count`, dealt to the tenants in turn.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Customers {
    tenant: Pattern,
    tenants: u64,
    email: Pattern,
    first: u64,
    count: u64,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Pattern(String, Option<String>);

impl Pattern {
    fn new(text: &str) -> Pattern {
        match text.split_once("{}") {
            Some((before, after)) => Pattern(before.to_owned(), Some(after.to_owned())),
            None => Pattern(text.to_owned(), None),
        }
    }

    fn at(&self, number: u64) -> String {
        match &self.1 {
            Some(after) => format!("{}{number}{after}", self.0),
            None => self.0.clone(),
        }
    }

    fn serves(&self, count: u64) -> bool {
        match &self.1 {
            Some(after) => count > 0 && !after.contains("{}"),
            None => count == 1,
        }
    }
}

impl Customers {
    /// `None` unless each pattern holds `{}` once (or, for one tenant or address, never) and the address an `@`.
    pub fn new(tenant: &str, tenants: u64, email: &str, first: u64, count: u64) -> Option<Customers> {
        let (tenant, pattern) = (Pattern::new(tenant), Pattern::new(email));
        let sound = tenant.serves(tenants)
            && pattern.serves(count)
            && first.checked_add(count).is_some()
            && email.contains('@');
        sound.then_some(Customers { tenant, tenants, email: pattern, first, count })
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// The customer with the given place, from 0; the first again after the last.
    pub fn at(&self, place: u64) -> Customer {
        let place = place % self.count;
        Customer { tenant: self.tenant.at(place % self.tenants), email: self.email.at(self.first + place) }
    }

    /// Every tenant with its customers' addresses: for whoever has to make them first.
    pub fn by_tenant(&self) -> impl Iterator<Item = (String, impl Iterator<Item = String> + '_)> + '_ {
        let emails = |tenant| {
            (tenant..self.count)
                .step_by(usize::try_from(self.tenants).unwrap_or(usize::MAX))
                .map(|place| self.at(place).email)
        };
        (0..self.tenants).map(move |tenant| (self.tenant.at(tenant), emails(tenant)))
    }

    /// The share of connection `lane` of `lanes`: every `lanes`-th customer, so that no two meet.
    pub fn share(&self, lane: u64, lanes: u64) -> Share {
        Share { customers: self.clone(), lane, lanes: lanes.max(1), next: lane }
    }
}

/// One connection's customers.
#[derive(Debug, Clone)]
pub struct Share {
    customers: Customers,
    lane: u64,
    lanes: u64,
    next: u64,
}

impl Share {
    /// The next one, from the start again after the last.
    pub fn next_round(&mut self) -> Customer {
        if self.next >= self.customers.count {
            self.next = self.lane;
        }
        let customer = self.customers.at(self.next);
        self.next += self.lanes;
        customer
    }

    /// The next one, each only once.
    pub fn next_once(&mut self) -> Option<Customer> {
        let customer = (self.next < self.customers.count).then(|| self.customers.at(self.next));
        self.next += self.lanes;
        customer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn shares_are_disjoint_and_complete() {
        let customers = Customers::new("t{}", 3, "user{}@example.com", 10, 7).unwrap();
        let mut seen = HashSet::new();
        for lane in 0..3 {
            let mut share = customers.share(lane, 3);
            while let Some(customer) = share.next_once() {
                assert!(seen.insert(customer));
            }
        }
        assert_eq!(seen.len(), 7);
        let made: usize = customers
            .by_tenant()
            .map(|(tenant, emails)| {
                emails
                    .filter(|email| seen.contains(&Customer { tenant: tenant.clone(), email: email.clone() }))
                    .count()
            })
            .sum();
        assert_eq!(made, 7, "who makes the customers makes the same ones");
    }

    #[test]
    fn a_share_goes_round() {
        let mut share = Customers::new("demo", 1, "u{}@x.org", 0, 4).unwrap().share(1, 2);
        let round: Vec<String> = (0..3).map(|_| share.next_round().email).collect();
        assert_eq!(round, ["u1@x.org", "u3@x.org", "u1@x.org"]);
    }

    #[test]
    fn patterns_that_cannot_work_are_refused() {
        for (tenant, tenants, email, first, count) in [
            ("demo", 1, "user@example.com", 0, 2),
            ("demo", 1, "{}{}@x.org", 0, 1),
            ("demo", 1, "user{}", 0, 1),
            ("demo", 1, "u{}@x.org", 0, 0),
            ("demo", 1, "u{}@x.org", u64::MAX, 1),
            ("demo", 2, "u{}@x.org", 0, 2),
        ] {
            assert_eq!(Customers::new(tenant, tenants, email, first, count), None, "{email}");
        }
        assert!(Customers::new("demo", 1, "ada@example.com", 0, 1).is_some());
    }
}
