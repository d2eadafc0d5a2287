//! A connection to one of the addresses that a name has.

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use tokio::net::{TcpStream, lookup_host};
use tokio::time::{Instant, timeout};

/// Connects to the first address of `host` that answers.
///
/// # Errors
/// What the last one failed with; [`io::ErrorKind::TimedOut`] when it took too long.
pub(crate) async fn connect(host: &str, port: u16, limit: Duration) -> io::Result<TcpStream> {
    let begun = Instant::now();
    let addresses = timeout(limit, lookup_host((host, port))).await.map_err(|_| late())??;
    first_of(&addresses.collect::<Vec<_>>(), limit.saturating_sub(begun.elapsed())).await
}

/// Each address has its part of what is left of the limit: one that swallows everything, as a host
/// that is gone does, leaves the others theirs.
async fn first_of(addresses: &[SocketAddr], limit: Duration) -> io::Result<TcpStream> {
    let begun = Instant::now();
    let mut last = io::Error::new(io::ErrorKind::NotFound, "the name has no address");
    for (tried, address) in addresses.iter().enumerate() {
        let left = limit.saturating_sub(begun.elapsed());
        let part = left / (addresses.len() - tried) as u32;
        match timeout(part, TcpStream::connect(address)).await {
            Ok(Ok(stream)) => return Ok(stream),
            Ok(Err(error)) => last = error,
            Err(_) => last = late(),
        }
    }
    Err(last)
}

fn late() -> io::Error {
    io::Error::from(io::ErrorKind::TimedOut)
}

#[cfg(test)]
mod tests {
    use tokio::net::{TcpListener, TcpSocket};

    use super::*;

    const LIMIT: Duration = Duration::from_millis(200);

    #[tokio::test]
    async fn an_address_that_swallows_everything_leaves_the_others_their_part() {
        let loopback = || SocketAddr::from(([127, 0, 0, 1], 0));
        // Nobody accepts what comes here, so there is room for a few only.
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.bind(loopback()).expect("a loopback port");
        let full = socket.listen(1).expect("it listens");
        let hole = full.local_addr().expect("an address");
        let mut held = Vec::new();
        while let Ok(Ok(stream)) = timeout(LIMIT, TcpStream::connect(hole)).await {
            held.push(stream);
            assert!(held.len() < 100, "expected no room for more than a few connections");
        }
        let good = TcpListener::bind(loopback()).await.expect("a loopback port");
        let good = good.local_addr().expect("an address");
        let found = first_of(&[hole, good], 4 * LIMIT).await.expect("one of them is there");
        assert_eq!(found.peer_addr().expect("a peer"), good);
        let error = first_of(&[hole], LIMIT).await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        let error = first_of(&[], LIMIT).await.expect_err("nobody is there");
        assert_eq!(error.kind(), io::ErrorKind::NotFound);
    }
}
