//! A worker that counts each of the numbers that it is given under names of every sort, some of which are
//! alike once they are escaped. It says so, and lives until it is killed.
//!
//! What a service of such workers must show is in `tallyboard_tests::service::any_name`.

#![forbid(unsafe_code)]

use std::error::Error;
use std::process::ExitCode;

use tallyboard::{Counter, Gauge, GaugeMode, Histogram, Info, StateSet, Summary};
use tallyboard_tests::service::any_name::ODD;

fn work(numbers: &[f64]) -> Result<(), Box<dyn Error>> {
    let dotted = Counter::builder("http.requests_total", ODD).labels(&["http.route", "plain"]);
    let dotted = dotted.family()?.with(&[ODD, "x"])?;
    let plain = Counter::builder("http_requests_total", ODD).labels(&["http_route", "plain"]);
    let plain = plain.family()?.with(&[ODD, "x"])?;
    let max = |name| Gauge::builder(name, "Most.").mode(GaugeMode::Max).register();
    let (accented, legacy) = (max("temp\u{e9}rature")?, max("temp_rature")?);
    let time = Histogram::builder("http.time", "Time.").labels(&["\u{82b1}\u{706b}"]);
    let time = time.buckets(&[1.0, 10.0]).family()?.with(&[ODD])?;
    let size = Summary::new(" a b ", "Size.")?;
    let quoted = Counter::new("1 \"x\"\\{,_total", "Of a name in quotes.")?;
    max("tab\tand\rreturn\u{1}")?.set(5.0);
    legacy.set(7.0);
    for number in numbers {
        dotted.inc();
        plain.inc_by(10);
        accented.set(*number);
        time.observe(*number);
        size.observe(*number);
        quoted.inc_by_with_exemplar(1, &[("trace.id", "\u{fc}"), ("\u{82b1}\u{706b}", "2")])?;
    }
    Info::new("build.part", "What works.")?.set(&[("version.x", "1"), ("\u{e9}", ODD)])?;
    StateSet::new("line\nfeed", "How it goes.", &["on", "off"])?.set("on")?;
    Ok(())
}

fn main() -> ExitCode {
    let numbers: Result<Vec<f64>, _> = std::env::args().skip(1).map(|n| n.parse()).collect();
    let done = numbers.map_err(Into::into).and_then(|numbers| work(&numbers));
    if let Err(error) = done {
        eprintln!("expected numbers to count, found {error}");
        return ExitCode::FAILURE;
    }
    println!("worker {} has counted", std::process::id());
    loop {
        nix::unistd::pause();
    }
}
