//! Jobs and grouping keys; what is pushed, added and deleted.

use tallyboard_bridges::{blocking, instance_ip_grouping_key};
use tallyboard_tests::start::child::{Watchdog, until};

use crate::gateway::{Gateway, gauge, gauges, run};

/// Texts that a path cannot have as they are, or that look like what a path is made of.
const ODD: &[&str] = &[
    "a/b",
    "/",
    "//",
    "/a",
    "a/",
    "a//b/../c/./d",
    ".",
    "..",
    "...",
    ".hidden",
    "a b",
    " ",
    "+",
    "a+b=c&d;e,f:g@h?i#j%k",
    "%2F",
    "%",
    "ä",
    "日本語/ä",
    "😱",
    "\"quoted\" \\ \n \t",
    "~-_.!*'()[]{}<>|^`$",
    "=",
    "==",
    "@base64",
    "job@base64/YQ",
    "???/>>>",
    "\u{1}\u{7f}\u{feff}\u{2028}",
];

fn labels(gateway: &Gateway) -> Vec<(String, Option<String>)> {
    let text = |value: &serde_json::Value| value.as_str().map(ToOwned::to_owned);
    let groups = gateway.groups();
    let labels = groups.iter().map(|group| &group["labels"]);
    labels.map(|labels| (text(&labels["job"]).expect("a job"), text(&labels["l"]))).collect()
}

#[test]
fn every_text_is_the_name_of_a_job_and_the_value_of_a_label() {
    let _watchdog = Watchdog::new("every_text_is_the_name_of_a_job_and_the_value_of_a_label");
    let gateway = Gateway::start();
    let long = "x".repeat(4_000);
    for text in ODD.iter().copied().chain([&*long]) {
        let group = gateway.group(text);
        let group = group.grouping("l", text).expect("a group").grouping("m", "").expect("a group");
        group.blocking_push(&gauge("a", 1)).unwrap_or_else(|error| panic!("{text:?}: {error}"));
        assert_eq!(labels(&gateway), [(text.to_owned(), Some(text.to_owned()))]);
        group.blocking_delete().unwrap_or_else(|error| panic!("{text:?}: {error}"));
        // The gateway answers before it has done so.
        until(|| labels(&gateway).is_empty().then_some(()));
    }
    let group = gateway.group("j").grouping("l", "").expect("a group");
    group.blocking_push(&gauge("a", 1)).expect("it is taken");
    assert_eq!(labels(&gateway), [("j".to_owned(), Some(String::new()))]);
}

#[test]
fn a_push_replaces_a_group_an_addition_its_names_and_a_deletion_removes_it() {
    let _watchdog = Watchdog::new("a_push_replaces_a_group");
    let gateway = Gateway::start();
    let other = gateway.group("j").grouping("l", "other").expect("a group");
    other.blocking_push(&gauge("other", 1)).expect("it is taken");
    for gzip in [false, true] {
        let group = gateway.group("j");
        let group = if gzip { group.gzip() } else { group };
        group.blocking_push(&gauge("a", 1)).expect("it is taken");
        group.blocking_push_add(&gauge("b", 2)).expect("it is taken");
        group.blocking_push_add(&gauge("a", 3)).expect("it is taken");
        let mut found = gateway.pushed("j");
        found.retain(|(name, _), _| name != "other");
        assert_eq!(found, gauges(&[("a", 3), ("b", 2)]));
        let both = [gauge("c", 4), gauge("d", 5)].concat();
        blocking::run(group.push(&both)).expect("a runtime").expect("it is taken");
        let mut found = gateway.pushed("j");
        found.retain(|(name, _), _| name != "other");
        assert_eq!(found, gauges(&[("c", 4), ("d", 5)]));
        // Of nothing: a group that has only when it was pushed.
        group.blocking_push(&[]).expect("it is taken");
        assert_eq!(gateway.groups().len(), 2);
        for _ in 0..2 {
            // One that is not there is removed as well.
            group.blocking_delete().expect("it is removed");
            until(|| (gateway.groups().len() == 1).then_some(()));
        }
    }
    assert_eq!(gateway.groups()[0]["labels"]["l"], "other");
}

#[test]
fn a_group_of_an_instance_has_its_address() {
    let _watchdog = Watchdog::new("a_group_of_an_instance_has_its_address");
    let gateway = Gateway::start();
    let (name, value) = instance_ip_grouping_key();
    let group = gateway.group("j").grouping(name, &value).expect("a group");
    group.blocking_push(&gauge("a", 1)).expect("it is taken");
    assert_eq!(gateway.groups()[0]["labels"]["instance"], *value);
}

#[test]
fn the_program_pushes_adds_and_deletes() {
    let _watchdog = Watchdog::new("the_program_pushes_adds_and_deletes");
    let gateway = Gateway::start();
    let url = format!("http://{}/", gateway.address);
    let directory = tallyboard_tests::start::directory::Directory::new("push");
    let push = |value: u32, method: &str| {
        // A timestamp is removed, or the gateway would refuse it.
        let page = format!("# TYPE a{value} gauge\na{value} {value} 1000\n");
        let file = directory.write("page", &page);
        let from = file.to_str().expect("a text").to_owned();
        let flags = ["--job", "a/b", "--grouping", "l=ä b", "--method", method, "--from", &from];
        run(&[&["push", &url], &flags[..]].concat())
    };
    let of_group = || {
        let mut found = gateway.pushed("a/b");
        found = found
            .into_iter()
            .map(|((name, mut labels), value)| {
                assert_eq!(labels.remove("l").as_deref(), Some("ä b"));
                ((name, labels), value)
            })
            .collect();
        found
    };
    assert_eq!(push(1, "put"), (Some(0), String::new()));
    assert_eq!(of_group(), gauges(&[("a1", 1)]));
    assert_eq!(push(2, "post"), (Some(0), String::new()));
    assert_eq!(of_group(), gauges(&[("a1", 1), ("a2", 2)]));
    assert_eq!(push(3, "put"), (Some(0), String::new()));
    assert_eq!(of_group(), gauges(&[("a3", 3)]));
    assert_eq!(push(0, "delete"), (Some(0), String::new()));
    until(|| gateway.groups().is_empty().then_some(()));
    for (flags, expect) in [
        (["--job", ""], "expected the name of a job"),
        (["--job=j", "--grouping=__a=1"], "which begins with __"),
        (["--job=j", "--grouping=a-b=1"], "which is not made of letters"),
        (["--job=j", "--grouping=job=1"], "which is the name of the job"),
    ] {
        let (status, said) = run(&[&["push", &url], &flags[..]].concat());
        assert!(status == Some(1) && said.contains(expect), "{flags:?}: {status:?} {said}");
    }
    assert!(gateway.groups().is_empty());
}
