//! The real carbon, and what it has stored.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{SystemTime, UNIX_EPOCH};

use nix::sys::signal::Signal;
use serde_json::Value as Json;
use tallyboard_bridges::Graphite;
use tallyboard_tests::receive::programs::program;
use tallyboard_tests::start::child::{Running, free_address, until};
use tallyboard_tests::start::directory::Directory;

/// A carbon with a directory of its own, which does not outlive its test.
pub struct Carbon {
    /// Ends before its directory goes.
    pub running: Option<Running>,
    pub cache: PathBuf,
    pub directory: Directory,
    pub address: SocketAddr,
}

impl Carbon {
    /// Carbon, not started yet.
    pub fn new(test: &str) -> Self {
        let cache = program("carbon-cache", "graphite-carbon");
        let directory = Directory::new(&format!("graphite-{test}"));
        fs::create_dir_all(directory.file("conf")).expect("a directory is made");
        let (address, query) = (free_address(), free_address());
        let at = directory.path().display();
        let config = format!(
            "[cache]\nSTORAGE_DIR = {at}\nCONF_DIR = {at}/conf\nLOG_DIR = {at}/log\nPID_DIR = {at}\n\
             LOCAL_DATA_DIR = {at}/whisper\nDATABASE = whisper\nUSER =\nMAX_CACHE_SIZE = inf\n\
             MAX_UPDATES_PER_SECOND = inf\nMAX_CREATES_PER_MINUTE = inf\n\
             LINE_RECEIVER_INTERFACE = {}\nLINE_RECEIVER_PORT = {}\n\
             PICKLE_RECEIVER_INTERFACE = 127.0.0.1\nPICKLE_RECEIVER_PORT = 0\n\
             CACHE_QUERY_INTERFACE = {}\nCACHE_QUERY_PORT = {}\nENABLE_UDP_LISTENER = False\n\
             ENABLE_TAGS = False\nCARBON_METRIC_INTERVAL = 0\nENABLE_LOGROTATION = False\n\
             WHISPER_AUTOFLUSH = True\nLOG_UPDATES = False\nLOG_CACHE_HITS = False\n\
             LOG_CACHE_QUEUE_SORTS = False\n",
            address.ip(),
            address.port(),
            query.ip(),
            query.port()
        );
        let all = "[all]\npattern = .*\n";
        for (file, text) in [
            ("carbon.conf", config),
            ("storage-schemas.conf", format!("{all}retentions = 1s:1d\n")),
            (
                "storage-aggregation.conf",
                format!("{all}xFilesFactor = 0\naggregationMethod = last\n"),
            ),
        ] {
            directory.write(&format!("conf/{file}"), &text);
        }
        Self { running: None, cache, directory, address }
    }

    pub fn start(&mut self) {
        let config = self.directory.file("conf/carbon.conf");
        let mut command = Command::new(&self.cache);
        command.arg(format!("--config={}", config.display()));
        command.args(["--pidfile=", "--logfile=-", "--nodaemon", "start"]);
        self.running = Some(Running::start(command.current_dir(self.directory.path())));
        until(|| TcpStream::connect(self.address).ok());
    }

    /// Ends it with a signal, and waits for its end.
    pub fn end(&mut self, signal: Signal) {
        let running = self.running.take().expect("carbon runs");
        running.signal(signal);
        drop(running.end());
    }

    pub fn graphite(&self) -> Graphite {
        Graphite::new(&self.address.to_string()).expect("an address")
    }

    /// Where it has a series, by the name that a line has.
    pub fn file(&self, path: &str) -> PathBuf {
        let whisper = self.directory.file("whisper");
        match path.contains(';') {
            false => whisper.join(format!("{}.wsp", path.replace('.', "/"))),
            true => {
                let hash = sha256(path);
                whisper.join("_tagged").join(&hash[..3]).join(&hash[3..6]).join(hash + ".wsp")
            }
        }
    }

    /// What it has stored of a series, by second: those after `from` up to `to`.
    pub fn points(&self, path: &str, (from, to): (i64, i64)) -> BTreeMap<i64, f64> {
        let mut command = Command::new(program("whisper-fetch", "python3-whisper"));
        command.args(["--json", &format!("--from={from}"), &format!("--until={to}")]);
        let output = command.arg(self.file(path)).output().expect("whisper-fetch runs");
        let Ok(found) = serde_json::from_slice::<Json>(&output.stdout) else {
            // There is no such file yet, or it is being made.
            return BTreeMap::new();
        };
        let number = |field: &str| found[field].as_i64().expect("a number");
        let values = found["values"].as_array().expect("values").iter().enumerate();
        let points = values.filter_map(|(at, value)| {
            Some((number("start") + number("step") * at as i64, value.as_f64()?))
        });
        points.collect()
    }

    /// Waits until the newest point of a series in a time has this value.
    pub fn expect(&self, path: &str, within: (i64, i64), value: f64) {
        until(|| {
            let newest = self.points(path, within).pop_last();
            newest.is_some_and(|(_, newest)| newest == value).then_some(())
        });
    }
}

pub fn sha256(text: &str) -> String {
    let mut command = Command::new("sha256sum");
    let mut child =
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("sha256sum runs");
    child.stdin.take().expect("an input").write_all(text.as_bytes()).expect("it reads");
    let output = child.wait_with_output().expect("it ends");
    String::from_utf8(output.stdout).expect("digits").chars().take(64).collect()
}

pub fn now() -> i64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("it is after 1970").as_secs() as i64
}
