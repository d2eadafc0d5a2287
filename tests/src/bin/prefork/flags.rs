//! The flags of a part.

/// The value of the flag `--name`, or `otherwise`.
pub(crate) fn flag(name: &str, otherwise: u64) -> u64 {
    let mut words = std::env::args().skip_while(|word| *word != format!("--{name}"));
    words.nth(1).map_or(otherwise, |word| {
        word.parse().unwrap_or_else(|_| panic!("--{name} is a number, found {word:?}"))
    })
}

/// The text of the flag `--name`, or `otherwise`.
pub(crate) fn text_flag(name: &str, otherwise: &str) -> String {
    let mut words = std::env::args().skip_while(|word| *word != format!("--{name}"));
    words.nth(1).unwrap_or_else(|| otherwise.to_owned())
}
