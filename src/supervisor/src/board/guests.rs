//! Who may converse with a supervisor: whoever connected, as the kernel says (SO_PEERCRED), has to be
//! of one of its uids. It is known before anything is read of what was sent.

use tallyboard_proto::control::{Refused, RefusedReason};

/// The uids whose processes may attach; root may ask as well.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Guests {
    uids: Vec<u32>,
    /// The uid that stands for all that have no name here, and so is nobody's.
    unknown: Option<u32>,
}

impl Guests {
    /// The processes of these uids, where every uid has a name.
    #[must_use]
    pub fn new(uids: Vec<u32>) -> Self {
        Self { uids, unknown: None }
    }

    /// Those of these uids, where one uid stands for all that have no name.
    pub(crate) fn among(uids: Vec<u32>, unknown: Option<u32>) -> Self {
        Self { uids, unknown }
    }

    /// Refuses who may not ask about the arena: everybody but its users and root.
    ///
    /// # Errors
    /// [`Refused`] names the uids.
    pub fn check_reader(&self, uid: u32) -> Result<(), Refused> {
        if uid == 0 { Ok(()) } else { self.check_worker(uid) }
    }

    /// Refuses who may not attach.
    ///
    /// # Errors
    /// [`Refused`] names the uids.
    pub fn check_worker(&self, uid: u32) -> Result<(), Refused> {
        let uids = &self.uids;
        let detail = match self.unknown {
            Some(unknown) if unknown == uid => format!(
                "the arena is for uid {uids:?}, found {uid}, which stands for every uid that the supervisor's user namespace does not know; run both in one user namespace"
            ),
            _ if uids.contains(&uid) => return Ok(()),
            _ => format!(
                "the arena is for uid {uids:?}, found {uid}; run both as one user, or start the supervisor with --worker-uid {uid}"
            ),
        };
        Err(Refused { reason: RefusedReason::Uid, detail })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_uid_that_stands_for_many_is_nobodys() {
        let guests = |unknown| Guests { uids: vec![1000, 65534], unknown };
        for (unknown, uid, attaches, asks) in [
            (None, 1000, true, true),
            (None, 65534, true, true),
            (None, 0, false, true),
            (None, 1001, false, false),
            (Some(65534), 1000, true, true),
            (Some(65534), 65534, false, false),
            (Some(65534), 0, false, true),
        ] {
            let guests = guests(unknown);
            assert_eq!(guests.check_worker(uid).is_ok(), attaches, "{unknown:?} {uid}");
            assert_eq!(guests.check_reader(uid).is_ok(), asks, "{unknown:?} {uid}");
        }
        let refused = guests(Some(65534)).check_worker(65534).unwrap_err();
        assert!(refused.detail.contains("one user namespace"), "{refused}");
        let refused = guests(None).check_worker(7).unwrap_err();
        assert!(refused.detail.contains("found 7") && refused.detail.contains("--worker-uid 7"));
    }
}
