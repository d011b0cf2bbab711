//! Reads a list of customers: CSV, with or without a header.

use super::CommandError;
use super::connect::source;
use csv::{ReaderBuilder, StringRecord, Terminator};
use doorcode_actors::Directory;
use doorcode_actors::directory::{ImportReport, ImportRow, RefusedLine};
use std::io::{self, Read};
use std::path::Path;

/// `-` is standard input.
pub(super) async fn run(
    directory: &Directory,
    tenant: &str,
    file: &Path,
) -> Result<ImportReport, CommandError> {
    let mut rows = Rows::new(source(file)?);
    let report = directory.import_customers(tenant, rows.by_ref()).await?;
    match rows.broken {
        None => Ok(report),
        Some(error) => Err(CommandError::failed(
            format!("{} cannot be read: {error}", file.display()),
            match report.added {
                0 => String::new(),
                added => format!("{added} customers were added before; importing again is safe"),
            },
        )),
    }
}

/// Read after the file, so that a quote without an end shows: it has this in its cell.
const END: &str = "\n\u{4}\n";

/// Bytes of a record; one whose cells may be imported has a few thousand. With a quote that is never closed a whole file is one.
const RECORD_MAX: usize = 1 << 20;

/// Gives no more of a source than a record may have, until `left` is renewed.
struct Bounded<R> {
    source: R,
    left: usize,
}

impl<R: Read> Read for Bounded<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.source.read(buffer)?;
        let left = self.left.checked_sub(count);
        self.left = left.ok_or_else(|| {
            io::Error::other("this record has more than 1 MB: is a quote opened there and never closed?")
        })?;
        Ok(count)
    }
}

/// The rows of a file, each with its line. Columns are told by the header, or else are email, customer_id.
struct Rows<R> {
    reader: csv::Reader<Bounded<io::Chain<R, &'static [u8]>>>,
    columns: Option<Columns>,
    /// Why reading ended before the file did.
    broken: Option<String>,
}

#[derive(Clone, Copy)]
struct Columns {
    email: usize,
    customer_id: Option<usize>,
    external_id: Option<usize>,
    locale: Option<usize>,
    claims: Option<usize>,
}

impl Columns {
    /// Of a file without a header.
    const PLAIN: Self =
        Self { email: 0, customer_id: Some(1), external_id: None, locale: None, claims: None };
}

impl<R: Read> Rows<R> {
    fn new(source: R) -> Self {
        // With a line feed after every record, also the last one, the reader's line is always the one after it; the
        // position csv gives a record counts blank lines and CRLF wrongly.
        let reader = ReaderBuilder::new()
            .has_headers(false)
            .flexible(true)
            .terminator(Terminator::Any(b'\n'))
            .from_reader(Bounded { source: source.chain(END.as_bytes()), left: RECORD_MAX });
        Self { reader, columns: None, broken: None }
    }

    /// The line in which a record begins, once it is read.
    fn line_of(&self, record: &StringRecord) -> u64 {
        let within = record.iter().flat_map(str::bytes).filter(|byte| *byte == b'\n').count() as u64;
        self.reader.position().line().saturating_sub(1 + within)
    }

    /// Nothing for a header or a line of white space.
    fn row(&mut self, record: &StringRecord) -> Result<Option<ImportRow>, String> {
        if record.iter().all(|cell| cell.trim().is_empty()) && record.len() <= 1 {
            return Ok(None);
        }
        let line = self.line_of(record);
        if record.iter().next_back().is_some_and(|cell| cell.ends_with(END)) {
            return Err(format!("line {}: a quote is opened and never closed", line + 1));
        }
        let columns = match self.columns {
            Some(columns) => columns,
            None => {
                let header = header(record);
                if header.is_none() {
                    expect_list(line, record)?;
                }
                let columns = *self.columns.insert(header.unwrap_or(Columns::PLAIN));
                if header.is_some() {
                    return Ok(None);
                }
                columns
            }
        };
        let cell = |index: usize| record.get(index).map(|cell| plain(cell).to_owned());
        Ok(Some(ImportRow {
            line,
            email: cell(columns.email).unwrap_or_default(),
            customer_id: columns.customer_id.and_then(cell),
            external_id: columns.external_id.and_then(cell),
            locale: columns.locale.and_then(cell),
            claims: columns.claims.and_then(cell),
        }))
    }
}

fn plain(cell: &str) -> &str {
    cell.trim().trim_start_matches('\u{feff}').trim()
}

/// What a first line without the word `email` must be; else nobody could tell what stands where.
fn expect_list(line: u64, record: &StringRecord) -> Result<(), String> {
    let first = record.get(0).unwrap_or_default();
    match (
        [(';', "';'"), ('\t', "tabs")].iter().find(|(mark, _)| record.len() == 1 && first.contains(*mark)),
        first.contains('@'),
    ) {
        (Some((_, name)), _) => Err(format!("line {line}: cells are separated by {name}, expected ','")),
        (None, true) => Ok(()),
        (None, false) => Err(format!(
            "line {line} is neither an address nor a header with the column `email`; expected \
             one of them"
        )),
    }
}

/// A first line is a header if one of its cells is the word `email`.
fn header(record: &StringRecord) -> Option<Columns> {
    let find =
        |name: &str| record.iter().position(|cell| plain(cell).trim_matches('"').eq_ignore_ascii_case(name));
    Some(Columns {
        email: find("email")?,
        customer_id: find("customer_id"),
        external_id: find("external_id"),
        locale: find("locale"),
        claims: find("claims"),
    })
}

impl<R: Read> Iterator for Rows<R> {
    type Item = Result<ImportRow, RefusedLine>;

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let mut record = StringRecord::new();
            let line = self.reader.position().line();
            self.reader.get_mut().left = RECORD_MAX;
            match self.reader.read_record(&mut record) {
                Ok(false) => return None,
                Ok(true) if record.len() == 1 && record.get(0) == Some(END.trim_matches('\n')) => {
                    return None;
                }
                Ok(true) => match self.row(&record) {
                    Ok(Some(row)) => return Some(Ok(row)),
                    Ok(None) => {}
                    Err(fault) => {
                        self.broken = Some(fault);
                        return None;
                    }
                },
                Err(error) => match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => {
                        let reason = "this line is not UTF-8".to_owned();
                        return Some(Err(RefusedLine { line: self.line_of(&record), reason }));
                    }
                    _ => {
                        self.broken = Some(format!("line {line}: {error}"));
                        return None;
                    }
                },
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &[u8]) -> Vec<(u64, String, Option<String>)> {
        let rows = Rows::new(text).map(|row| match row {
            Ok(row) => (row.line, row.email, row.customer_id),
            Err(refused) => (refused.line, refused.reason, None),
        });
        rows.collect()
    }

    fn row(line: u64, email: &str, id: Option<&str>) -> (u64, String, Option<String>) {
        (line, email.to_owned(), id.map(str::to_owned))
    }

    #[test]
    fn lists_come_with_and_without_header() {
        assert_eq!(read(b"a@b.c\n\nd@e.f, 7\r\n"), [row(1, "a@b.c", None), row(3, "d@e.f", Some("7"))]);
        assert_eq!(
            read(b"a@b.c\r\n\r\n  \r\n\"d@e.f\"\r\ng@h.i"),
            [row(1, "a@b.c", None), row(4, "d@e.f", None), row(5, "g@h.i", None)]
        );
        assert_eq!(read(b"\xef\xbb\xbfa@b.c"), [row(1, "a@b.c", None)]);
        let named = b"\xef\xbb\xbfName,Customer_ID,\"Email\"\n\"Lovelace, Ada\",7,ada@b.c\n";
        assert_eq!(read(named), [row(2, "ada@b.c", Some("7"))]);
        assert_eq!(read(b"email\n"), []);
        assert_eq!(read(b""), []);
    }

    #[test]
    fn a_record_s_line_is_its_first() {
        let named = b"name,email\n\"two\nlines\",a@b.c\r\n\nx,d@e.f\n";
        assert_eq!(read(named), [row(2, "a@b.c", None), row(5, "d@e.f", None)]);
    }

    #[test]
    fn a_file_of_another_form_is_named() {
        let cases: [(&[u8], usize, &str); 6] = [
            (b"a@b.c\n\n\"d@e.f\ng@h.i\nj@k.l\n", 1, "line 3: a quote is opened and never closed"),
            (b"email,name\na@b.c,\"x", 0, "line 2: a quote is opened and never closed"),
            (b"email;customer_id\na@b.c;7\n", 0, "line 1: cells are separated by ';', expected ','"),
            (b"a@b.c\t7\n", 0, "line 1: cells are separated by tabs, expected ','"),
            (b"e-mail,id\na@b.c,7\n", 0, "line 1 is neither an address nor a header with the column `email`"),
            (b"\n\nada\n", 0, "line 3 is neither"),
        ];
        for (text, before, fault) in cases {
            let mut rows = Rows::new(text);
            assert_eq!(rows.by_ref().count(), before, "{fault}");
            let broken = rows.broken.unwrap_or_default();
            assert!(broken.starts_with(fault), "{broken} instead of {fault}");
        }
    }

    #[test]
    fn a_record_without_end_costs_no_memory() {
        let mut rows = Rows::new(io::Cursor::new("a@b.c\n\"").chain(io::repeat(b'x')));
        assert_eq!(rows.by_ref().count(), 1);
        let broken = rows.broken.unwrap_or_default();
        assert!(broken.starts_with("line 2: this record has more than 1 MB"), "{broken}");
        let many = "a@b.c\n".repeat(400_000);
        assert_eq!(Rows::new(many.as_bytes()).count(), 400_000);
    }

    #[test]
    fn a_line_that_is_no_text_costs_only_itself() {
        assert_eq!(
            read(b"a@b.c\n\xff@b.c\nd@e.f\n"),
            [row(1, "a@b.c", None), row(2, "this line is not UTF-8", None), row(3, "d@e.f", None)]
        );
    }

    #[test]
    fn a_file_that_breaks_off_says_so() {
        struct Torn(bool);
        impl Read for Torn {
            fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
                if std::mem::replace(&mut self.0, true) {
                    return Err(io::Error::other("disk on fire"));
                }
                buffer[..6].copy_from_slice(b"a@b.c\n");
                Ok(6)
            }
        }
        let mut rows = Rows::new(Torn(false));
        assert_eq!(rows.by_ref().count(), 1);
        assert!(rows.broken.is_some());
    }
}
