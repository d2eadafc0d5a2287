//! Where a snapshot is from: an arena, or a document that somebody else wrote.

use std::fs;

use anyhow::{Context, Result, ensure};
use clap::Args;
use tallyboard_exposition::parse::{self, Options};
use tallyboard_exposition::sample::FamilySamples;
use tallyboard_exposition::whole;
use tallyboard_supervisor::ask;
use tracing::warn;

use crate::fetch;
use crate::find::{self, ANSWER_TIMEOUT};
use crate::flags::WhichFlags;

/// Where snapshots are from: an arena, unless there is a document.
#[derive(Args, Clone, Debug, Default)]
pub struct SourceFlags {
    #[command(flatten)]
    #[allow(missing_docs)]
    pub which: WhichFlags,
    /// Instead of an arena an exposition in any format: a file, - for standard input, or where a
    /// server has it.
    #[arg(long, value_name = "FILE|-|URL")]
    pub from: Option<String>,
    /// Only this metric; repeatable.
    #[arg(long = "metric", value_name = "NAME", value_delimiter = ',')]
    pub metrics: Vec<String>,
}

impl SourceFlags {
    /// Makes sure that there can be a second snapshot.
    ///
    /// # Errors
    /// When the first one takes all there is.
    pub fn must_repeat(&self) -> Result<()> {
        let Some(from) = &self.from else { return Ok(()) };
        // A file that is not there yet may come.
        let is_stream = !fetch::is_url(from)
            && (from == "-" || fs::metadata(from).is_ok_and(|found| !found.is_file()));
        ensure!(
            !is_stream,
            "expected what can be read again and again, found --from {from} with --interval; leave \
             --interval out, or give a file"
        );
        Ok(())
    }

    /// A snapshot of the families, as they are now. It waits for a supervisor or a server: call it
    /// where a thread may block. The arena is looked for each time, because its supervisor may have
    /// been replaced by one with another address.
    ///
    /// # Errors
    /// When no arena is meant, nobody answers, or a document is no exposition.
    pub fn families(&self) -> Result<Vec<FamilySamples>> {
        let options = Options::default();
        let Some(from) = &self.from else {
            let address = find::address(&self.which)?;
            let kind = whole::CONTENT_TYPE;
            let page = ask::scrape_accepting(&address, &self.metrics, kind, ANSWER_TIMEOUT)?;
            let families = whole::read(&page);
            let families = families.with_context(|| {
                format!(
                    "expected families of {address}, found something else; use the same release of \
                     Tallyboard on both sides"
                )
            })?;
            return Ok(self.named(families));
        };
        let families = parse::parse_any(&fetch::read(from)?, &options).1;
        Ok(self.named(families.with_context(|| format!("cannot read {}", fetch::shown(from)))?))
    }

    /// The families that are wanted.
    fn named(&self, mut families: Vec<FamilySamples>) -> Vec<FamilySamples> {
        for name in &self.metrics {
            if !families.iter().any(|family| family.is_named(name)) {
                warn!(name, "expected a metric of this name, found none; it is left out");
            }
        }
        let is_wanted = |family: &FamilySamples| {
            self.metrics.is_empty() || self.metrics.iter().any(|name| family.is_named(name))
        };
        families.retain(is_wanted);
        families
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn flags(from: &str, metrics: &[&str]) -> SourceFlags {
        let metrics = metrics.iter().map(ToString::to_string).collect();
        SourceFlags { from: Some(from.to_owned()), metrics, ..SourceFlags::default() }
    }

    #[test]
    fn a_document_is_a_snapshot_of_what_is_wanted_of_it() {
        let file = std::env::temp_dir().join(format!("tallyboard-source-{}", std::process::id()));
        let page = "# TYPE a counter\na_total 1\n# TYPE b gauge\nb 2\n# EOF\n";
        std::fs::write(&file, page).unwrap();
        let path = file.to_str().unwrap();
        for (metrics, expect) in [
            (&[][..], &["a", "b"][..]),
            (&["a_total"], &["a"]),
            (&["b", "a"], &["a", "b"]),
            (&["c"], &[]),
        ] {
            let families = flags(path, metrics).families().unwrap();
            let names: Vec<&str> = families.iter().map(|family| &*family.name).collect();
            assert_eq!(names, expect, "{metrics:?}");
        }
        std::fs::write(&file, "a\n").unwrap();
        let error = format!("{:#}", flags(path, &[]).families().unwrap_err());
        assert!(error.contains(path) && error.contains("1:2: expected a number"), "{error}");
        std::fs::remove_file(&file).unwrap();
        let error = format!("{:#}", flags(path, &[]).families().unwrap_err());
        assert!(error.contains("cannot read"), "{error}");
    }

    #[test]
    fn standard_input_is_read_once() {
        assert!(flags("-", &[]).must_repeat().is_err());
        assert!(flags("/dev/null", &[]).must_repeat().is_err());
        assert!(flags("file", &[]).must_repeat().is_ok());
        assert!(flags("http://localhost/", &[]).must_repeat().is_ok());
        assert!(SourceFlags::default().must_repeat().is_ok());
    }
}
