//! Metrics over HTTP from a process without supervisor.

use std::io;
use std::net::SocketAddr;

pub use tallyboard_supervisor::alone::Server;

use crate::registry::registry::Registry;

/// Serves the metrics of the shared registry on `address`, under `/metrics`, in a thread of its own:
/// all there is to do in a program with one process.
///
/// ```
/// use std::io::{Read, Write};
/// use std::net::TcpStream;
/// use tallyboard::{Summary, Timed};
///
/// // 1. Make a metric.
/// let request_time = Summary::new("request_processing_seconds", "Time to process a request.")?;
/// // 2. Serve all metrics.
/// let server = tallyboard::serve("127.0.0.1:0".parse()?)?;
/// // 3. Work.
/// request_time.time(|| std::thread::sleep(std::time::Duration::from_millis(1)));
///
/// let mut connection = TcpStream::connect(server.address())?;
/// connection.write_all(b"GET /metrics HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")?;
/// let mut page = String::new();
/// connection.read_to_string(&mut page)?;
/// assert!(page.contains("request_processing_seconds_count 1\n"));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// In a process with a supervisor it serves the whole service, as [`exposition`](crate::exposition())
/// does.
///
/// # Errors
/// What listening or starting a thread says.
pub fn serve(address: SocketAddr) -> io::Result<Server> {
    Registry::shared().serve(address)
}

impl Registry {
    /// Serves the metrics of this registry on `address`, as [`serve`](crate::serve) does those of the
    /// shared one.
    ///
    /// # Errors
    /// What listening or starting a thread says.
    pub fn serve(&'static self, address: SocketAddr) -> io::Result<Server> {
        tallyboard_supervisor::alone::serve(address, move |names, negotiated| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let exposition = self.exposition(&negotiated.content_type(), &names);
            exposition.ok().map(|(_, page)| page)
        })
    }
}
