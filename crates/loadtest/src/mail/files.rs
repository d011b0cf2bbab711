//! Codes from files with `address code` lines.

use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::path::PathBuf;

/// Follows the files from where they ended when the run began.
#[derive(Debug)]
pub struct CodeFiles {
    files: Vec<(File, Vec<u8>)>,
}

impl CodeFiles {
    /// Opens every file and skips what is in it.
    pub fn open(paths: &[PathBuf]) -> io::Result<CodeFiles> {
        let open = |path: &PathBuf| {
            let mut file = File::open(path)?;
            file.seek(SeekFrom::End(0))?;
            Ok((file, Vec::new()))
        };
        Ok(CodeFiles { files: paths.iter().map(open).collect::<io::Result<_>>()? })
    }

    /// What was written since. A read error looks like nothing new; the wait for the mail then fails and is booked.
    pub fn read(&mut self) -> Vec<(String, String)> {
        let new = |(file, rest): &mut (File, Vec<u8>)| match file.read_to_end(rest) {
            Ok(1..) => take_lines(rest),
            _ => Vec::new(),
        };
        self.files.iter_mut().flat_map(new).collect()
    }
}

/// Moves the whole lines out of `rest`; a half-written last line stays.
fn take_lines(rest: &mut Vec<u8>) -> Vec<(String, String)> {
    let Some(end) = rest.iter().rposition(|&byte| byte == b'\n') else { return Vec::new() };
    let lines = rest.drain(..=end).collect::<Vec<u8>>();
    let text = String::from_utf8_lossy(&lines);
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.map(|(address, code)| (address.to_owned(), code.trim().to_owned())).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_half_written_line_waits_for_its_rest() {
        let mut rest = b"a@example.com 111111\nb@example.com 22".to_vec();
        assert_eq!(take_lines(&mut rest).len(), 1);
        rest.extend_from_slice(b"2222\n");
        assert_eq!(take_lines(&mut rest), [("b@example.com".to_owned(), "222222".to_owned())]);
    }
}
