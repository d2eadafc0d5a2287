//! What a receiver said, as it may be shown: in one line, and without what nobody is to see.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use hyper::header::{HeaderName, HeaderValue, USER_AGENT};
use percent_encoding::percent_decode_str;

/// How much of what a receiver answered is in an error.
const MOST_SAID: usize = 500;
/// How much of what a receiver answered is searched for what it repeats.
const MOST_SEARCHED: usize = 1 << 16;
/// Letters of the shortest password, and of the shortest other value, that is taken for a secret where
/// a receiver repeats it: what is shorter is in many a word.
const SHORTEST_PASSWORD: usize = 4;
const SHORTEST_VALUE: usize = 8;

/// What a receiver said, without these secrets: some repeat all that they were sent.
pub(super) fn without(secrets: &[String], body: &[u8]) -> String {
    // More than is shown, so that no secret is cut in two before it is found.
    let body = &body[..body.len().min(MOST_SEARCHED)];
    let mut said = String::from_utf8_lossy(body).into_owned();
    for secret in secrets {
        said = said.replace(secret, "***");
    }
    one_line(said.as_bytes())
}

/// What nobody is to see of a request: credentials, and values of headers and of the query that are too
/// long for words. The longest come first: a shorter one may be a part of it.
pub(super) fn secrets(
    authorization: Option<&HeaderValue>,
    headers: &[(HeaderName, HeaderValue)],
    path: &str,
) -> Vec<String> {
    let text = |value: &HeaderValue| String::from_utf8_lossy(value.as_bytes()).into_owned();
    let mut secrets = Vec::new();
    if let Some(value) = authorization.map(text) {
        let token = value.split_once(' ').map_or(&*value, |(_, token)| token);
        let pair = STANDARD.decode(token).ok().and_then(|pair| String::from_utf8(pair).ok());
        let password = pair.as_deref().and_then(|pair| pair.split_once(':'));
        secrets.extend(password.map(|(_, password)| password.to_owned()));
        secrets.push(token.to_owned());
        secrets.push(value);
    }
    secrets.retain(|secret| secret.len() >= SHORTEST_PASSWORD);
    let query = path.split_once('?').map_or("", |(_, query)| query);
    let decoded = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
    let values = query.split('&').filter_map(|pair| Some(pair.split_once('=')?.1));
    let values = values.flat_map(|value| [value.to_owned(), decoded(value)]);
    let own = headers.iter().filter(|(name, _)| *name != USER_AGENT);
    let own = own.map(|(_, value)| text(value));
    secrets.extend(values.chain(own).filter(|value| value.len() >= SHORTEST_VALUE));
    secrets.sort_by_key(|secret| std::cmp::Reverse(secret.len()));
    secrets
}

/// What a receiver said, cut, in one line of characters that can be printed.
pub(crate) fn one_line(body: &[u8]) -> String {
    let text = String::from_utf8_lossy(&body[..body.len().min(4 * MOST_SAID)]);
    let words: Vec<&str> = text.split_whitespace().collect();
    words.join(" ").chars().filter(|c| !c.is_control()).take(MOST_SAID).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_receiver_said_is_one_line_that_is_not_long() {
        assert_eq!(one_line(b" a\r\n  b\tc\x1b[0m\n"), "a b c[0m");
        assert_eq!(one_line(&[b'x'; 10_000]).len(), MOST_SAID);
        assert_eq!(one_line(b"\xff"), "\u{fffd}");
    }
}
