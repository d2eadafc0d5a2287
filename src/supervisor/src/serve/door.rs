//! Who is let in on the control socket: whoever has the uid of a guest, and what this process has
//! started, whatever uid that has become.

use std::io;
use std::os::fd::BorrowedFd;
use std::os::unix::process::parent_id;

use nix::unistd::geteuid;
use tallyboard_proto::control::{Refused, RefusedReason};
use tallyboard_segment::pidfd::{Peer, Pidfd};
use tallyboard_segment::reach::{NoDescriptor, is_out_of_descriptors};
use tallyboard_segment::stat::descends;
use tallyboard_segment::trust::unknown_uid;

use crate::board::guests::Guests;
use crate::config::Config;

/// Who is let in.
pub(crate) struct Door {
    pub(crate) guests: Guests,
    pub(crate) own: Option<Own>,
}

/// Whose processes are let in whatever uid they have become.
pub(crate) struct Own {
    /// The keeper.
    pid: u32,
}

/// The guests of a configuration, in the user namespace of this process.
pub(crate) fn guests(config: &Config) -> Guests {
    let mut uids = vec![geteuid().as_raw()];
    uids.extend(&config.worker_uids);
    let unknown = unknown_uid();
    if let Some(uid) = unknown.filter(|uid| uids.contains(uid)) {
        tracing::warn!(
            uid,
            "this uid stands for every uid that this user namespace does not know, so its processes are refused: run supervisor and workers in one user namespace"
        );
    }
    Guests::among(uids, unknown)
}

impl Door {
    /// Looks at who has connected; gives him with the uid that he is let in as, which is that of this
    /// process for one of its own application.
    pub(crate) fn admit(
        &self,
        peer: io::Result<Peer>,
        socket: BorrowedFd<'_>,
    ) -> Result<(Peer, u32), Refused> {
        let peer = peer.map_err(|error| unidentified(&error))?;
        let uid = geteuid().as_raw();
        let is_own = match &self.own {
            Some(own) if peer.uid != uid && peer.pid != 0 => {
                own.has_started(&peer, socket).map_err(|error| unidentified(&error))?
            }
            _ => false,
        };
        let admitted_as = if is_own { uid } else { peer.uid };
        self.guests.check_reader(admitted_as).map(|()| (peer, admitted_as))
    }
}

impl Own {
    /// Those of the application that this one's keeper runs, when they may be anybody.
    pub(crate) fn of(config: &Config) -> Option<Self> {
        config.admits_own.then(|| Self { pid: parent_id() })
    }

    fn has_started(&self, peer: &Peer, socket: BorrowedFd<'_>) -> io::Result<bool> {
        let pidfd = Pidfd::of_peer(socket)?;
        // A pid that was read while its process lived is that process's.
        Ok(descends(peer.pid, self.pid) && !pidfd.is_dead())
    }
}

pub(crate) fn unidentified(error: &io::Error) -> Refused {
    if is_out_of_descriptors(error) {
        let detail = format!("the supervisor cannot name who is asking: {}", NoDescriptor(error));
        return Refused { reason: RefusedReason::Memory, detail };
    }
    Refused {
        reason: RefusedReason::Identity,
        detail: format!(
            "the kernel does not say which process is asking: {error}; Linux 6.5 does, or share the pid namespace of worker and supervisor"
        ),
    }
}
