//! What a service manager has given to this process that belongs to the command: descriptors from
//! number 3 on (sd_listen_fds(3)), and the duty to say that it works (sd_watchdog_enabled(3)).
//!
//! Descriptors stay where they are and are inherited. Both come with a variable that names the process
//! they are for, and a command that finds another pid there leaves them alone: where a variable names
//! this process, the command finds its own pid in it. What was meant for somebody else stays so.

use std::env::VarError;
use std::process::{Command, id};

use tallyboard_segment::pidfd::Pidfd;

/// Whom the passed descriptors are for.
const LISTEN_PID: &str = "LISTEN_PID";
/// The same as the inode of a pidfd, which systemd 259 and later set besides.
const LISTEN_PIDFDID: &str = "LISTEN_PIDFDID";
/// How many there are.
const LISTEN_FDS: &str = "LISTEN_FDS";
/// Who is to say that it works.
const WATCHDOG_PID: &str = "WATCHDOG_PID";

/// What was given to this process.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Passed {
    /// How many descriptors, from number 3 on.
    pub descriptors: u32,
    names_listener: bool,
    has_pidfd: bool,
    names_watched: bool,
}

impl Passed {
    /// What the environment of this process says.
    pub fn to_this_process() -> Self {
        Self::to(id(), |name| std::env::var(name))
    }

    /// What an environment says that was given to the process `pid`.
    fn to(pid: u32, variable: impl Fn(&str) -> Result<String, VarError>) -> Self {
        let number = |name| variable(name).ok().and_then(|value| value.parse::<u32>().ok());
        let names_listener = number(LISTEN_PID) == Some(pid);
        Self {
            descriptors: number(LISTEN_FDS).filter(|_| names_listener).unwrap_or(0),
            names_listener,
            has_pidfd: variable(LISTEN_PIDFDID).is_ok(),
            names_watched: number(WATCHDOG_PID) == Some(pid),
        }
    }

    /// Makes it all that of `command`, which this process is about to become.
    pub fn pass_on(self, command: &mut Command) {
        let pid = id();
        if self.names_listener {
            command.env(LISTEN_PID, pid.to_string());
            if self.has_pidfd {
                match Pidfd::open(pid).map(|pidfd| pidfd.inode()) {
                    Ok(inode) if inode != 0 => command.env(LISTEN_PIDFDID, inode.to_string()),
                    // The pid alone names it as well.
                    _ => command.env_remove(LISTEN_PIDFDID),
                };
            }
        }
        if self.names_watched {
            command.env(WATCHDOG_PID, pid.to_string());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The variables that a command finds, of those that this process was given.
    fn found(given: &[(&str, &str)]) -> Vec<(String, Option<String>)> {
        let variable = |name: &str| {
            let value = given.iter().find(|(found, _)| *found == name);
            value.map(|(_, value)| (*value).to_owned()).ok_or(VarError::NotPresent)
        };
        let mut command = Command::new("true");
        Passed::to(7, variable).pass_on(&mut command);
        let text = |text: &std::ffi::OsStr| text.to_string_lossy().into_owned();
        command.get_envs().map(|(name, value)| (text(name), value.map(text))).collect()
    }

    #[test]
    fn a_variable_is_rewritten_where_it_names_this_process() {
        let own = |name: &str| (name.to_owned(), Some(id().to_string()));
        assert_eq!(found(&[]), []);
        assert_eq!(found(&[("LISTEN_PID", "8"), ("WATCHDOG_PID", "70")]), []);
        assert_eq!(found(&[("LISTEN_PID", "x"), ("LISTEN_FDS", "1")]), []);
        assert_eq!(found(&[("LISTEN_PID", "8"), ("LISTEN_PIDFDID", "1")]), []);
        assert_eq!(found(&[("LISTEN_PID", "7"), ("WATCHDOG_PID", "8")]), [own("LISTEN_PID")]);
        assert_eq!(found(&[("LISTEN_PID", "8"), ("WATCHDOG_PID", "7")]), [own("WATCHDOG_PID")]);
        let inode = Pidfd::open(id()).unwrap().inode();
        let inode = (inode != 0).then(|| inode.to_string());
        assert_eq!(
            found(&[("LISTEN_PID", "7"), ("LISTEN_PIDFDID", "1")]),
            [own("LISTEN_PID"), ("LISTEN_PIDFDID".to_owned(), inode)]
        );
    }

    #[test]
    fn descriptors_are_counted_where_they_are_for_this_process() {
        for (pid, count, expect) in [
            ("7", "2", 2),
            ("8", "2", 0),
            ("7", "0", 0),
            ("7", "", 0),
            ("7", "-1", 0),
            ("7", "99999999999", 0),
            ("", "2", 0),
        ] {
            let value = |name: &str| match name {
                LISTEN_PID => Ok(pid.to_owned()),
                LISTEN_FDS => Ok(count.to_owned()),
                _ => Err(VarError::NotPresent),
            };
            assert_eq!(Passed::to(7, value).descriptors, expect, "{pid:?} {count:?}");
        }
    }
}
