//! One process that serves its own metrics, and counts the words of its standard input.
//!
//! ```sh
//! cargo run --package tallyboard --example serve --features serve -- 127.0.0.1:9500
//! ```

use std::error::Error;

use tallyboard::{Counter, Histogram, Timed};

fn main() -> Result<(), Box<dyn Error>> {
    let address = std::env::args().nth(1).unwrap_or_else(|| "127.0.0.1:9500".to_owned());
    let words = Counter::new("input_words_total", "Words read.")?;
    let seconds = Histogram::new("input_line_seconds", "Time to count the words of a line.")?;
    // It serves until it is dropped.
    let server = tallyboard::serve(address.parse()?)?;
    println!("metrics on http://{}/metrics", server.address());
    for line in std::io::stdin().lines() {
        let line = line?;
        words.inc_by(seconds.time(|| line.split_whitespace().count()) as u64);
    }
    Ok(())
}
