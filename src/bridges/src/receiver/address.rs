//! Where a receiver is, and what of that may be written down.

use hyper::Uri;
use percent_encoding::percent_decode_str;

use super::error::ReceiverError;
use super::secret::Secret;
use crate::http::Target;

/// What a URL says: where a receiver is, and who asks it.
pub(super) struct Address {
    pub(super) target: Target,
    /// A name and a password.
    pub(super) credentials: Option<(String, Secret)>,
}

/// Reads a URL, `http` or `https`, with a name and a password before the `@` where it has them.
pub(super) fn parse(url: &str) -> Result<Address, ReceiverError> {
    let wrong = |why: &str| ReceiverError::Url { found: bare(url), why: why.to_owned() };
    let uri: Uri = url.parse().map_err(|error| wrong(&format!("{error}")))?;
    let is_secure = match uri.scheme_str() {
        Some("http") => false,
        Some("https") => true,
        Some(_) => return Err(wrong("only http and https are spoken")),
        None => return Err(wrong("it begins with http:// or https://")),
    };
    let authority = uri.authority().ok_or_else(|| wrong("it has no host"))?;
    let (credentials, address) = match authority.as_str().rsplit_once('@') {
        Some((credentials, address)) => (Some(credentials), address),
        None => (None, authority.as_str()),
    };
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    if host.is_empty() {
        return Err(wrong("it has no host"));
    }
    let port = match address.rsplit_once(':') {
        Some((_, port)) if !port.ends_with(']') => {
            port.parse().map_err(|_| wrong("its port is no number up to 65535"))?
        }
        _ if is_secure => 443,
        _ => 80,
    };
    let authority = address.to_owned();
    let path = uri.path_and_query().map_or("", |path| path.as_str()).to_owned();
    let target = Target { is_secure, host, port, authority, path };
    let credentials = credentials.map(|credentials| {
        let decode = |text: &str| percent_decode_str(text).decode_utf8_lossy().into_owned();
        let (name, password) = credentials.split_once(':').unwrap_or((credentials, ""));
        (decode(name), decode(password).into())
    });
    Ok(Address { target, credentials })
}

/// The URL of a target.
pub(super) fn url_of(target: &Target) -> String {
    let Target { is_secure, authority, path, .. } = target;
    let path = if path == "/" { "" } else { path };
    format!("http{}://{authority}{path}", if *is_secure { "s" } else { "" })
}

/// The URL that a reference in an answer of this target leads to: another URL, or another path.
pub(super) fn resolved(target: &Target, location: &str) -> String {
    let Target { is_secure, authority, path, .. } = target;
    let scheme = if *is_secure { "https" } else { "http" };
    match location {
        _ if has_scheme(location) => location.to_owned(),
        _ if location.starts_with("//") => format!("{scheme}:{location}"),
        _ if location.starts_with('/') => format!("{scheme}://{authority}{location}"),
        _ => {
            let parent = path.split('?').next().and_then(|path| path.rsplit_once('/'));
            let parent = parent.map_or("", |(parent, _)| parent);
            format!("{scheme}://{authority}{parent}/{location}")
        }
    }
}

/// A URL as it may be written down: without credentials, and without its query, which often has a
/// token in it.
#[must_use]
pub fn shown(url: &str) -> String {
    match parse(url) {
        Ok(address) => without_query(&url_of(&address.target)),
        Err(_) => bare(url),
    }
}

/// What may be shown of what is no URL, which may have an @ anywhere in its password.
fn bare(url: &str) -> String {
    let url = &url.replace("%40", "@");
    let scheme = url.split_once("://").map_or("", |(scheme, _)| scheme);
    let Some((before, address)) = url.rsplit_once('@') else { return without_query(url) };
    // Of a query that goes on behind the last @ nothing else is shown.
    let address = match before.contains(['?', '#']) {
        true => address.split(['/', '?', '#', '&']).next().unwrap_or_default(),
        false => address,
    };
    match !scheme.is_empty() && scheme.bytes().all(|byte| byte.is_ascii_alphabetic()) {
        true => without_query(&format!("{scheme}://{address}")),
        false => without_query(address),
    }
}

/// Whether a reference is a URL of its own, rather than a path that may have one in its query.
pub(super) fn has_scheme(reference: &str) -> bool {
    let scheme = reference.split_once("://").map(|(scheme, _)| scheme);
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte);
    scheme.is_some_and(|scheme| !scheme.is_empty() && scheme.bytes().all(is_letter))
}

/// A URL without its query, which often has a token in it.
pub(super) fn without_query(url: &str) -> String {
    match url.find(['?', '#']) {
        Some(end) => format!("{}?…", &url[..end]),
        None => url.to_owned(),
    }
}
