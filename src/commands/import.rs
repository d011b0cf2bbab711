//! Reads a list of customers: CSV, with or without a header.

use super::CommandError;
use csv::{ReaderBuilder, StringRecord, Terminator, Trim};
use doorcode_actors::Directory;
use doorcode_actors::directory::{ImportReport, ImportRow, RefusedLine};
use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// `-` is standard input.
pub(super) async fn run(
    directory: &Directory,
    tenant: &str,
    file: &Path,
) -> Result<ImportReport, CommandError> {
    let source: Box<dyn Read + Send> = if file == Path::new("-") {
        Box::new(io::stdin())
    } else {
        let open = File::open(file);
        Box::new(open.map_err(|error| {
            CommandError::failed(
                format!("{} cannot be opened: {error}", file.display()),
                "give a CSV file, or - for standard input",
            )
        })?)
    };
    let mut rows = Rows::new(source);
    let report = directory.import_customers(tenant, rows.by_ref()).await?;
    match rows.broken {
        None => Ok(report),
        Some(error) => Err(CommandError::failed(
            format!("{} could be read in part only: {error}", file.display()),
            format!("{} customers were added before; importing again is safe", report.added),
        )),
    }
}

/// The rows of a file, each with its line. Columns are told by the header, or else are email, customer_id.
struct Rows<R> {
    reader: csv::Reader<io::Chain<R, &'static [u8]>>,
    columns: Option<Columns>,
    /// Why reading ended before the file did.
    broken: Option<csv::Error>,
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
            .trim(Trim::All)
            .from_reader(source.chain(&b"\n"[..]));
        Self { reader, columns: None, broken: None }
    }

    /// The line that was read last; of a record with line feeds in quotes, its last one.
    fn line(&self) -> u64 {
        self.reader.position().line().saturating_sub(1)
    }

    /// Nothing for a header or a line of white space.
    fn row(&mut self, record: &StringRecord) -> Option<ImportRow> {
        if record.iter().all(str::is_empty) && record.len() <= 1 {
            return None;
        }
        let columns = match self.columns {
            Some(columns) => columns,
            None => {
                let header = header(record);
                let columns = *self.columns.insert(header.unwrap_or(Columns::PLAIN));
                if header.is_some() {
                    return None;
                }
                columns
            }
        };
        let cell =
            |index: usize| record.get(index).map(|cell| cell.trim_start_matches('\u{feff}').to_owned());
        Some(ImportRow {
            line: self.line(),
            email: cell(columns.email).unwrap_or_default(),
            customer_id: columns.customer_id.and_then(cell),
            external_id: columns.external_id.and_then(cell),
            locale: columns.locale.and_then(cell),
            claims: columns.claims.and_then(cell),
        })
    }
}

/// A first line is a header if one of its cells is the word `email`.
fn header(record: &StringRecord) -> Option<Columns> {
    let find = |name: &str| {
        record
            .iter()
            .position(|cell| cell.trim_start_matches('\u{feff}').trim_matches('"').eq_ignore_ascii_case(name))
    };
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
            match self.reader.read_record(&mut record) {
                Ok(false) => return None,
                Ok(true) => {
                    if let Some(row) = self.row(&record) {
                        return Some(Ok(row));
                    }
                }
                Err(error) => match error.kind() {
                    csv::ErrorKind::Utf8 { .. } => {
                        let reason = "this line is not UTF-8".to_owned();
                        return Some(Err(RefusedLine { line: self.line(), reason }));
                    }
                    _ => {
                        self.broken = Some(error);
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
