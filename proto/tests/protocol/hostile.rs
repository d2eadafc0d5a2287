//! No bytes make a reader panic: what is read is either as it should be or an error that says what
//! was found.

use std::sync::atomic::Ordering::Relaxed;

use tallyboard_proto::archive::{Archive, Dead, DeadRow, Turn, read_outside};
use tallyboard_proto::cell::{self, Join, Run, Sample, Shape};
use tallyboard_proto::exemplar::{self, Exemplar};
use tallyboard_proto::family::{Declared, Family, GaugeMode, Kind, Samples};
use tallyboard_proto::layout::{
    DropReason, Geometry, Layout, LogArea, bank, header, row, slot_header,
};
use tallyboard_proto::life::Life;
use tallyboard_proto::log::{self, Contents, LogError, Mark, Record, Removal, Series};
use tallyboard_proto::native::Native;
use tallyboard_proto::slot::{SlotHeader, SlotWord, State};
use tallyboard_proto::word::Words;

use crate::abi::records;
use crate::memory::VecWords;
use crate::random::Random;

const CELLS: usize = 512;

/// A log of random records that all parse.
fn good_log(random: &mut Random) -> Vec<u64> {
    let mut contents = Contents::new(CELLS);
    let mut words = Vec::new();
    for _ in 0..random.below(48) + 1 {
        let choice = random.below(records().len());
        let mut record = records().swap_remove(choice).1;
        let families = contents.families().len();
        if let Record::Series { family, values, .. } = &mut record {
            if families == 0 {
                continue;
            }
            *family = random.below(families) as u32;
            let count = contents.families()[*family as usize].values();
            let text = |_| "v".repeat(random.below(12)).into_boxed_str();
            *values = (0..count).map(text).collect();
            // What the kind says of the last value: a bucket of a series that there may be, pairs.
            let last = match contents.families()[*family as usize].kind {
                Kind::Bucket(_) => ["0z", "1+3/0", "0--4/1"],
                Kind::Info | Kind::Samples(_) => ["", "a=\"1\"", "\"a.\\n\"=\"\",b=\"\\n\""],
                _ => [""; 3],
            };
            if let Kind::Samples(samples) = contents.families()[*family as usize].kind {
                let suffixes = samples.declared.suffixes();
                values[0] = suffixes[random.below(suffixes.len())].into();
            }
            if let (Some(value), true) = (values.last_mut(), last != [""; 3]) {
                *value = last[random.below(3)].into();
            }
        }
        if let Record::Removal(removal) = &mut record {
            let begun = contents.series().len();
            if begun == 0 {
                continue;
            }
            removal.series = random.below(begun) as u32;
            let series = &contents.series()[removal.series as usize];
            let own = 0..contents.shape(series).width() as u64;
            let buckets = contents.buckets_of(removal.series).iter();
            let buckets = buckets.flat_map(|(_, bucket)| [u64::from(*bucket), 1]);
            removal.cells = own.chain(buckets).collect();
        }
        let encoded = record.to_words();
        if contents.push(record, encoded.len()).is_ok() {
            words.extend(encoded);
        }
    }
    words
}

/// Damages a few words: random bits, lengths, operands, whole words, and order.
fn damage(random: &mut Random, words: &mut [u64]) {
    for _ in 0..random.below(4) + 1 {
        let at = random.below(words.len());
        match random.below(5) {
            0 => words[at] ^= 1 << random.below(64),
            1 => words[at] = words[at] & !0xffff_ff00 | (random.damaged(8) & 0xff_ffff) << 8,
            2 => words[at] = words[at] & 0xffff_ffff | random.damaged(3) << 32,
            3 => words[at] = random.damaged(words.len() as u64),
            _ => words.swap(at, random.below(words.len())),
        }
    }
}

/// What a log holds fits its cells, whatever it says.
fn hold(contents: &Contents) {
    let end = contents.end();
    assert!(end.cells <= CELLS);
    assert_eq!((end.families, end.series), (contents.families().len(), contents.series().len()));
    for series in contents.series() {
        assert!(series.cell + contents.shape(series).width() <= end.cells);
        assert_eq!(series.values.len(), contents.families()[series.family as usize].values());
    }
}

#[test]
fn a_damaged_log_is_an_error_or_a_log_and_never_a_panic() {
    let mut random = Random::new("damaged logs", 1);
    let (mut errors, mut parsed) = (0, 0);
    for _ in 0..20_000 {
        let mut words = good_log(&mut random);
        if words.is_empty() {
            continue;
        }
        damage(&mut random, &mut words);
        let mut contents = Contents::new(CELLS);
        match contents.extend(&words) {
            Ok(()) => parsed += 1,
            Err(error) => errors += usize::from(!error.to_string().is_empty()),
        }
        hold(&contents);
        hold_apart(&words, &contents);
    }
    println!("{errors} errors, {parsed} logs");
    assert!(errors > 1000 && parsed > 100);
}

/// What a log says when it is taken apart is what it says as a whole, and damage is seen either
/// way, but for removals, which are checked against the series.
fn hold_apart(words: &[u64], whole: &Contents) {
    let is_whole = whole.end().words == words.len();
    let parts = match log::take_apart(words, 7) {
        Ok(parts) => parts,
        Err(error) => return assert!(!is_whole, "{error}"),
    };
    let ends = parts.removals.iter().map(|(end, _)| *end);
    assert!(ends.is_sorted() && parts.removals.iter().all(|(end, _)| *end <= 7 + words.len()));
    let mut contents = Contents::new(CELLS);
    let structure = contents.extend(&parts.structure);
    hold(&contents);
    let checked = |(end, removal): &(usize, Removal)| contents.check(removal, *end).is_ok();
    let removals = parts.removals.iter().all(checked);
    if !is_whole {
        return;
    }
    assert!(structure.is_ok() && removals, "{structure:?}");
    assert_eq!(contents.families(), whole.families());
    assert_eq!(parts.begun_ms.len(), whole.series().len());
    for (series, (apart, &begun_ms)) in
        whole.series().iter().zip(contents.series().iter().zip(&parts.begun_ms))
    {
        let timed = Series { created_ms: begun_ms, ..apart.clone() };
        assert_eq!((series, apart.created_ms), (&timed, 0));
    }
}

#[test]
fn a_value_that_its_kind_cannot_have_is_an_error_where_its_record_begins() {
    let family = |kind, name, labels: &[&str]| Family::new(kind, name, "", "", labels);
    let native = Native { schema: 0, zero_threshold: 0.5, max_buckets: 8, bounds: [2.0].into() };
    let info = family(Kind::Info, "build", &["of"]).expect("a good family");
    let bucket = family(Kind::Bucket(native), "tallyboard_bucket:n", &["le"]);
    let summary = Kind::Samples(Samples::new(Declared::Summary, GaugeMode::Max));
    let summary = family(summary, "s", &[]).expect("a good family");
    let families = [info, bucket.expect("a good family"), summary];
    for (at, values, is_good) in [
        (0, &["a", ""][..], true),
        (0, &["a", r#"b="1",c="\n""#], true),
        (0, &["a", r#"b="1""#], true),
        (0, &["a", r#"b="1"#], false),
        (0, &["a", r#"c="1",b="1""#], false),
        (0, &["a", r#"b="1",b="2""#], false),
        (0, &["a", r#""b-c"="1","é"="\n""#], true),
        (0, &["a", r#""b\"="="1""#], true),
        (0, &["a", r#"b-c="1""#], false),
        (0, &["a", r#"é="1""#], false),
        (0, &["a", r#""b"="1""#], false),
        (0, &["a", r#"""="1""#], false),
        (0, &["a", "\"b\0\"=\"1\""], false),
        (0, &["a", r#""é"="1","b-c"="1""#], false),
        (0, &["a", r#"of="1""#], false),
        (0, &["a", "any text"], false),
        (1, &["0+1/0"], true),
        (1, &["1z"], false),
        (1, &["0+1/9"], false),
        (1, &["7+1/0"], false),
        (1, &[""], false),
        (2, &["", r#"quantile="0.5""#], true),
        (2, &["_sum", ""], true),
        (2, &["_bucket", ""], false),
        (2, &["_total", ""], false),
        (2, &["_sum", "any text"], false),
    ] {
        let mut contents = Contents::new(CELLS);
        let mut words: Vec<u64> =
            families.iter().flat_map(|family| Record::Family(family.clone()).to_words()).collect();
        let begins = words.len();
        let values: Box<[Box<str>]> = values.iter().map(|&value| value.into()).collect();
        words.extend(
            Record::Series { family: at, created_ms: 1, values: values.clone() }.to_words(),
        );
        let found = contents.extend(&words);
        let is_there = matches!(found, Err(LogError::Value { at, .. }) if at == begins);
        assert_eq!((found.is_ok(), is_there), (is_good, !is_good), "{values:?}: {found:?}");
        hold(&contents);
    }
}

/// A family record with this name and label, whatever they are.
fn family_of(name: &[u8], label: &[u8]) -> Vec<u64> {
    let mut bytes = Vec::new();
    for text in [name, b"", b""] {
        bytes.extend_from_slice(&(text.len() as u32).to_le_bytes());
        bytes.extend_from_slice(text);
    }
    bytes.extend_from_slice(&1_u32.to_le_bytes());
    bytes.extend_from_slice(&(label.len() as u32).to_le_bytes());
    bytes.extend_from_slice(label);
    let mut words = vec![1 | (1 + bytes.len().div_ceil(8) as u64) << 8];
    words.extend(bytes.chunks(8).map(|chunk| {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        u64::from_le_bytes(word)
    }));
    words
}

#[test]
fn a_name_is_any_text_that_has_no_nul_and_any_other_bytes_are_an_error_where_they_begin() {
    let long = |letter: &str, times| letter.repeat(times).into_bytes();
    let rows: &[(Vec<u8>, bool)] = &[
        (b"a".into(), true),
        (b"1 a{b}=\"c\"\n\\#\r\t\x01\x7f".into(), true),
        ("é.名前\u{feff}\u{202e}\u{10ffff}".into(), true),
        (long("a", 256), true),
        (long("é", 128), true),
        (long("a", 257), false),
        (long("é", 129), false),
        (b"".into(), false),
        (b"a\0".into(), false),
        (b"\xff".into(), false),
        (b"a\xc3".into(), false),
        (b"\xed\xa0\x80".into(), false),
        (b"\xc0\x80".into(), false),
        (b"\xf4\x90\x80\x80".into(), false),
    ];
    for (name, is_good) in rows {
        let good = Record::Family(Family::new(Kind::Counter, "x", "", "", &[]).expect("a family"));
        let good = good.to_words();
        for (as_name, as_label) in [(&name[..], &b"b"[..]), (b"b", name)] {
            let mut contents = Contents::new(CELLS);
            let words = [good.clone(), family_of(as_name, as_label)].concat();
            let found = contents.extend(&words);
            assert_eq!(found.is_ok(), *is_good, "{name:?}: {found:?}");
            if let Err(error) = found {
                let is_there = matches!(error, LogError::Family { at, .. } | LogError::Payload { at, .. } if at == good.len());
                assert!(is_there, "{error}");
            }
            hold(&contents);
            assert_eq!(contents.families().len(), 1 + usize::from(*is_good));
        }
    }
}

#[test]
fn words_that_are_no_exemplar_are_none_or_one_and_never_a_panic() {
    let mut random = Random::new("exemplars", 9);
    let (mut some, mut merged) = (0, 0);
    for _ in 0..20_000 {
        let cells = VecWords::new(exemplar::EXEMPLAR_CELLS);
        for at_ms in 0..random.below(4) as u64 {
            let labels = exemplar::labels(&[("trace_id", "ab")]).expect("short labels");
            exemplar::write(&cells, 0, &labels, 1.0, at_ms);
        }
        for _ in 0..random.below(3) {
            let at = [0, 1, 2, 3, 4, 36, 37, 38, 39, random.below(exemplar::EXEMPLAR_CELLS)];
            let at = at[random.below(at.len())];
            cells.store(at, random.damaged(0x100), Relaxed);
        }
        let mut copy = Vec::new();
        cells.read(0..exemplar::EXEMPLAR_CELLS, &mut copy);
        // Bits, because the value may be no number.
        let read = |found: Option<Exemplar>| {
            found.map(|found| (found.labels, found.value.to_bits(), found.at_ms))
        };
        let found = read(exemplar::read(&cells, 0));
        assert_eq!(found, read(exemplar::of_cells(&copy)));
        some += usize::from(found.is_some());
        let mut into = vec![0; exemplar::EXEMPLAR_CELLS];
        Shape::Exemplar.merge(&mut into, &copy);
        Shape::Exemplar.merge(&mut into, &vec![0; exemplar::EXEMPLAR_CELLS]);
        assert_eq!(read(exemplar::of_cells(&into)), found);
        merged += usize::from(into[0] != 0);
        // Its own worker goes on from any turn.
        exemplar::write(&cells, 0, "", 5.0, 5);
        let turn = cells.load(0, Relaxed);
        assert_eq!(exemplar::read(&cells, 0).is_some(), turn != 0);
    }
    println!("{some} exemplars, {merged} merged");
    assert!(some > 1000 && merged > some);
}

#[test]
fn words_that_are_no_sample_are_none_or_one_and_never_a_panic() {
    let mut random = Random::new("samples", 11);
    let (mut some, mut joined) = (0, 0);
    let joins = GaugeMode::EVERY.map(Join::Gauge).into_iter().chain([Join::Add, Join::Earliest]);
    let joins: Vec<Join> = joins.collect();
    for _ in 0..20_000 {
        let words = VecWords::new(cell::SAMPLE_CELLS);
        for said in 0..random.below(4) {
            let at_ns = [None, Some(said as i64)][random.below(2)];
            Sample { value: said as f64, stamp: said as u64, at_ns }.write(&words, 0);
        }
        for _ in 0..random.below(3) {
            words.store(random.below(cell::SAMPLE_CELLS), random.damaged(0x100), Relaxed);
        }
        let mut raw = Vec::new();
        words.read(0..cell::SAMPLE_CELLS, &mut raw);
        let mut copy = vec![u64::MAX; cell::SAMPLE_CELLS];
        assert!(Sample::copy(&words, 0, &mut copy), "nobody writes it");
        // Bits, because the value may be no number.
        let bits = |cells: &[u64]| {
            Sample::of_cells(cells).map(|said| (said.value.to_bits(), said.stamp, said.at_ns))
        };
        assert_eq!(bits(&copy), bits(&raw));
        some += usize::from(bits(&copy).is_some());
        let join = joins[random.below(joins.len())];
        let mut into = vec![0; cell::SAMPLE_CELLS];
        Shape::Sample(join).merge(&mut into, &copy);
        Shape::Sample(join).merge(&mut into, &[0; cell::SAMPLE_CELLS]);
        let is_alone = join.is_per_process() && bits(&copy).is_some_and(|(.., at)| at.is_none());
        assert_eq!(bits(&into), bits(&copy).filter(|_| !is_alone), "{join:?}");
        Shape::Sample(join).merge(&mut into, &raw);
        joined += usize::from(into[0] != 0);
        assert!(into[0] <= 1 && into[1..=cell::SAMPLE_WORDS] == [0; cell::SAMPLE_WORDS]);
        // Its own worker goes on from any turn.
        Sample { value: 5.0, stamp: 5, at_ns: None }.write(&words, 0);
        let is_said = Sample::copy(&words, 0, &mut copy) && bits(&copy).is_some();
        assert_eq!(is_said, words.load(0, Relaxed) != 0);
    }
    println!("{some} samples, {joined} joined");
    assert!(some > 1000 && joined > 1000);
}

/// What the product and its defects make of an offset, amounts, what a process has, and a total.
type Lowers = fn(Shape, [&[u64]; 4]) -> Vec<u64>;

/// Whether an offset stays what it may be, whatever amounts are said: of counts no less than before
/// and no more than there is, and no more above it than the process has; of sums a number, and of
/// those that are not odd the same but for what a counter exchanges.
fn lowers_within_bounds(lowers: Lowers) -> Result<usize, String> {
    let mut random = Random::new("lowered", 10);
    let float = |random: &mut Random| {
        let any = [f64::NAN, f64::INFINITY, -f64::INFINITY, -0.0, 1e300, -1e300, 0.25, -0.5, 7.5];
        let word = random.word();
        [any[random.below(any.len())], f64::from_bits(word)][random.below(2)]
    };
    let mut lowered = 0;
    for round in 0..50_000 {
        let shape = [Shape::Counter, Shape::Summary, Shape::Bucket][random.below(3)];
        let width = shape.width();
        let sum = usize::from(shape != Shape::Bucket);
        let mut rows = [(); 4].map(|()| (0..width).map(|_| random.word() % 9).collect::<Vec<_>>());
        let [before, amounts, own, total] = &mut rows;
        amounts.iter_mut().for_each(|amount| *amount = random.damaged(5));
        for at in 0..width {
            // A process is a part of all, and what was taken off was there.
            total[at] = total[at].max(own[at]).max(before[at]);
        }
        if sum == 1 {
            for row in [&mut *before, &mut *own, &mut *total] {
                row[1] = (row[1] as f64 / 4.0).to_bits();
            }
            amounts[1] = float(&mut random).to_bits();
        }
        let is_odd = shape == Shape::Summary && total[2] != 0;
        let found = lowers(shape, [before, amounts, own, total]);
        for at in 0..width {
            let is_sum = sum == 1 && at == 1;
            let [before, own, total] = [&*before, &*own, &*total].map(|row| row[at]);
            let within = |before: f64, own: f64, total: f64, found: f64| {
                // What a counter's whole cell has lost too much is in no fraction.
                let exchanged = if shape == Shape::Counter { 1.0 } else { 0.0 };
                let most = (before + own + exchanged).min(total.max(before));
                let least = before - exchanged;
                found.is_finite() && (is_odd || (least..=most).contains(&found))
            };
            let is_right = match is_sum {
                true => {
                    let [before, own, total, found] =
                        [before, own, total, found[at]].map(f64::from_bits);
                    within(before, own, total, found)
                }
                false => (before..=(before + own).min(total)).contains(&found[at]),
            };
            if !is_right {
                return Err(format!("round {round}: {shape:?} {rows:?}: {found:?}"));
            }
            lowered += usize::from(found[at] != before);
        }
    }
    Ok(lowered)
}

#[test]
fn whatever_a_worker_says_that_it_takes_back_no_more_is_taken_off_than_it_has_and_there_is() {
    let product: Lowers =
        |shape, [before, amounts, own, total]| shape.lowered(before, amounts, own, total);
    let lowered = lowers_within_bounds(product).unwrap_or_else(|error| panic!("{error}"));
    println!("{lowered} cells lowered");
    assert!(lowered > 10_000);
    let defects: [(&str, Lowers); 4] = [
        ("whatever the worker has", |shape, [before, amounts, _, total]| {
            shape.lowered(before, amounts, total, total)
        }),
        ("whatever there is", |shape, [before, amounts, own, _]| {
            shape.lowered(before, amounts, own, &vec![u64::MAX >> 2; own.len()])
        }),
        ("by the amount itself", |shape, [before, amounts, ..]| {
            let mut sum = before.to_vec();
            shape.merge(&mut sum, amounts);
            sum
        }),
        ("down to the amount", |_, [_, amounts, ..]| amounts.to_vec()),
    ];
    for (defect, lowers) in defects {
        let killed = lowers_within_bounds(lowers).expect_err(defect);
        println!("| {defect} | {killed:.60} |");
    }
}

#[test]
fn words_that_are_no_log_at_all_are_an_error_and_never_a_panic() {
    let mut random = Random::new("no logs", 2);
    for _ in 0..50_000 {
        let words: Vec<_> = (0..random.below(20)).map(|_| random.damaged(0x301)).collect();
        let mut contents = Contents::new(CELLS);
        let _ = contents.extend(&words);
        let labels = random.below(3);
        let _ = Record::parse(&words, random.below(9), |_| Some(labels));
        let _ = Record::parse(&words, random.below(9), |_| None);
        hold(&contents);
    }
}

#[test]
fn a_commit_word_that_leads_out_of_the_log_or_back_is_an_error() {
    let mut random = Random::new("commit words", 3);
    let words = VecWords::new(16);
    let area = LogArea { commit: 0, start: 4, words: 12 };
    for _ in 0..10_000 {
        let (commit, from) = (random.damaged(12), random.below(13));
        words.store(0, commit, Relaxed);
        let mut into = Vec::new();
        let found = log::read(&words, area, from, &mut into);
        let good = (from as u64..=12).contains(&commit);
        assert_eq!(found.is_ok(), good, "{from} to {commit}: {found:?}");
        assert_eq!(into.len(), found.map_or(0, |length| length - from));
    }
}

/// A bank that a fold wrote, with rows in its ring.
fn folded(layout: &Layout) -> VecWords {
    let words = VecWords::new(layout.arena_words());
    let mut archive = Archive::new(layout);
    let run = [Run { shape: Shape::Counter, series: 2, from: 0, to: 0 }];
    for generation in 1..4 {
        let gauges = Some(DeadRow { pid: 1, slot: 0, generation, cells: vec![1, 1] });
        let (row, dropped) = ([1, 0, 2, 0], [1; 8]);
        let dead = Dead { slot: 0, generation, row: &row, runs: &run, gauges, dropped };
        archive.set_offset(2, &[generation, 0]);
        archive.set_life(1, Life::default().renewed(generation));
        archive.apply(1, generation as usize);
        archive.fold(&words, layout, 4, &[dead]);
    }
    assert_eq!(Archive::recover(&words, layout), Ok(archive));
    words
}

#[test]
fn a_damaged_bank_is_an_error_or_an_archive_and_never_a_panic() {
    let mut random = Random::new("damaged banks", 4);
    let geometry = Geometry {
        slots: 2,
        cells: 8,
        log_words: 8,
        ring_rows: 2,
        row_cells: 4,
        unit: 1,
        lanes: 0,
    };
    let layout = Layout::new(geometry);
    let (mut errors, mut found) = (0, 0);
    for _ in 0..20_000 {
        let words = folded(&layout);
        let at = layout.bank(1);
        let (first, second) = (layout.ring_row(1, 0), layout.ring_row(1, 1));
        let lengths = [bank::EPOCH, bank::CELLS, bank::ROWS, bank::OFFSETS, bank::LIVES];
        let lengths = lengths.map(|word| at + word);
        let rows = [first + row::CELLS, second + row::CELLS];
        let any = layout.banks + random.below(2 * layout.bank_words);
        let targets = [&lengths[..], &rows, &[header::ARCHIVE_COMMIT, any]].concat();
        for _ in 0..random.below(3) + 1 {
            let at = targets[random.below(targets.len())];
            words.store(at, random.damaged(words.load(at, Relaxed)), Relaxed);
        }
        match Archive::recover(&words, &layout) {
            Ok(mut archive) => {
                assert!(archive.cells().len() <= geometry.cells);
                assert!(archive.offsets().len() <= archive.cells().len());
                assert!(archive.rows().count() <= geometry.ring_rows);
                assert!(archive.rows().all(|row| row.cells.len() <= geometry.row_cells));
                go_on(&words, &layout, &mut archive);
                found += 1;
            }
            Err(error) => {
                errors += usize::from(error.found < error.least || error.found > error.most)
            }
        }
    }
    println!("{errors} errors, {found} archives");
    assert!(errors > 1000 && found > 100);
}

/// A supervisor goes on with an archive that it recovered, and commits nothing that its successor
/// cannot read.
fn go_on(words: &VecWords, layout: &Layout, archive: &mut Archive) {
    for cell in 0..layout.geometry.cells {
        let life = archive.life(cell);
        archive.set_life(cell, Life { is_removed: !life.is_removed, ..life });
        archive.set_offset(cell, &[1]);
    }
    archive.forget(2, layout.geometry.cells);
    archive.forget_in_rows(0);
    for slot in 0..layout.geometry.slots {
        archive.apply(slot, archive.applied(slot).wrapping_add(1));
    }
    archive.commit(words, layout, 4);
    assert_eq!(Archive::recover(words, layout).as_ref(), Ok(&*archive));
}

#[test]
fn a_reader_outside_reads_any_bytes_without_a_panic() {
    let mut random = Random::new("reader outside", 5);
    let layout = Layout::new(Geometry {
        slots: 2,
        cells: 8,
        log_words: 8,
        ring_rows: 1,
        row_cells: 2,
        unit: 1,
        lanes: 0,
    });
    let mut counting = 0;
    for _ in 0..5000 {
        let words = VecWords::new(layout.arena_words());
        for at in 0..layout.slot(0) + slot_header::WORDS + layout.geometry.cells {
            words.store(at, random.damaged(9), Relaxed);
        }
        // One of the slots looks as if somebody counted in it.
        let live = SlotWord { state: State::Live, generation: 1 + random.word() % 2 };
        let slot = random.below(2);
        live.publish(&words, &layout, slot);
        words.store(layout.slot(slot), live.generation, Relaxed);
        read_outside(&words, &layout, 1, |view| {
            counting += (0..2).filter(|&slot| view.counts(slot).is_some()).count();
            let lives = (0..8).map(|series| view.life(series).to_word());
            let cells = (0..8)
                .map(|c| view.archived(c) ^ view.offset(c) ^ view.cells(0, c, Shape::Bucket)[0]);
            // Behind the end of every section there is nothing, whatever its length says.
            let behind = [8, 1 << 20].map(|at| view.archived(at) | view.offset(at));
            assert_eq!(behind, [0, 0]);
            lives.chain(cells).fold(0, u64::wrapping_add)
        });
        let _ = SlotHeader::read(&words, layout.slot(1));
    }
    println!("{counting} slots that count");
    assert!(counting > 50);
}

#[test]
fn every_word_is_a_slot_word_or_none_and_is_judged() {
    let mut random = Random::new("slot words", 6);
    for _ in 0..100_000 {
        let word = random.damaged(0x11);
        if let Some(parsed) = SlotWord::from_word(word) {
            assert_eq!(parsed.to_word(), word);
            let _ = Turn::of(parsed, random.damaged(parsed.generation));
        }
    }
}

#[test]
fn a_geometry_read_from_any_words_gives_a_layout_that_does_not_overflow() {
    let mut random = Random::new("geometries", 7);
    let default = Geometry::for_series(256, 65_536).expect("the default").to_words();
    let limits = [1 << 16, 1 << 28, 1 << 28, 1 << 12, 1 << 28, 1 << 13, 1 << 6];
    let (mut errors, mut layouts) = (0, 0);
    for _ in 0..200_000 {
        let mut words = default;
        for _ in 0..random.below(4) {
            let at = random.below(words.len());
            let near = if random.below(2) == 0 { words[at] } else { limits[at] };
            words[at] = random.damaged(near);
        }
        let Ok(geometry) = Geometry::from_words(words) else {
            errors += 1;
            continue;
        };
        layouts += 1;
        assert_eq!(geometry.to_words(), words);
        let layout = Layout::new(geometry);
        let last = layout.geometry.slots - 1;
        assert!(layout.table < layout.catalog && layout.catalog < layout.banks);
        assert!(layout.bank(1) < layout.floors && layout.floors < layout.control_words);
        assert!(layout.slot(last) + layout.slot_words == layout.arena_words());
        assert!(layout.arena_words() < 1 << 44, "bytes of it fit an address");
    }
    println!("{errors} errors, {layouts} layouts");
    assert!(errors > 1000 && layouts > 1000);
}

#[test]
fn a_log_rewritten_behind_any_of_its_prefixes_has_the_same_series_at_the_same_cells() {
    let mut random = Random::new("rewritten logs", 8);
    let mut prefixes = 0;
    for _ in 0..2000 {
        let words = good_log(&mut random);
        let mut contents = Contents::new(CELLS);
        contents.extend(&words).expect("a good log");
        let ends = (0..=words.len()).filter_map(|end| contents.mark(end));
        for prefix in ends.collect::<Vec<Mark>>() {
            let mut rewritten = Contents::new(CELLS);
            rewritten.extend(&words[..prefix.words]).expect("a good prefix");
            let rest: Vec<u64> =
                contents.records_after(prefix).flat_map(|record| record.to_words()).collect();
            rewritten.extend(&rest).expect("a good rest");
            assert_eq!(rewritten.families(), contents.families());
            assert_eq!(rewritten.series(), contents.series());
            prefixes += 1;
        }
    }
    println!("{prefixes} prefixes");
}

#[test]
fn a_dead_row_that_is_wider_than_the_ring_is_cut_and_what_was_set_beyond_is_counted() {
    for row_cells in [4, 5] {
        let (cells, log_words, ring_rows) = (16, 8, 2);
        let layout = Layout::new(Geometry {
            slots: 1,
            cells,
            log_words,
            ring_rows,
            row_cells,
            unit: 1,
            lanes: 0,
        });
        let words = VecWords::new(layout.arena_words());
        let beyond = [layout.bank(0) + layout.bank_words, layout.bank(1) + layout.bank_words];
        let mut archive = Archive::new(&layout);
        for generation in 1..5 {
            let row = DeadRow { pid: 1, slot: 0, generation, cells: vec![7, 1, 7, 1, 7, 1, 7, 0] };
            let (slot, gauges, dropped) = (0, Some(row), [0; 8]);
            let dead = Dead { slot, generation, row: &[], runs: &[], gauges, dropped };
            words.store(beyond[generation as usize & 1], 99, Relaxed);
            archive.fold(&words, &layout, 0, &[dead]);
            assert_eq!(words.load(beyond[generation as usize & 1], Relaxed), 99);
            assert_eq!(archive.dropped()[DropReason::Full as usize], generation);
            assert!(archive.rows().all(|row| row.cells == [7, 1, 7, 1]));
            assert_eq!(Archive::recover(&words, &layout).as_ref(), Ok(&archive));
        }
    }
}
