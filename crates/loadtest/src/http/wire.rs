//! Just enough HTTP/1.1 to read the answers of a service that frames every body by `Content-Length`.
//!
//! Strict on purpose: anything else (chunks, two lengths, an older version, bytes after the body) is an error and
//! is counted as one, never guessed at.

/// More than any answer's head needs; a longer one is an error, not a reason to grow.
pub(super) const MAX_HEAD: usize = 16 * 1024;
/// Room for a long dev mailbox; ordinary answers take a few hundred bytes.
pub(super) const MAX_BODY: usize = 8 * 1024 * 1024;

/// The parts of an answer's head that the driver acts on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Head {
    /// The status code.
    pub status: u16,
    /// Bytes of head, with the empty line.
    pub head_len: usize,
    /// Bytes of body that follow.
    pub body_len: usize,
    /// `Retry-After` in whole seconds, where given so.
    pub retry_after: Option<u32>,
    /// The server closes the connection after this answer.
    pub close: bool,
}

/// The answer is not what this client reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct WireError(pub &'static str);

/// Reads the head at the start of `bytes`; `None` while it is not complete.
pub(super) fn read_head(bytes: &[u8]) -> Result<Option<Head>, WireError> {
    let Some(end) = find_end(bytes) else {
        return if bytes.len() > MAX_HEAD { Err(WireError("head too long")) } else { Ok(None) };
    };
    let mut lines =
        bytes[..end].split(|&byte| byte == b'\n').map(|line| line.strip_suffix(b"\r").unwrap_or(line));
    let status = read_status(lines.next().unwrap_or_default())?;
    let mut head = Head { status, head_len: end + 4, body_len: 0, retry_after: None, close: false };
    let mut length = None;
    for line in lines {
        let colon =
            line.iter().position(|&byte| byte == b':').ok_or(WireError("header line without a colon"))?;
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        // The length is compared first: a test of the first letters' count settles nearly every other header.
        match name.len() {
            14 if name.eq_ignore_ascii_case(b"content-length") => {
                let value = number(value).ok_or(WireError("unreadable Content-Length"))?;
                if length.replace(value).is_some() {
                    return Err(WireError("more than one Content-Length"));
                }
            }
            17 if name.eq_ignore_ascii_case(b"transfer-encoding") => {
                return Err(WireError("a body without Content-Length"));
            }
            11 if name.eq_ignore_ascii_case(b"retry-after") => head.retry_after = number(value),
            10 if name.eq_ignore_ascii_case(b"connection") => {
                head.close = value.eq_ignore_ascii_case(b"close")
            }
            _ => {}
        }
    }
    head.body_len = body_len(status, length)?;
    Ok(Some(head))
}

/// The value of a header in a complete head.
pub(super) fn header<'a>(head: &'a [u8], name: &str) -> Option<&'a str> {
    head.split(|&byte| byte == b'\n').find_map(|line| {
        let colon = line.iter().position(|&byte| byte == b':')?;
        let value = line[colon + 1..].trim_ascii();
        line[..colon].eq_ignore_ascii_case(name.as_bytes()).then(|| std::str::from_utf8(value).ok())?
    })
}

fn body_len(status: u16, length: Option<u32>) -> Result<usize, WireError> {
    match (status, length) {
        (204 | 304, None | Some(0)) => Ok(0),
        (204 | 304, Some(_)) => Err(WireError("a body where the status forbids one")),
        (_, None) => Err(WireError("no Content-Length")),
        (_, Some(length)) if length as usize > MAX_BODY => Err(WireError("body too long")),
        (_, Some(length)) => Ok(length as usize),
    }
}

fn read_status(line: &[u8]) -> Result<u16, WireError> {
    let rest = line.strip_prefix(b"HTTP/1.1 ").ok_or(WireError("not an HTTP/1.1 answer"))?;
    let digits = rest.get(..3).ok_or(WireError("unreadable status line"))?;
    match (number(digits), rest.get(3)) {
        (Some(status @ 200..=599), None | Some(b' ')) => Ok(status as u16),
        _ => Err(WireError("unreadable status line")),
    }
}

fn number(digits: &[u8]) -> Option<u32> {
    if digits.is_empty() || !digits.iter().all(u8::is_ascii_digit) {
        return None;
    }
    digits.iter().try_fold(0_u32, |sum, digit| sum.checked_mul(10)?.checked_add(u32::from(digit - b'0')))
}

fn find_end(bytes: &[u8]) -> Option<usize> {
    let bytes = &bytes[..bytes.len().min(MAX_HEAD)];
    bytes.windows(4).position(|window| window == b"\r\n\r\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_the_driver_needs() {
        let answer = b"HTTP/1.1 429 Too Many Requests\r\nretry-AFTER: 2\r\nContent-Length:  5 \r\nConnection: close\r\n\r\n{...}";
        let head = read_head(answer).unwrap().unwrap();
        assert_eq!((head.status, head.body_len, head.retry_after, head.close), (429, 5, Some(2), true));
        assert_eq!(&answer[head.head_len..], b"{...}");
        for cut in 0..head.head_len {
            assert_eq!(read_head(&answer[..cut]), Ok(None), "cut at {cut}");
        }
    }

    #[test]
    fn an_empty_answer_needs_no_length() {
        assert_eq!(read_head(b"HTTP/1.1 204 No Content\r\n\r\n").unwrap().unwrap().body_len, 0);
    }

    #[test]
    fn anything_unclear_is_an_error() {
        for bad in [
            "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\n\r\n",
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n",
            "HTTP/1.1 200 OK\r\nContent-Length: 9999999\r\n\r\n",
            "HTTP/1.1 100 Continue\r\n\r\n",
            "HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 204 No Content\r\nContent-Length: 2\r\n\r\n",
            "HTTP/1.1 200 OK\r\nno colon\r\n\r\n",
        ] {
            assert!(read_head(bad.as_bytes()).is_err(), "{bad}");
        }
        assert!(read_head(&[b'x'; MAX_HEAD + 1]).is_err());
    }
}
