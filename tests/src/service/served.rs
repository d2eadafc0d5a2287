//! `tallyboard serve` beside a test.

use std::net::SocketAddr;

use tallyboard_proto::control::Description;
use tallyboard_segment::pass::Address;
use tallyboard_supervisor::ask;

use crate::read::http::get;
use crate::read::page::Page;
use crate::start::child::{Ended, HANG, Running, free_address, until};
use crate::start::program::program_of;

/// An arena that is served, and a page of it. Dropping it ends the program.
#[derive(Debug)]
pub struct Served {
    /// The program.
    pub running: Running,
    /// Where its workers attach.
    pub control: Address,
    /// Where its page is, unless a flag says where else.
    pub metrics: SocketAddr,
}

impl Served {
    /// Serves an arena in anonymous memory, under a name that no other process has, and waits until
    /// it answers. A flag in `more` is taken instead of the usual one.
    ///
    /// # Panics
    /// When it ends before.
    #[must_use]
    pub fn start(name: &str, more: &[&str]) -> Self {
        Self::start_of(&[], name, more, &[])
    }

    /// The same, where the words `before` run the program, and with variables of the environment.
    ///
    /// # Panics
    /// As [`start`](Self::start).
    #[must_use]
    pub fn start_of(
        before: &[&str],
        name: &str,
        more: &[&str],
        variables: &[(&str, &str)],
    ) -> Self {
        let name = format!("{name}-{}", std::process::id());
        let control = Address::Abstract(format!("tallyboard/test/{name}"));
        let metrics = free_address();
        let words = words(&name, &control, "memfd", &metrics.to_string(), more);
        let words: Vec<&str> = words.iter().map(String::as_str).collect();
        let mut command = program_of(before, &words);
        let running = Running::start(command.envs(variables.iter().copied()));
        let (running, _) = answering(running, &control);
        if !more.contains(&"--web.listen-address") {
            until(|| get(metrics, "/-/ready").ok().filter(|answer| answer.status == 200));
        }
        Self { running, control, metrics }
    }

    /// Its page.
    ///
    /// # Panics
    /// When it has none, or one that cannot be read.
    #[must_use]
    pub fn page(&self) -> Page {
        let page = get(self.metrics, "/metrics").expect("the page is served");
        Page::parse(&page.body).expect("the page reads")
    }

    /// Tells it to stop, and waits until it has.
    ///
    /// # Panics
    /// When it has ended already.
    #[must_use]
    pub fn stop(self) -> Ended {
        self.running.signal(nix::sys::signal::Signal::SIGTERM);
        self.running.end()
    }
}

/// The words behind `tallyboard` that serve an arena, where those in `more` are taken instead of the
/// usual ones.
#[must_use]
pub fn words(
    name: &str,
    control: &Address,
    backing: &str,
    listen: &str,
    more: &[&str],
) -> Vec<String> {
    let control = control.to_string();
    let usual = [("--backing", backing), ("--control", &control), ("--web.listen-address", listen)];
    let usual = usual.iter().filter(|(flag, _)| !more.contains(flag));
    let usual = usual.flat_map(|(flag, value)| [*flag, *value]);
    ["serve", "--name", name]
        .into_iter()
        .chain(usual)
        .chain(more.iter().copied())
        .map(Into::into)
        .collect()
}

/// Waits until a program that was started answers on `control`.
///
/// # Panics
/// When it ends before.
#[must_use]
pub fn answering(mut serve: Running, control: &Address) -> (Running, Description) {
    let described = until(|| match serve.is_running() {
        true => ask::describe(control, HANG).ok().map(Some),
        false => Some(None),
    });
    match described {
        Some(described) => (serve, described),
        None => panic!("expected a server on {control}, found {:?}", serve.end()),
    }
}
