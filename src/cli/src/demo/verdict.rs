//! The numbers of a run, and whether they hold.

use serde_json::{Value, json};

use crate::demo::watch::Watched;

/// The numbers of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Numbers {
    /// Requests that the load sent.
    pub sent: u64,
    /// Requests that it saw answered.
    pub answered: u64,
    /// Requests on the metrics page after the last worker was reaped; `None` when it had none.
    pub counted: Option<u64>,
    /// Workers forked.
    pub born: u64,
    /// Workers that left after their share of requests.
    pub recycled: u64,
    /// Workers that were killed.
    pub killed: u64,
    /// Workers that ended in any other way before they were told to.
    pub crashed: u64,
    /// How long requests were sent, in whole seconds.
    pub seconds: u64,
    /// What the watch saw.
    pub watched: Watched,
    /// What went wrong in the run itself.
    pub troubles: Vec<String>,
}

impl Numbers {
    /// What does not hold; nothing when all does.
    #[must_use]
    pub fn faults(&self) -> Vec<String> {
        let watched = &self.watched;
        let counted = self.counted.unwrap_or(0);
        let rules = [
            (counted < self.answered, "counts were lost: counted is less than answered"),
            (counted > self.sent, "counts were made up: counted is more than sent"),
            (self.answered > self.sent, "the load is wrong: answered is more than sent"),
            (watched.decreases > 0, "something that only goes up went down"),
            (watched.failures > 0, "scrapes failed"),
            (self.crashed > 0, "workers ended on their own"),
            // A check that saw nothing has checked nothing.
            (self.counted.is_none(), "nothing was checked: the metrics have no counted requests"),
            (self.answered == 0, "nothing was checked: no request was answered"),
            (watched.scrapes == 0, "nothing was checked: no scrape succeeded"),
            (watched.compared == 0, "nothing was checked: the watch compared no samples"),
            (watched.counted != self.counted, "the watch saw another number of counted requests"),
            (self.killed == 0 && self.seconds >= 2, "nothing was checked: no worker was killed"),
        ];
        let faults = rules.iter().filter(|(fails, _)| *fails).map(|(_, text)| (*text).to_owned());
        faults.chain(watched.first_fault.clone()).chain(self.troubles.clone()).collect()
    }

    /// One word for all of it.
    fn verdict(&self) -> &'static str {
        if self.faults().is_empty() { "ok" } else { "failed" }
    }

    /// The numbers for programs.
    #[must_use]
    pub fn object(&self) -> Value {
        json!({
            "sent": self.sent,
            "answered": self.answered,
            "counted": self.counted,
            "workers_born": self.born,
            "recycled": self.recycled,
            "killed": self.killed,
            "crashed": self.crashed,
            "scrapes": self.watched.scrapes,
            "scrape_failures": self.watched.failures,
            "samples_compared": self.watched.compared,
            "decreases": self.watched.decreases,
            "seconds": self.seconds,
            "verdict": self.verdict(),
            "faults": self.faults(),
        })
    }

    /// The numbers for people.
    #[must_use]
    pub fn table(&self) -> String {
        let counted = self.counted.map_or("none".to_owned(), |counted| counted.to_string());
        let rows = [
            ("requests sent", self.sent.to_string(), "by the load process"),
            ("requests answered", self.answered.to_string(), "seen by the load process"),
            ("requests counted", counted, "on /metrics after the last worker was reaped"),
            ("workers born", self.born.to_string(), ""),
            ("workers recycled", self.recycled.to_string(), "left after their share of requests"),
            ("workers killed", self.killed.to_string(), "by SIGKILL, wherever they were"),
            ("scrapes", self.watched.scrapes.to_string(), "over HTTP, throughout"),
            ("scrapes failed", self.watched.failures.to_string(), ""),
            ("samples compared", self.watched.compared.to_string(), "with the scrape before"),
            ("decreases seen", self.watched.decreases.to_string(), ""),
        ];
        let mut text = String::new();
        for (name, value, note) in rows {
            text.push_str(format!("{name:<18}{value:>10}  {note}").trim_end());
            text.push('\n');
        }
        match &self.faults()[..] {
            [] => text.push_str("ok: answered <= counted <= sent, and nothing ever went down\n"),
            faults => faults.iter().for_each(|fault| text.push_str(&format!("FAILED: {fault}\n"))),
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn good() -> Numbers {
        Numbers {
            sent: 100,
            answered: 90,
            counted: Some(95),
            born: 8,
            recycled: 2,
            killed: 2,
            crashed: 0,
            seconds: 3,
            watched: Watched {
                scrapes: 30,
                compared: 1000,
                counted: Some(95),
                done: true,
                ..Watched::default()
            },
            troubles: Vec::new(),
        }
    }

    /// Changes a run that holds.
    type Change = fn(&mut Numbers);

    fn counted(numbers: &mut Numbers, counted: Option<u64>) {
        (numbers.counted, numbers.watched.counted) = (counted, counted);
    }

    #[test]
    fn a_run_holds_up_to_its_bounds() {
        let changes: [Change; 4] = [
            |_| {},
            |n| counted(n, Some(90)),
            |n| counted(n, Some(100)),
            |n| (n.killed, n.seconds) = (0, 1),
        ];
        for (row, change) in changes.iter().enumerate() {
            let mut numbers = good();
            change(&mut numbers);
            assert_eq!(numbers.faults(), [""; 0], "row {row}");
            assert_eq!(numbers.object()["verdict"], "ok");
            assert!(numbers.table().ends_with("nothing ever went down\n"));
        }
    }

    #[test]
    fn each_thing_that_does_not_hold_is_named() {
        let rows: [(Change, &str); 14] = [
            (|n| counted(n, Some(89)), "counts were lost"),
            (|n| counted(n, Some(101)), "counts were made up"),
            (|n| n.answered = 101, "the load is wrong"),
            (|n| n.watched.decreases = 1, "went down"),
            (|n| n.watched.failures = 1, "scrapes failed"),
            (|n| n.crashed = 1, "ended on their own"),
            (|n| counted(n, None), "no counted requests"),
            (|n| n.answered = 0, "no request was answered"),
            (|n| n.watched.scrapes = 0, "no scrape succeeded"),
            (|n| n.watched.compared = 0, "compared no samples"),
            (|n| n.watched.counted = None, "the watch saw another number"),
            (|n| n.killed = 0, "no worker was killed"),
            (|n| n.watched.first_fault = Some("x went".into()), "x went"),
            (|n| n.troubles.push("late".into()), "late"),
        ];
        for (row, (change, expect)) in rows.iter().enumerate() {
            let mut numbers = good();
            change(&mut numbers);
            let faults = numbers.faults();
            assert!(faults.iter().any(|fault| fault.contains(expect)), "row {row}: {faults:?}");
            assert_eq!(numbers.object()["verdict"], "failed");
            assert!(numbers.table().contains("FAILED: "));
        }
    }
}
