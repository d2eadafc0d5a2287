//! A batch job: it ends before anybody scrapes it, so it pushes what it has counted.
//!
//! ```sh
//! cargo run --package tallyboard --example push --features push -- localhost:9091
//! ```

use std::error::Error;

use tallyboard::push::Pushgateway;
use tallyboard::{Counter, Gauge, Registry, Timed};

fn main() -> Result<(), Box<dyn Error>> {
    let gateway = std::env::args().nth(1).unwrap_or_else(|| "localhost:9091".to_owned());
    // A registry of its own: the shared one may have metrics of libraries, which say nothing of the job.
    let registry = Registry::new();
    let rows =
        Counter::builder("job_rows_total", "Rows imported.").registry(registry).register()?;
    let took = Gauge::builder("job_duration_seconds", "Time that the job took.");
    let took = took.registry(registry).register()?;
    let finished = Gauge::builder("job_last_success_unixtime", "When the job succeeded last.");
    let finished = finished.registry(registry).register()?;
    took.time(|| (0..1000).for_each(|_| rows.inc()));
    finished.set_to_current_time();
    Pushgateway::new(&gateway, "import")?.blocking_push(&registry.gather())?;
    println!("pushed {} rows to {gateway}", rows.get());
    Ok(())
}
