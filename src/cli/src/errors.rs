//! An error as it is told.

/// An error with its causes, each said once: most of ours name their cause themselves.
#[must_use]
pub fn text_of(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text = format!("{text}: {cause}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_says_each_cause_once() {
        let cause = std::io::Error::from_raw_os_error(nix::libc::ENOENT);
        let plain = anyhow::Error::new(cause).context("cannot open x");
        assert_eq!(text_of(&plain), "cannot open x: No such file or directory (os error 2)");
        let named = plain.context("cannot open x: No such file or directory (os error 2); do y");
        assert_eq!(text_of(&named), "cannot open x: No such file or directory (os error 2); do y");
    }
}
