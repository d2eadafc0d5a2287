//! What `TALLYBOARD_LONG=1` is to a test.

/// Whether tests run as long as they can say something new.
#[must_use]
pub fn is_long() -> bool {
    std::env::var("TALLYBOARD_LONG").is_ok_and(|long| long == "1")
}

/// How often a test does what it does: `few` times, or `many` when it [runs long](is_long).
#[must_use]
pub fn times(few: u32, many: u32) -> u32 {
    if is_long() { many } else { few }
}
