//! The arena itself: which backing it gets and why, made anew or gone on with.

use std::io;
use std::os::unix::fs::MetadataExt;

use nix::unistd::geteuid;
use tallyboard_proto::cell::GAUGE_CELLS;
use tallyboard_proto::layout::Layout;
use tallyboard_segment::mapping::Arena;
use tallyboard_segment::posix::{ArenaLock, CreateError, Draft, Left, ObjectName, ReopenError};
use tallyboard_segment::process::random_u64;
use tallyboard_segment::{clock, memfd, posix};

use crate::board::origin::{Origin, format};
use crate::config::{Backing, Config};
use crate::keep::left::{Before, Verdict, judge};
use crate::keep::service;
use crate::keep::unopened::OpenError;

/// An arena that is ready for its supervisor.
pub(crate) struct Made {
    pub(crate) arena: Arena,
    pub(crate) layout: Layout,
    pub(crate) origin: Origin,
    pub(crate) backing: Backing,
    pub(crate) reason: String,
    /// Its name, where it has one that it can be found by.
    pub(crate) object: Option<ObjectName>,
    /// Whether an earlier keeper's arena is gone on with.
    pub(crate) is_reopened: bool,
    pub(crate) lock: Option<ArenaLock>,
    /// What the owner should know of it.
    pub(crate) warnings: Vec<String>,
}

/// Creates the arena, or goes on with the one that a supervisor of this name has left.
pub(crate) fn made(config: &Config, layout: Layout) -> Result<Made, OpenError> {
    let name = ObjectName::of_arena(geteuid().as_raw(), &config.name);
    let shift_ns = clock::shift_ns();
    let origin = origin(shift_ns)?;
    let mut maker = Maker { config, layout, origin, name, warnings: Vec::new() };
    let mut made = maker.make()?;
    made.warnings.append(&mut maker.warnings);
    if shift_ns.is_none() {
        made.warnings.push(
            "expected to know how far this time namespace is from the host's, found nothing that says \
             so; gauges of mode mostrecent are right among workers that are in it as well: mount /proc"
                .to_owned(),
        );
    }
    Ok(made)
}

/// Who makes an arena.
struct Maker<'a> {
    config: &'a Config,
    layout: Layout,
    origin: Origin,
    name: ObjectName,
    warnings: Vec<String>,
}

impl Maker<'_> {
    fn make(&mut self) -> Result<Made, OpenError> {
        if self.config.is_service
            && let Some(made) = self.kept()?
        {
            return Ok(made);
        }
        let (backing, reason) = choose(self.config, &self.name);
        if self.config.is_ephemeral {
            return self.ephemeral(backing, reason);
        }
        if backing == Backing::Memfd {
            self.leave_beside(&reason)?;
            return self.anonymous(reason);
        }
        match self.named(reason) {
            // Where it is not asked for, an object that cannot be had is no reason not to start.
            Err(OpenError::Object(error)) if self.config.backing == Backing::Auto => {
                self.anonymous(error.to_string())
            }
            made => made,
        }
    }

    /// The arena in anonymous memory that the service manager kept, unless another one is wanted.
    fn kept(&mut self) -> Result<Option<Made>, OpenError> {
        let Some(object) = service::kept() else { return Ok(None) };
        if self.config.discard_arena {
            service::forget();
            return Ok(None);
        }
        if self.config.backing == Backing::Posix {
            self.warnings.push(
                "the service manager keeps an arena of --backing memfd; this start has --backing \
                 posix and leaves it, and a later one without that would go on with it: \
                 --discard-arena has it forgotten"
                    .to_owned(),
            );
            return Ok(None);
        }
        let left = Left::kept(object)?;
        match judge(&left, &self.origin)? {
            Verdict::Good(before) => self.reopen(left, None, before).map(Some),
            Verdict::Others { what, expected, found } => {
                Err(left.refuse(what, expected, found).into())
            }
            Verdict::Useless(why) | Verdict::NoArena(why) => {
                self.warnings.push(format!("{} cannot be gone on with: {why}", left.called()));
                service::forget();
                Ok(None)
            }
        }
    }

    /// An arena that nobody can ask for again has no name that anybody could find it by.
    fn ephemeral(&self, backing: Backing, reason: String) -> Result<Made, OpenError> {
        let nameless = |reason| {
            let (arena, lock) = self.draft()?.nameless();
            Ok(self.anew(arena, Backing::Posix, reason, None, Some(lock)))
        };
        if backing == Backing::Posix {
            return nameless(reason);
        }
        match self.anonymous(reason) {
            Err(OpenError::Memory { source: error }) if self.config.backing == Backing::Auto => {
                nameless(format!("no anonymous memory: {error}"))
            }
            made => made,
        }
    }

    fn anonymous(&self, reason: String) -> Result<Made, OpenError> {
        let memory = |source| OpenError::Memory { source };
        let arena = memfd::create(self.layout.arena_words()).map_err(memory)?;
        format(&arena, &self.layout, &self.origin).map_err(memory)?;
        Ok(self.anew(arena, Backing::Memfd, reason, None, None))
    }

    /// The arena of this name: gone on with when it was left, else made.
    fn named(&mut self, reason: String) -> Result<Made, OpenError> {
        loop {
            let Some(left) = Left::take(&self.name)? else {
                match self.draft()?.publish(&self.name) {
                    Ok((arena, lock)) => {
                        let name = Some(self.name.clone());
                        return Ok(self.anew(arena, Backing::Posix, reason, name, Some(lock)));
                    }
                    // Somebody was faster: it is what is found now.
                    Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                    Err(error) => return Err(CreateError::from(error).into()),
                }
            };
            match judge(&left, &self.origin)? {
                _ if self.config.discard_arena => self.replace(left)?,
                Verdict::Good(before) => return self.reopen(left, Some(self.name.clone()), before),
                Verdict::Others { what, expected, found } => {
                    return Err(left.refuse(what, expected, found).into());
                }
                Verdict::Useless(why) | Verdict::NoArena(why) => {
                    self.replace(left)?;
                    let name = &self.name;
                    self.warnings
                        .push(format!("replaced {name}, as nobody can go on with it: {why}"));
                }
            }
        }
    }

    fn replace(&self, left: Left) -> Result<(), OpenError> {
        let system = |source| ReopenError::System { name: self.name.to_string(), source };
        // What became another meanwhile is looked at anew.
        left.remove().map(drop).map_err(system)?;
        Ok(())
    }

    /// A named arena was left, and this one will not be it.
    fn leave_beside(&mut self, reason: &str) -> Result<(), OpenError> {
        if self.config.discard_arena {
            return Left::take(&self.name)?.map_or(Ok(()), |left| self.replace(left));
        }
        // What somebody has, or what is not ours, is in nobody's way here.
        let Ok(Some(left)) = Left::look(&self.name) else { return Ok(()) };
        drop(left);
        let name = &self.name;
        self.warnings.push(format!(
            "{name} was left by a supervisor with --backing posix; this one has memfd ({reason}) \
             and begins anew, and a later one with posix would go on with the old one: \
             --discard-arena removes it"
        ));
        Ok(())
    }

    /// An object that is whole and has no name yet.
    fn draft(&self) -> Result<Draft, OpenError> {
        let draft = Draft::create(self.layout.arena_words())?;
        format(draft.arena(), &self.layout, &self.origin).map_err(CreateError::from)?;
        Ok(draft)
    }

    fn anew(
        &self,
        arena: Arena,
        backing: Backing,
        reason: String,
        object: Option<ObjectName>,
        lock: Option<ArenaLock>,
    ) -> Made {
        let (layout, origin) = (self.layout, self.origin);
        let (is_reopened, warnings) = (false, Vec::new());
        Made { arena, layout, origin, backing, reason, object, is_reopened, lock, warnings }
    }

    /// Goes on with an object that was left, and that was found good.
    fn reopen(
        &mut self,
        left: Left,
        object: Option<ObjectName>,
        before: Before,
    ) -> Result<Made, OpenError> {
        let layout = before.layout;
        let origin = Origin {
            arena_id: before.arena_id,
            unix_offset_ns: before.unix_offset_ns,
            ..self.origin
        };
        self.compare(&layout);
        let (arena, lock) = left.map(layout.arena_words())?;
        origin.write_keeper(&arena);
        let backing = if object.is_some() { Backing::Posix } else { Backing::Memfd };
        let made = self.anew(arena, backing, "left by an earlier supervisor".into(), object, None);
        Ok(Made { layout, origin, is_reopened: true, lock: Some(lock), ..made })
    }

    /// Says which sizes an arena that is gone on with keeps.
    fn compare(&mut self, found: &Layout) {
        let config = self.config;
        let series = found.geometry.row_cells / GAUGE_CELLS;
        for (flag, wanted, found) in [
            ("slots", config.slots, found.geometry.slots),
            ("max-series", config.max_series, series),
        ] {
            if wanted != found {
                self.warnings.push(format!(
                    "the arena that is gone on with has room for {found} {flag} and keeps it, \
                     --{flag} is {wanted}; --discard-arena begins anew with that, without what was \
                     counted"
                ));
            }
        }
    }
}

/// What an arena would be made of, before it is made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Foreseen {
    /// The backing.
    pub backing: Backing,
    /// Why it is that one.
    pub reason: String,
    /// Bytes that all of its slots take at first, and the first series.
    pub first_bytes: u64,
    /// Bytes that objects with a name may still take; nothing without a mount for them.
    pub room: Option<u64>,
}

impl Foreseen {
    /// What the arena of `config` would be.
    #[must_use]
    pub fn of(config: &Config) -> Self {
        let name = ObjectName::of_arena(geteuid().as_raw(), &config.name);
        let (backing, reason) = choose(config, &name);
        Self { backing, reason, first_bytes: room_needed(config), room: posix::room_bytes() }
    }
}

/// Room that a named object needs before it is chosen: what its slots take at first, and as much
/// again for series.
fn room_needed(config: &Config) -> u64 {
    const SLOT: u64 = 128 << 10;
    (config.slots as u64 * SLOT).max(8 << 20)
}

/// Which backing, and why.
fn choose(config: &Config, name: &ObjectName) -> (Backing, String) {
    let needed = room_needed(config);
    match (config.backing, posix::room_bytes()) {
        (Backing::Posix, _) => (Backing::Posix, "configured".into()),
        (Backing::Memfd, _) => (Backing::Memfd, "configured".into()),
        (Backing::Auto, _) if config.is_ephemeral => {
            (Backing::Memfd, "made for one run: nobody goes on with it".into())
        }
        (Backing::Auto, _) if !config.worker_uids.is_empty() => {
            (Backing::Memfd, "workers of other uids".into())
        }
        // A container's runtime starts the next one in another pid namespace, where this one's
        // workers cannot be judged: a named object would only be in its way.
        (Backing::Auto, _) if std::process::id() == 1 => {
            (Backing::Memfd, "pid 1: nobody goes on with it after its pid namespace".into())
        }
        (Backing::Auto, None) => (Backing::Memfd, format!("no {} is mounted", posix::MOUNT)),
        // What was left may be what has taken the room.
        (Backing::Auto, Some(_)) if name.path().is_file() => {
            (Backing::Posix, format!("{name} was left"))
        }
        (Backing::Auto, Some(room)) if room < needed => {
            (Backing::Memfd, format!("{} has {room} bytes, needs {needed}", posix::MOUNT))
        }
        (Backing::Auto, Some(_)) => (Backing::Posix, format!("{} has room", posix::MOUNT)),
    }
}

/// Where this process would keep an arena, with its clock so far from the host's, as far as that is
/// known.
///
/// # Errors
/// What the system says when it has no random number.
pub(crate) fn origin(shift_ns: Option<i64>) -> io::Result<Origin> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default();
    let digits: String = boot.chars().filter(char::is_ascii_hexdigit).collect();
    let half = |range| u64::from_str_radix(digits.get(range).unwrap_or("0"), 16).unwrap_or(0);
    let pid_namespace = std::fs::metadata("/proc/self/ns/pid").map_or(0, |found| found.ino());
    Ok(Origin {
        arena_id: random_u64()?,
        boot_id: [half(0..16), half(16..32)],
        pid_namespace,
        keeper_pid: std::process::id().into(),
        uid: geteuid().as_raw().into(),
        unix_offset_ns: clock::unix_offset_ns(shift_ns.unwrap_or(0)),
    })
}
