//! Label pairs as one text, `a="b",c="d"`: the labels of an info and of an exemplar, which are not
//! known when their family is.
//!
//! The pairs are sorted by name, and `\\`, `"` and line feeds in values are escaped as in the text
//! formats. A name that is not made of letters, digits and `_`, with no digit first, stands in quotes,
//! escaped in the same way. So equal sets of pairs are equal texts.

use crate::names::is_name;

/// Writes `pairs`, sorted; `None` when a name is no label name or comes twice.
#[must_use]
pub fn encode(pairs: &[(&str, &str)]) -> Option<String> {
    let mut sorted = pairs.to_vec();
    sorted.sort_unstable();
    let twice = sorted.windows(2).any(|pair| pair[0].0 == pair[1].0);
    if twice || !sorted.iter().all(|(name, _)| is_name(name)) {
        return None;
    }
    let mut text = String::new();
    for (name, value) in sorted {
        if !text.is_empty() {
            text.push(',');
        }
        if is_bare(name) {
            text.push_str(name)
        } else {
            quote(&mut text, name)
        }
        text.push('=');
        quote(&mut text, value);
    }
    Some(text)
}

/// Whether a name stands without quotes.
fn is_bare(name: &str) -> bool {
    !name.starts_with(|first: char| first.is_ascii_digit())
        && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_')
}

fn quote(text: &mut String, quoted: &str) {
    text.push('"');
    for character in quoted.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '"' => text.push_str("\\\""),
            '\n' => text.push_str("\\n"),
            other => text.push(other),
        }
    }
    text.push('"');
}

/// Reads what [`encode`] wrote; `None` for any other text.
#[must_use]
pub fn decode(text: &str) -> Option<Vec<(String, String)>> {
    let mut pairs = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (name, behind) = match rest.strip_prefix('"') {
            Some(quoted) => {
                let (name, length) = unescape(quoted)?;
                (name, quoted[length..].strip_prefix("=\"")?)
            }
            None => {
                let (name, behind) = rest.split_once("=\"")?;
                (name.to_owned(), behind)
            }
        };
        let (value, length) = unescape(behind)?;
        pairs.push((name, value));
        rest = &behind[length..];
        rest = match rest.strip_prefix(',') {
            Some("") => return None,
            Some(more) => more,
            None if rest.is_empty() => rest,
            None => return None,
        };
    }
    // Another order, another escape or a bad name would make a second text of the same pairs.
    let parts: Vec<_> = pairs.iter().map(|(name, value)| (&**name, &**value)).collect();
    (encode(&parts).as_deref() == Some(text)).then_some(pairs)
}

/// The value in front of the closing quote, and how many bytes it and the quote take.
fn unescape(text: &str) -> Option<(String, usize)> {
    let mut value = String::new();
    let mut characters = text.char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '"' => return Some((value, at + 1)),
            '\\' => value.push(match characters.next()?.1 {
                'n' => '\n',
                other => other,
            }),
            other => value.push(other),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_survive_the_round_trip_in_one_order_and_no_other_text_parses() {
        let all: [&[(&str, &str)]; 5] = [
            &[],
            &[("a", "")],
            &[("version", "1.2\"\n\\n"), ("branch", "a,b=\"c\"")],
            &[("é", "")],
            &[("a=\"b\",c", "d"), ("a", "b"), ("\"\n\\", "\"\n\\"), ("1", ""), ("a:b", "c")],
        ];
        for pairs in all {
            let text = encode(pairs).expect("names");
            let mut sorted: Vec<_> =
                pairs.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            sorted.sort();
            assert_eq!(decode(&text), Some(sorted), "{text}");
        }
        assert_eq!(encode(&[("a.b", "1"), ("é", "2")]).unwrap(), "\"a.b\"=\"1\",\"é\"=\"2\"");
        let long = "n".repeat(257);
        for pairs in [&[("a", "1"), ("a", "2")][..], &[("", "1")], &[("a\0", "1")], &[(&long, "")]]
        {
            assert_eq!(encode(pairs), None);
        }
        for bad in [
            "a",
            "a=",
            "a=\"",
            "a=\"b\",",
            "b=\"\",a=\"\"",
            "a=\"b\"c",
            "1=\"\"",
            "a=\"\\x\"",
            "a.b=\"\"",
            "\"a\"=\"\"",
            "\"a.b\"",
            "\"a.b\"=",
            "\"a.b=\"\"",
            "\"\"=\"\"",
            "\"a.\\x\"=\"\"",
            "\"a.\0\"=\"\"",
        ] {
            assert_eq!(decode(bad), None, "{bad}");
        }
    }
}
