//! `tallyboard parse`: whether a document is an exposition, and what it says.

use std::process::ExitCode;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};
use tallyboard_exposition::parse::{self, Options};

use crate::documents::document::{UNREADABLE, document};
use crate::documents::object::family_object;
use crate::flags::FormatFlag;
use crate::output::write;

/// Flags of `parse`.
#[derive(Args, Clone, Debug)]
pub struct ParseFlags {
    /// What the document is written in.
    #[arg(long, value_name = "FORMAT", default_value = "auto")]
    pub format: FormatFlag,
    /// Write what it says as a JSON object instead of a summary.
    #[arg(long)]
    pub json: bool,
    /// The document; - for standard input.
    #[arg(value_name = "FILE", default_value = "-")]
    pub file: String,
}

/// Reads a document and says what is in it, or where it is wrong.
///
/// # Errors
/// When standard output cannot be written.
pub fn run(flags: &ParseFlags) -> Result<ExitCode> {
    let Some(bytes) = document(&flags.file) else { return Ok(UNREADABLE.into()) };
    let options = Options::default();
    let (format, families) = match flags.format.format() {
        Some(format) => (format, parse::parse(&bytes, format, &options)),
        None => parse::parse_any(&bytes, &options),
    };
    let families = match families {
        Ok(families) => families,
        Err(error) => {
            eprintln!("{error}");
            return Ok(ExitCode::FAILURE);
        }
    };
    let name = FormatFlag::name(format);
    if flags.json {
        let families: Vec<Value> = families.iter().map(family_object).collect();
        let object = json!({ "format": name, "families": families });
        return write(format!("{object:#}\n").as_bytes());
    }
    let samples: usize = families.iter().map(|family| family.samples.len()).sum();
    let line = format!("{name}: {} families, {samples} samples\n", families.len());
    write(line.as_bytes())
}
