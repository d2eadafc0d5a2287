//! Attaches, says its slot, waits for a line, begins as many series of a family as its arguments say,
//! counts a different amount in each, says so, and lives until it is killed. Each further line has it
//! count all of them once more.

#![forbid(unsafe_code)]

use std::error::Error;
use std::io::{BufRead, stdin};
use std::process::ExitCode;

use tallyboard::{Counter, Registry};

fn run(name: &str, count: u64) -> Result<(), Box<dyn Error>> {
    let family = Counter::builder(name, "Counted.").labels(&["number"]).family()?;
    let attachment = Registry::shared().attach()?;
    println!("slot {}", attachment.slot);
    for line in stdin().lock().lines() {
        line?;
        for number in 0..count {
            family.with(&[number.to_string()])?.inc_by(number + 1);
        }
        println!("counted");
    }
    Ok(())
}

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let (Some(name), Some(Ok(count))) =
        (arguments.next(), arguments.next().map(|count| count.parse()))
    else {
        eprintln!("expected the name of a family, and how many series it has");
        return ExitCode::FAILURE;
    };
    match run(&name, count) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}
