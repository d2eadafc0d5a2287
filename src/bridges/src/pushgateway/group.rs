//! Where a group is in a gateway: the name of a job, and the labels of a grouping key.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr, UdpSocket};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

/// What stands in a path as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC.remove(b'_').remove(b'.').remove(b'-').remove(b'~');
/// Addresses of documentation, RFC 5737 and RFC 3849: a route to them is the one to anywhere.
const ANYWHERE: [(&str, &str); 2] = [("0.0.0.0:0", "192.0.2.1:9"), ("[::]:0", "[2001:db8::1]:9")];

/// Where the group is below the gateway.
pub(super) fn path(job: &str, grouping: &BTreeMap<String, String>) -> String {
    let mut path = "/metrics".to_owned();
    write_pair(&mut path, "job", job);
    // A gateway gives every group without an instance an empty one, and then takes a group that
    // has said so itself for another one with the same labels, which breaks its page.
    let is_said = |(name, value): &(&String, &String)| *name != "instance" || !value.is_empty();
    let said = grouping.iter().filter(is_said);
    said.for_each(|(name, value)| write_pair(&mut path, name, value));
    path
}

/// Writes a label as two components of a path. A value that a component cannot be, because it is
/// empty, has a slash, or is one of those that every HTTP server removes, is written in base64.
fn write_pair(path: &mut String, name: &str, value: &str) {
    path.push('/');
    path.push_str(name);
    if value.is_empty() {
        // The gateway takes what is no base64 but padding for nothing.
        path.push_str("@base64/=");
    } else if value.contains('/') || value == "." || value == ".." {
        path.push_str("@base64/");
        URL_SAFE_NO_PAD.encode_string(value, path);
    } else {
        path.push('/');
        path.extend(utf8_percent_encode(value, PLAIN));
    }
}

/// A label `instance` with the address of this machine, for a grouping key: the one by which it
/// reaches others, or that of the loopback where it reaches nobody. Nothing is sent to find out.
///
/// ```
/// use tallyboard_bridges::{Pushgateway, instance_ip_grouping_key};
///
/// let (name, value) = instance_ip_grouping_key();
/// let gateway = Pushgateway::new("gateway:9091", "backup")?.grouping(name, &value)?;
/// assert!(gateway.to_string().contains("/metrics/job/backup/instance/"));
/// # Ok::<(), tallyboard_bridges::PushError>(())
/// ```
#[must_use]
pub fn instance_ip_grouping_key() -> (&'static str, String) {
    let own = ANYWHERE.iter().find_map(|(from, to)| {
        let socket = UdpSocket::bind(from).ok()?;
        // A datagram socket that is connected has a route, and has sent nothing.
        socket.connect(to).ok()?;
        let own = socket.local_addr().ok()?.ip();
        (!own.is_unspecified()).then_some(own)
    });
    ("instance", own.unwrap_or(IpAddr::V4(Ipv4Addr::LOCALHOST)).to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instance_is_an_address_of_this_machine() {
        let (name, value) = instance_ip_grouping_key();
        assert_eq!(name, "instance");
        let address: IpAddr = value.parse().expect("an address");
        UdpSocket::bind((address, 0)).expect("only an address of one's own can be bound");
    }
}
