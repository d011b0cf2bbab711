//! Rows in memory, without Postgres: whose turn, what is settled, what is repeated.

use super::*;
use crate::address_id::AddressId;
use doorcode_domain::{AddressKey, Alphabet, ChallengeId};

const TRY: Duration = Duration::from_secs(10);
const LEASE: Duration = Duration::from_secs(20);

fn mail(tenant: u128, number: u128) -> DueMail {
    DueMail {
        address: AddressId {
            tenant: TenantId(Uuid::from_u128(tenant)),
            key: AddressKey(Uuid::from_u128(number)),
        },
        note: [7, 7].into(),
        challenge: ChallengeId(Uuid::from_u128(number)),
        alphabet: Alphabet::Digits,
        known: false,
    }
}

fn row(id: u128, mails: &[DueMail]) -> OutboxRow {
    let (asked, due) = record::encode(mails);
    let id = Uuid::from_u128(id);
    OutboxRow { id, asked_us: 5, attempts: 1, asked, due, done: Vec::new(), expired: false }
}

struct Bench {
    outbox: Outbox,
    capacity: Arc<MailCapacity>,
    now: Instant,
}

impl Bench {
    fn with(rows: Vec<OutboxRow>) -> Self {
        let (capacity, now) = (MailCapacity::new(100), Instant::now());
        let mut outbox = Outbox::new(capacity.clone());
        rows.into_iter().for_each(|row| assert!(outbox.insert(row, now + LEASE)));
        Self { outbox, capacity, now }
    }

    fn next(&mut self, count: usize) -> Vec<Turn> {
        self.outbox.next(count, TRY, self.now)
    }

    fn settle(&mut self, checkpoint: bool) -> Vec<Settlement> {
        self.outbox.settlements(100, checkpoint, self.now)
    }

    fn acknowledge(&mut self, settlements: &[Settlement]) {
        let ids: Vec<Uuid> = settlements.iter().map(|s| s.id).collect();
        self.outbox.settled(&ids, &ids, self.now + LEASE);
    }
}

#[test]
fn tenants_take_turns() {
    let burst: Vec<DueMail> = (0..20).map(|n| mail(1, n)).collect();
    let mut bench = Bench::with(vec![row(1, &burst), row(2, &[mail(2, 50), mail(3, 60)])]);
    let tenants: Vec<u128> = bench.next(6).iter().map(|t| t.mail.address.tenant.0.as_u128()).collect();
    assert_eq!(tenants, [1, 2, 3, 1, 1, 1]);
}

#[test]
fn the_oldest_code_goes_first_unless_too_much_waits() {
    let asked = |id, asked_us| OutboxRow { asked_us, ..row(id, &[mail(1, id), mail(1, id + 100)]) };
    let order = |turns: Vec<Turn>| -> Vec<u128> {
        turns.iter().map(|turn| turn.mail.address.key.0.as_u128()).collect()
    };
    let mut bench = Bench::with(vec![asked(1, 10), asked(2, 30), asked(3, 20)]);
    let first = bench.next(1);
    bench.outbox.put_back(first[0].id);
    assert_eq!(order(bench.next(6)), [1, 101, 3, 103, 2, 102], "who is put back keeps its place");
    let mut bench = Bench::with(vec![asked(1, 10), asked(2, PATIENCE_US + 10), asked(3, PATIENCE_US / 2)]);
    assert_eq!(order(bench.next(6)), [102, 2, 1, 101, 3, 103], "until what is left is not so old");
}

#[test]
fn a_row_goes_when_all_of_its_mails_have_left_and_not_before() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1), mail(1, 2)])]);
    let turns = bench.next(2);
    bench.outbox.finish(turns[1].id);
    assert_eq!(bench.settle(false), [], "no checkpoint is due");
    let half = bench.settle(true);
    assert_eq!(half[0].done, Some(vec![0b10]));
    bench.acknowledge(&half);
    assert_eq!(bench.settle(true), [], "Postgres knows it");
    bench.outbox.finish(turns[0].id);
    let whole = bench.settle(false);
    assert_eq!((whole[0].done.clone(), whole[0].late.clone()), (None, None));
    bench.acknowledge(&whole);
    assert_eq!((bench.settle(true), bench.capacity.room()), (vec![], 100));
}

/// One greylisted mail holds nobody back, and keeps its note.
#[test]
fn a_mail_that_is_put_off_moves_to_a_row_of_its_own() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1), mail(1, 2)])]);
    let turns = bench.next(2);
    bench.outbox.finish(turns[0].id);
    bench.outbox.put_off(turns[1].id);
    let settlement = bench.settle(false).remove(0);
    let late = settlement.late.unwrap();
    assert_eq!((settlement.done, late.mails), (None, 1));
    assert_eq!(record::decode(&late.asked, &late.due).unwrap(), [mail(1, 2)]);
    // the second wait, 4 s, spread over half of it
    assert!((3.0..5.0).contains(&late.wait.as_secs_f64()), "{:?}", late.wait);
}

/// What cannot be noted is noted again, as it was: never sent again, never put off twice.
#[test]
fn an_unanswered_settlement_is_repeated() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1), mail(1, 2), mail(1, 3)])]);
    let turns = bench.next(3);
    bench.outbox.put_off(turns[0].id);
    let first = bench.settle(true);
    bench.outbox.finish(turns[1].id);
    assert_eq!(bench.settle(true), first, "word for word, the late row's id too");
    bench.acknowledge(&first);
    let second = bench.settle(true);
    assert_eq!((second[0].done.clone(), second[0].late.is_none()), (Some(vec![0b011]), true));
    assert_eq!(bench.next(3).len(), 0, "nobody's turn comes twice");
}

/// Who has the row now sends what is left of it.
#[test]
fn the_mails_of_a_lost_row_wait_no_longer() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1), mail(1, 2)]), row(2, &[mail(1, 3)])]);
    let turn = bench.next(1).remove(0);
    bench.outbox.finish(turn.id);
    let asked: Vec<Uuid> = bench.settle(true).iter().map(|s| s.id).collect();
    bench.outbox.settled(&asked, &[], bench.now + LEASE);
    let left = bench.next(9);
    assert_eq!(left.iter().map(|t| t.id.row.as_u128()).collect::<Vec<_>>(), [2]);
    assert_eq!(bench.capacity.room(), 99);
}

/// Two mailers would send one mail if it were begun when its lease could end before the try.
#[test]
fn a_mail_is_begun_only_while_its_lease_outlasts_a_try() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1)])]);
    let late = bench.now + LEASE - TRY;
    assert!(bench.outbox.next(1, TRY, late).is_empty());
    let turn = bench.outbox.next(1, TRY, late - Duration::from_millis(1)).remove(0);
    assert_eq!(turn.start_by, late);
    bench.outbox.put_back(turn.id);
    // extended while it waits
    let renewed = bench.outbox.settlements(9, true, bench.now + LEASE + TRY);
    assert_eq!(renewed[0].done, Some(vec![0]));
    bench.now = late;
    bench.acknowledge(&renewed);
    assert_eq!(bench.next(1).len(), 1);
}

/// After an outage there are more rows than a statement takes: no lease may end because others are always taken first.
#[test]
fn the_lease_that_ends_first_is_extended_first() {
    let mut bench = Bench::with(vec![]);
    for id in 0..50 {
        let until = bench.now + LEASE + Duration::from_millis(id);
        assert!(bench.outbox.insert(row(u128::from(id), &[mail(1, u128::from(id))]), until));
    }
    let (renew, mut extended) = (bench.now + 2 * LEASE, Vec::new());
    while bench.outbox.is_any_ending(renew) {
        let settlements = bench.outbox.settlements(8, true, renew);
        let ids: Vec<Uuid> = settlements.iter().map(|s| s.id).collect();
        bench.outbox.settled(&ids, &ids, renew);
        extended.extend(ids.iter().map(Uuid::as_u128));
    }
    assert_eq!(extended, (0..50).collect::<Vec<_>>());
}

/// A lease that passed while Postgres was away: the row is claimed by its own holder, and no mail of it is sent twice.
#[test]
fn a_row_that_is_claimed_again_goes_on_as_it_was() {
    let mails: Vec<DueMail> = (0..4).map(|n| mail(1, n)).collect();
    let mut bench = Bench::with(vec![row(1, &mails)]);
    let turns = bench.next(2);
    bench.outbox.finish(turns[0].id);
    let noted = OutboxRow { done: vec![0b1000], ..row(1, &mails) };
    assert!(bench.outbox.insert(noted, bench.now + LEASE));
    let rest = bench.next(9);
    assert_eq!(
        rest.iter().map(|turn| turn.id.place).collect::<Vec<_>>(),
        [2],
        "one has left, one is with a mailer, one was noted"
    );
    assert_eq!(bench.capacity.room(), 98);
    bench.outbox.put_back(turns[1].id);
    bench.next(9).iter().chain(&rest).for_each(|turn| bench.outbox.finish(turn.id));
    assert_eq!(bench.settle(false)[0].done, None, "all have left");
}

/// The end of a life drops nothing that waits.
#[test]
fn what_waits_at_the_end_stays_in_its_row() {
    let mut bench = Bench::with(vec![row(1, &[mail(1, 1), mail(1, 2)]), row(2, &[mail(1, 1)])]);
    let turn = bench.next(1).remove(0);
    bench.outbox.finish(turn.id);
    let mut last = bench.outbox.close_all();
    last.sort_by_key(|s| s.id);
    assert_eq!(last.iter().map(|s| s.done.clone()).collect::<Vec<_>>(), [Some(vec![0b01]), Some(vec![0])]);
}

#[test]
fn a_claimed_row_goes_on_where_it_was() {
    let mut bench = Bench::with(vec![]);
    let claimed = OutboxRow { done: vec![0b01], ..row(1, &[mail(1, 1), mail(1, 2)]) };
    assert!(bench.outbox.insert(claimed, bench.now + LEASE));
    let turns = bench.next(9);
    assert_eq!((turns.len(), turns[0].id.place, turns[0].asked_us, turns[0].attempts), (1, 1, 5, 1));
    let outlived = OutboxRow { expired: true, ..row(2, &[mail(1, 3)]) };
    assert!(bench.outbox.insert(outlived, bench.now + LEASE));
    assert_eq!((bench.next(9).len(), bench.settle(false)[0].id.as_u128()), (0, 2));
    assert!(!bench.outbox.insert(OutboxRow { due: vec![1], ..row(3, &[]) }, bench.now));
}

/// With a provider that takes one mail at a time, as a probe, thousands of them would hold everybody else up.
#[test]
fn mails_of_lost_rows_take_nobodys_turn() {
    let lost: Vec<DueMail> = (0..10).map(|n| mail(1, n)).collect();
    let newer = OutboxRow { asked_us: 9, ..row(1, &lost) };
    let mut bench = Bench::with(vec![newer, row(2, &[mail(1, 50)])]);
    bench.outbox.settled(&[Uuid::from_u128(1)], &[], bench.now + LEASE);
    assert_eq!(bench.next(1).first().map(|turn| turn.id.row.as_u128()), Some(2));
}
