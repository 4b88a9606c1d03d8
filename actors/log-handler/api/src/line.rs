//! What one line of an access log says: nginx's `combined`, with the request's time at the end.
//!
//! `203.0.113.9 - - [24/Nov/2026:04:24:51 +0000] "GET /items?page=2 HTTP/1.1" 200 512 "-" "curl/8" 0.004`
//!
//! Any bytes may come; what a line does not say is not there, and no line is refused.

use std::borrow::Cow;
use std::collections::BTreeMap;

/// Stands for every request that is none, or one too many.
pub const OTHER: &str = "other";
/// How many requests are told apart.
pub const REQUESTS_MAX: usize = 512;
/// The longest request that is told apart, in bytes.
pub const REQUEST_BYTES_MAX: usize = 128;

/// How many lines `payload` holds: one, and one more for every line end that should not be in it.
#[must_use]
pub fn count(payload: &[u8]) -> u64 {
    1 + payload.iter().filter(|byte| **byte == b'\n').count() as u64
}

/// Method and path, without query: `GET /items`.
#[must_use]
pub fn request(line: &[u8]) -> Option<Cow<'_, str>> {
    let request = quoted(line)?.0;
    let method_end = request.iter().position(|byte| *byte == b' ')?;
    let path = &request[method_end + 1..];
    let path_end = path.iter().position(|byte| matches!(byte, b' ' | b'?')).unwrap_or(path.len());
    let is_method = method_end > 0 && request[..method_end].iter().all(u8::is_ascii_uppercase);
    let fits = path.starts_with(b"/") && method_end + 1 + path_end <= REQUEST_BYTES_MAX;
    (is_method && fits).then(|| String::from_utf8_lossy(&request[..=method_end + path_end]))
}

/// The HTTP status.
#[must_use]
pub fn status(line: &[u8]) -> Option<u16> {
    let status = text(quoted(line)?.1.trim_ascii_start().split(|byte| *byte == b' ').next()?)?;
    status.parse().ok().filter(|status| (100..600).contains(status))
}

/// How long the request took, in microseconds.
#[must_use]
pub fn time_us(line: &[u8]) -> Option<u64> {
    status(line)?;
    let last = text(line.trim_ascii_end().rsplit(|byte| *byte == b' ').next()?)?;
    let (seconds, fraction) = last.split_once('.')?;
    let is_number = |digits: &str| !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
    if !is_number(seconds) || !is_number(fraction) || fraction.len() > 6 {
        return None;
    }
    let micros: u64 = format!("{fraction:0<6}").parse().ok()?;
    seconds.parse::<u64>().ok()?.checked_mul(1_000_000)?.checked_add(micros)
}

/// Counts one line of `request` in `requests`, which stays within [`REQUESTS_MAX`].
pub fn tally(requests: &mut BTreeMap<String, u64>, request: Option<Cow<'_, str>>) {
    let request = request.unwrap_or(Cow::Borrowed(OTHER));
    if let Some(count) = requests.get_mut(&*request) {
        *count += 1;
    } else if requests.len() < REQUESTS_MAX {
        requests.insert(request.into_owned(), 1);
    } else {
        *requests.entry(OTHER.to_owned()).or_default() += 1;
    }
}

/// What stands between the first two quotes, and what follows.
fn quoted(line: &[u8]) -> Option<(&[u8], &[u8])> {
    let open = line.iter().position(|byte| *byte == b'"')? + 1;
    let close = open + line[open..].iter().position(|byte| *byte == b'"')?;
    Some((&line[open..close], &line[close + 1..]))
}

fn text(bytes: &[u8]) -> Option<&str> {
    std::str::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LINE: &[u8] =
        br#"203.0.113.9 - - [24/Nov/2026:04:24:51 +0000] "GET /items?page=2 HTTP/1.1" 200 512 "-" "curl/8" 1.004"#;

    #[test]
    fn a_line_of_nginx_says_request_status_and_time() {
        assert_eq!(request(LINE).as_deref(), Some("GET /items"));
        assert_eq!(status(LINE), Some(200));
        assert_eq!(time_us(LINE), Some(1_004_000));
    }

    #[test]
    fn any_other_line_says_nothing_and_is_still_a_line() {
        for line in [&b""[..], b"\xff\xfe\0", b"\"", b"\"\"", b"\" \"", b"a \"get /\" 99 0.1", b"\"GET /"] {
            assert_eq!((request(line), status(line), time_us(line), count(line)), (None, None, None, 1), "{line:?}");
        }
        assert_eq!(time_us(b"\"GET / HTTP/1.1\" 200 5"), None);
        assert_eq!(time_us(b"\"GET / HTTP/1.1\" 200 18446744073709551615.0"), None);
        assert_eq!(count(b"one\ntwo"), 2);
    }

    #[test]
    fn requests_that_are_told_apart_are_bounded() {
        let mut requests = BTreeMap::new();
        for number in 0..REQUESTS_MAX + 10 {
            tally(&mut requests, Some(format!("GET /{number}").into()));
        }
        tally(&mut requests, request(format!("\"GET /{} HTTP/1.1\"", "x".repeat(REQUEST_BYTES_MAX)).as_bytes()));
        assert_eq!((requests.len(), requests[OTHER]), (REQUESTS_MAX + 1, 11));
    }
}
