//! What can be done with an object that was left: gone on with by this supervisor, perhaps by another
//! one, or by nobody.

use tallyboard_proto::abi::FINGERPRINT;
use tallyboard_proto::layout::{EXTENT_WORDS, Geometry, LAYOUT_VERSION, Layout, MAGIC, header};
use tallyboard_segment::posix::{Left, ReopenError};

use crate::board::origin::Origin;

/// What can be done with it.
#[derive(Debug)]
pub(crate) enum Verdict {
    /// A supervisor of this process can go on with it.
    Good(Before),
    /// Somebody else may: another release, or somebody in another pid namespace.
    Others {
        /// What tells them apart.
        what: &'static str,
        /// What it is here.
        expected: String,
        /// What it is there.
        found: String,
    },
    /// Nobody can, and this is why.
    Useless(String),
    /// It is something else that has the name of an arena, and this is why.
    NoArena(String),
}

/// What an arena that was left says of itself.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Before {
    pub(crate) layout: Layout,
    pub(crate) arena_id: u64,
    pub(crate) unix_offset_ns: u64,
}

/// Looks at an object that nobody holds, from where `origin` would keep it.
///
/// # Errors
/// When it cannot be read.
pub(crate) fn judge(left: &Left, origin: &Origin) -> Result<Verdict, ReopenError> {
    Ok(verdict(&left.header(header::WORDS)?, left.bytes()?, origin))
}

fn verdict(words: &[u64], bytes: u64, origin: &Origin) -> Verdict {
    match words.get(header::MAGIC) {
        Some(&MAGIC) if words.len() == header::WORDS => {}
        // The magic number is written last, so this is where creators of 0.1 died.
        Some(0) => return Verdict::Useless("it was never made whole".to_owned()),
        None if bytes == 0 => return Verdict::Useless("it is empty".to_owned()),
        _ => return Verdict::NoArena(format!("its {bytes} bytes are no arena")),
    }
    let word = |at: usize| words[at];
    if [word(header::BOOT_ID_HIGH), word(header::BOOT_ID_LOW)] != origin.boot_id {
        return Verdict::Useless("it was made before this machine was started".to_owned());
    }
    for (what, at, expected) in [
        ("layout version", header::VERSION, LAYOUT_VERSION),
        ("layout fingerprint", header::FINGERPRINT, FINGERPRINT),
        ("pid namespace", header::PID_NAMESPACE, origin.pid_namespace),
        ("uid", header::UID, origin.uid),
    ] {
        let found = word(at);
        if found != expected {
            let (expected, found) = (format!("{expected:#x}"), format!("{found:#x}"));
            return Verdict::Others { what, expected, found };
        }
    }
    let sizes = std::array::from_fn(|at| word(header::GEOMETRY + at));
    let geometry = match Geometry::from_words(sizes) {
        Ok(geometry) if geometry.unit == EXTENT_WORDS => geometry,
        Ok(geometry) => return Verdict::Useless(format!("its unit is {}", geometry.unit)),
        Err(error) => return Verdict::Useless(format!("it has sizes that no arena has: {error}")),
    };
    let layout = Layout::new(geometry);
    let whole = (layout.arena_words() * size_of::<u64>()) as u64;
    if bytes != whole {
        return Verdict::Useless(format!("somebody has cut it off: {bytes} of {whole} bytes"));
    }
    let (arena_id, unix_offset_ns) = (word(header::ARENA_ID), word(header::UNIX_OFFSET));
    Verdict::Good(Before { layout, arena_id, unix_offset_ns })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_left_is_gone_on_with_left_to_others_or_useless() {
        let origin = Origin { boot_id: [1, 2], pid_namespace: 3, uid: 4, ..Origin::default() };
        let geometry = Geometry::for_series(2, 64).unwrap();
        let bytes = (Layout::new(geometry).arena_words() * 8) as u64;
        let mut words = vec![0; header::WORDS];
        words[header::MAGIC] = MAGIC;
        words[header::VERSION] = LAYOUT_VERSION;
        words[header::FINGERPRINT] = FINGERPRINT;
        words[header::GEOMETRY..header::GEOMETRY + Geometry::WORDS]
            .copy_from_slice(&geometry.to_words());
        words[header::BOOT_ID_HIGH] = 1;
        words[header::BOOT_ID_LOW] = 2;
        words[header::PID_NAMESPACE] = 3;
        words[header::UID] = 4;
        let says = |at: usize, word: u64, bytes: u64| {
            let mut words = words.clone();
            words[at] = word;
            match verdict(&words, bytes, &origin) {
                Verdict::Good(_) => "good".to_owned(),
                Verdict::Others { what, .. } => format!("others: {what}"),
                Verdict::Useless(why) => format!("useless: {why}"),
                Verdict::NoArena(why) => format!("no arena: {why}"),
            }
        };
        for (at, word, bytes, expect) in [
            (header::KEEPER_PID, 7, bytes, "good"),
            (header::MAGIC, 0, bytes, "useless: it was never made whole"),
            (header::MAGIC, 1, bytes, "no arena: its"),
            (header::BOOT_ID_LOW, 9, bytes, "before this machine was started"),
            (header::VERSION, LAYOUT_VERSION + 1, bytes, "others: layout version"),
            (header::FINGERPRINT, 0, bytes, "others: layout fingerprint"),
            (header::PID_NAMESPACE, 9, bytes, "others: pid namespace"),
            (header::UID, 9, bytes, "others: uid"),
            (header::GEOMETRY, 0, bytes, "sizes that no arena has"),
            (header::KEEPER_PID, 7, bytes - 1, "cut it off"),
            (header::KEEPER_PID, 7, bytes + 1, "cut it off"),
        ] {
            let found = says(at, word, bytes);
            assert!(found.contains(expect), "{at} {word} {bytes}: {found}");
        }
        assert!(matches!(verdict(&[], 0, &origin), Verdict::Useless(_)));
        assert!(matches!(verdict(&[], 8, &origin), Verdict::NoArena(_)));
    }
}
