//! How small a page gets, and what that takes: the reason for the levels in
//! `tallyboard_supervisor::coding`.

#![forbid(unsafe_code)]

use std::hint::black_box;
use std::time::{Duration, Instant};

use tallyboard_exposition::prefixes::Prefixes;
use tallyboard_supervisor::coding::{GZIP_LEVEL, ZSTD_LEVEL, gzip, zstd};

const PAGE_BYTES: usize = 5 << 20;
const ROUNDS: usize = 5;

fn main() {
    let page = page();
    println!("\na page of {} bytes", page.len());
    for level in 1..=9 {
        let chosen = level == GZIP_LEVEL;
        row("gzip", level as i32, chosen, || gzip(&page, level).unwrap_or_default());
    }
    for level in 1..=5 {
        row("zstd", level, level == ZSTD_LEVEL, || zstd(&page, level));
    }
}

fn row(name: &str, level: i32, is_chosen: bool, code: impl Fn() -> Vec<u8>) {
    let (mut best, mut bytes) = (Duration::MAX, 0);
    for _ in 0..ROUNDS {
        let begin = Instant::now();
        bytes = black_box(code()).len();
        best = best.min(begin.elapsed());
    }
    let ms = best.as_secs_f64() * 1000.0;
    let mark = if is_chosen { "  chosen" } else { "" };
    println!("  {name} {level}  {bytes:>9} bytes  {ms:>8.1} ms{mark}");
}

/// Histograms of many routes, with counts that differ.
fn page() -> Vec<u8> {
    let (mut page, mut mixed) = (Vec::new(), 0x9e37_79b9_7f4a_7c15_u64);
    let bounds = ["0.005", "0.01", "0.025", "0.05", "0.1", "0.25", "0.5", "1.0", "2.5", "+Inf"];
    for route in 0.. {
        let (path, mut lines) = (format!("/items/{}", route / 3), Prefixes::default());
        let status = ["200", "404", "500"][route % 3];
        let labels = [("method", "GET"), ("route", path.as_str()), ("status", status)];
        let name = "app_http_request_duration_seconds";
        for bound in bounds {
            lines.push(name, "_bucket", labels.into_iter().chain([("le", bound)]));
        }
        lines.push(name, "_sum", labels);
        lines.push(name, "_count", labels);
        let mut count = 0;
        for line in 0..bounds.len() {
            mixed = mixed.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            count += mixed >> 54;
            lines.write_whole(&mut page, line, count);
        }
        lines.write_float(&mut page, bounds.len(), (mixed >> 40) as f64 / 1e5);
        lines.write_whole(&mut page, bounds.len() + 1, count);
        if page.len() >= PAGE_BYTES {
            break;
        }
    }
    page
}
