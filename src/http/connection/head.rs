//! Watches a connection's bytes on their way to hyper.
//!
//! hyper forgives what another reader in front of us may read differently: bare line feeds, a `Content-Length` beside a
//! `Transfer-Encoding`, the same length twice, a length with leading zeros. Such a request can hide a second one (request
//! smuggling), so it gets a 400 and its connection ends (G8). Where watch and hyper do not mean the same body, it ends as
//! well: whatever fools one of the two fools nobody. The watch also knows where heads begin and end, which tells a slow
//! head from an idle connection: hyper has one timer for both.

use crate::http::connection::turns::Line;
use crate::http::exchange::Fault;
use std::collections::VecDeque;
use std::time::Duration;
use tokio::time::Instant;

/// Longest part of a header line that is looked at.
const LINE_KEPT: usize = 64;

/// How long each part of a connection's life may take.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    pub head: Duration,
    pub idle: Duration,
    pub answer: Duration,
    pub max_head_bytes: usize,
}

/// One connection, as far as it has been read.
#[derive(Debug)]
pub(crate) struct HeadWatch {
    patience: Patience,
    part: Part,
    since: Instant,
    answering: u32,
    served: u64,
    /// Of the last request.
    line: Line,
    owed: bool,
    fault: Option<Fault>,
    head: Head,
    /// Heads that were read and not yet handed over by hyper; as many as fit into its buffer.
    framed: VecDeque<BodyLength>,
}

/// Bytes of a request's body; `None` if it is chunked.
pub(crate) type BodyLength = Option<u64>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Part {
    /// Between requests.
    Idle,
    /// Inside a head.
    Head,
    /// So many bytes of body are left.
    Body(u64),
    /// After the head of a chunked request: where it ends is hyper's business, and the connection ends with it.
    Opaque,
}

#[derive(Debug, Default)]
struct Head {
    bytes: usize,
    line: Vec<u8>,
    line_bytes: usize,
    lines: usize,
    ends_in_cr: bool,
    length: Option<u64>,
    chunked: bool,
}

/// Why a connection is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Overdue {
    /// Its head did not come in time.
    Head,
    /// Nothing came, or the answer did not go.
    Quiet,
}

impl HeadWatch {
    /// A new connection: its first head is awaited no longer than any head.
    pub(crate) fn new(patience: Patience) -> Self {
        Self {
            patience,
            part: Part::Idle,
            since: Instant::now(),
            answering: 0,
            served: 0,
            line: Line::New,
            owed: false,
            fault: None,
            head: Head::default(),
            framed: VecDeque::new(),
        }
    }

    /// Bytes arrived.
    pub(crate) fn feed(&mut self, mut bytes: &[u8]) {
        while !bytes.is_empty() {
            bytes = match self.part {
                Part::Opaque => return,
                Part::Body(left) => {
                    let taken = usize::try_from(left).unwrap_or(usize::MAX).min(bytes.len());
                    let left = left - taken as u64;
                    self.part = if left == 0 { Part::Idle } else { Part::Body(left) };
                    &bytes[taken..]
                }
                Part::Idle => {
                    self.part = Part::Head;
                    self.head = Head::default();
                    self.since = Instant::now();
                    bytes
                }
                Part::Head => self.feed_head(bytes),
            }
        }
    }

    fn feed_head<'b>(&mut self, bytes: &'b [u8]) -> &'b [u8] {
        for (at, &byte) in bytes.iter().enumerate() {
            self.head.bytes += 1;
            if byte != b'\n' {
                self.head.keep(byte);
                continue;
            }
            if !self.head.ends_in_cr {
                self.fault = self.fault.or(Some(Fault::Malformed));
            }
            if self.end_line() {
                return &bytes[at + 1..];
            }
        }
        if self.head.bytes > self.patience.max_head_bytes {
            self.fault = self.fault.or(Some(Fault::HeadTooLarge));
        }
        &[]
    }

    /// True after the empty line that ends a head.
    fn end_line(&mut self) -> bool {
        let is_empty = self.head.line_bytes == usize::from(self.head.ends_in_cr);
        if !is_empty {
            if self.head.read_line().is_err() {
                self.fault = self.fault.or(Some(Fault::Malformed));
            }
            self.head.next_line();
            return false;
        }
        self.head.next_line();
        if self.head.lines == 0 {
            // An empty line before a request is allowed (RFC 9112 section 2.2).
            return false;
        }
        if self.head.bytes > self.patience.max_head_bytes {
            self.fault = self.fault.or(Some(Fault::HeadTooLarge));
        }
        let length = if self.head.chunked { None } else { Some(self.head.length.unwrap_or(0)) };
        self.framed.push_back(length);
        self.part = match length {
            None => Part::Opaque,
            Some(0) => Part::Idle,
            Some(length) => Part::Body(length),
        };
        self.since = Instant::now();
        true
    }

    /// Whether nothing was wrong so far.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn is_sound(&self) -> bool {
        self.fault.is_none()
    }

    /// hyper handed a request over that has, as it understands it, a body of this length.
    pub(crate) fn begin_answer(&mut self, length: BodyLength) -> Option<Fault> {
        self.answering += 1;
        self.since = Instant::now();
        if self.framed.pop_front() != Some(length) {
            self.fault = self.fault.or(Some(Fault::Malformed));
        }
        self.fault
    }

    /// How many requests hyper has handed over.
    pub(crate) fn begun(&self) -> u64 {
        self.served + u64::from(self.answering)
    }

    /// Its answer is ready. True if the connection must end with it.
    pub(crate) fn end_answer(&mut self, line: Line) -> bool {
        self.line = line;
        self.answering = self.answering.saturating_sub(1);
        self.served += 1;
        self.owed = true;
        self.since = Instant::now();
        self.fault.is_some() || self.part == Part::Opaque
    }

    /// Where it waits for its turn to read, if it is between two requests.
    pub(crate) fn waits_in(&self) -> Option<Line> {
        (!self.is_owed() && self.part == Part::Idle).then_some(self.line)
    }

    /// Everything that hyper had to write is written.
    pub(crate) fn flushed(&mut self) {
        self.owed = self.answering > 0;
    }

    /// Whether hyper writes for a request; if not, it complains about a head that it cannot read.
    pub(crate) fn is_owed(&self) -> bool {
        self.owed || self.answering > 0
    }

    /// When to look again, and what to do about it if nothing has changed until then.
    pub(crate) fn deadline(&self) -> (Instant, Overdue) {
        let (patience, what) = match self.part {
            _ if self.answering > 0 => (self.patience.answer, Overdue::Quiet),
            Part::Head => (self.patience.head, Overdue::Head),
            Part::Idle if self.served == 0 => (self.patience.head, Overdue::Quiet),
            _ => (self.patience.idle, Overdue::Quiet),
        };
        (self.since + patience, what)
    }
}

impl Head {
    fn keep(&mut self, byte: u8) {
        self.line_bytes += 1;
        self.ends_in_cr = byte == b'\r';
        if self.line.len() < LINE_KEPT {
            self.line.push(byte);
        }
    }

    fn next_line(&mut self) {
        self.line.clear();
        self.line_bytes = 0;
        self.ends_in_cr = false;
    }

    /// Looks for the two headers that say where the request ends.
    fn read_line(&mut self) -> Result<(), Fault> {
        self.lines += 1;
        if self.lines == 1 {
            return Ok(());
        }
        let colon = self.line.iter().position(|&byte| byte == b':').unwrap_or(self.line.len());
        let (name, value) = self.line.split_at(colon);
        let name = name.trim_ascii();
        let is_whole = self.line_bytes <= LINE_KEPT;
        if name.eq_ignore_ascii_case(b"transfer-encoding") {
            let again = std::mem::replace(&mut self.chunked, true);
            return if again || self.length.is_some() { Err(Fault::Malformed) } else { Ok(()) };
        }
        if name.eq_ignore_ascii_case(b"content-length") {
            let value = value.get(1..).unwrap_or_default().trim_ascii();
            let length = canonical(value).filter(|_| is_whole).ok_or(Fault::Malformed)?;
            let again = self.length.replace(length).is_some();
            return if again || self.chunked { Err(Fault::Malformed) } else { Ok(()) };
        }
        Ok(())
    }
}

/// A length in its one spelling: digits without leading zeros. Every reader cuts such a number alike.
fn canonical(value: &[u8]) -> Option<u64> {
    let length: u64 = std::str::from_utf8(value).ok()?.parse().ok()?;
    (length.to_string().as_bytes() == value).then_some(length)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const PATIENCE: Patience = Patience {
        head: Duration::from_secs(10),
        idle: Duration::from_secs(75),
        answer: Duration::from_secs(30),
        max_head_bytes: 1_000,
    };

    fn fed(bytes: &[u8]) -> HeadWatch {
        let mut watch = HeadWatch::new(PATIENCE);
        watch.feed(bytes);
        watch
    }

    /// G8: what two readers could cut in two places.
    #[test]
    fn ambiguous_requests_are_faulty() {
        for head in [
            "POST / HTTP/1.1\nHost: x\r\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\n\r\n",
            "POST / HTTP/1.1\r\nHost: x\r\n\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\ncontent-length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length : 5\r\nContent-Length: 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 5, 5\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: +1\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 054\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 00\r\n\r\n",
            "POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\n",
            "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n",
        ] {
            assert_eq!(fed(head.as_bytes()).fault, Some(Fault::Malformed), "{head:?}");
        }
    }

    /// G8: what stands beyond the part of a line that is kept cannot change the length unseen.
    #[test]
    fn long_length_lines_are_faulty() {
        for value in [
            format!("{}54", "0".repeat(48)),
            format!("{}54", " ".repeat(48)),
            format!("5{}4", " ".repeat(60)),
        ] {
            let head = format!("POST / HTTP/1.1\r\nContent-Length: {value}\r\n\r\n");
            assert_eq!(fed(head.as_bytes()).fault, Some(Fault::Malformed), "{value:?}");
        }
    }

    /// G8: hyper means another body than the watch, or a request that the watch has not seen.
    #[test]
    fn a_disagreement_is_a_fault() {
        let head = b"POST / HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd";
        assert_eq!(fed(head).begin_answer(Some(4)), None);
        for other in [Some(0), Some(5), None] {
            assert_eq!(fed(head).begin_answer(other), Some(Fault::Malformed), "{other:?}");
        }
        let mut pipelined = fed(&[&head[..], head].concat());
        assert_eq!((pipelined.begin_answer(Some(4)), pipelined.begin_answer(Some(4))), (None, None));
        assert_eq!(pipelined.begin_answer(Some(4)), Some(Fault::Malformed), "a third");
    }

    #[test]
    fn large_heads_are_faulty() {
        let head = format!("GET / HTTP/1.1\r\nHost: x\r\nX: {}\r\n\r\n", "y".repeat(1_000));
        assert_eq!(fed(head.as_bytes()).fault, Some(Fault::HeadTooLarge));
    }

    /// The second of two requests on one connection is watched too, also when both arrive at once.
    #[test]
    fn bodies_are_skipped_exactly() {
        let first = "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\na\nb\n";
        assert_eq!(fed(first.as_bytes()).part, Part::Idle);
        let second = format!("{first}\r\nPOST / HTTP/1.1\r\nHost: x\n\r\n");
        assert_eq!(fed(second.as_bytes()).fault, Some(Fault::Malformed));
        let watch = fed(format!("{first}{first}").as_bytes());
        assert_eq!((watch.fault, watch.part), (None, Part::Idle));
    }

    #[test]
    fn a_chunked_request_is_its_connection_s_last() {
        let mut watch = fed(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\nab");
        assert_eq!(watch.begin_answer(None), None);
        assert!(watch.end_answer(Line::Nobody));
    }

    /// G7: a slow head, a silent connection and an idle one have their own times.
    #[test]
    fn each_silence_has_its_own_patience() {
        let watch = |bytes: &[u8]| fed(bytes).deadline();
        assert_eq!(watch(b"").1, Overdue::Quiet);
        assert_eq!(watch(b"GET").1, Overdue::Head);
        let mut served = fed(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n");
        assert_eq!(served.waits_in(), Some(Line::New), "only between requests");
        served.begin_answer(Some(0));
        assert_eq!((served.waits_in(), served.deadline().0), (None, served.since + PATIENCE.answer));
        assert!(!served.end_answer(Line::Nobody));
        assert_eq!(served.deadline(), (served.since + PATIENCE.idle, Overdue::Quiet));
        assert_eq!((served.waits_in(), served.flushed(), served.waits_in()), (None, (), Some(Line::Nobody)));
    }

    proptest! {
        /// Where reads happen to be cut makes no difference, and nothing panics.
        #[test]
        fn cuts_make_no_difference(
            bytes in "(POST / HTTP/1.1\r\n)?([A-Za-z:\r\n 0-9]|Content-Length: 3\r\n|Transfer-Encoding: x\r\n|\r\n\r\n){0,20}",
            cut in any::<proptest::sample::Index>(),
        ) {
            let bytes = bytes.as_bytes();
            let (left, right) = bytes.split_at(cut.index(bytes.len() + 1));
            let mut parts = fed(left);
            parts.feed(right);
            let whole = fed(bytes);
            prop_assert_eq!((parts.fault, parts.part), (whole.fault, whole.part));
        }
    }
}
