//! Credentials, certificates, redirects.

use std::fs;
use std::net::{SocketAddr, TcpStream};
use std::path::PathBuf;
use std::process::Command;

use tallyboard_bridges::{Pushgateway, Receiver, Tls};
use tallyboard_tests::receive::programs::{certificates, program};
use tallyboard_tests::start::child::{Running, Watchdog, free_address, until};
use tallyboard_tests::start::directory::Directory;

use crate::gateway::{Gateway, gauge, gauges, run, start};

/// The password `se:cret` for the user `alice`.
const USERS: &str = "basic_auth_users:\n  \
    alice: \"$2y$04$wIMYVOsdgUXftc58z2uVGe7H8y2Xi.2R42YfkktGb28OQYkrquyfq\"\n";
const PASSWORD: &str = "se:cret";

fn file(directory: &Directory, name: &str) -> String {
    directory.file(name).to_str().expect("a text").to_owned()
}

/// A gateway with this configuration of its server.
fn secured(directory: &Directory, config: &str) -> (SocketAddr, Running) {
    let config = directory.write("web.yml", config);
    let address = free_address();
    let flag = format!("--web.config.file={}", config.display());
    let mut running = start(address, &[&flag]);
    until(|| {
        assert!(running.is_running(), "the gateway starts");
        TcpStream::connect(address).ok()
    });
    (address, running)
}

/// Whether the gateway takes what is sent this way; what it says otherwise.
fn outcome(receiver: Receiver) -> Result<(), String> {
    let group = Pushgateway::at(receiver, "j").expect("a group");
    group.blocking_push(&gauge("a", 1)).map_err(|error| error.to_string())
}

#[test]
fn a_gateway_wants_a_name_and_a_password() {
    let _watchdog = Watchdog::new("a_gateway_wants_a_name_and_a_password");
    let directory = Directory::new("push-basic");
    let (address, _running) = secured(&directory, USERS);
    let url = format!("http://{address}");
    let receiver = |url: &str| Receiver::new(url).expect("a URL");
    assert_eq!(outcome(receiver(&url).basic_auth("alice", &PASSWORD.into())), Ok(()));
    assert_eq!(outcome(receiver(&format!("http://alice:se%3Acret@{address}"))), Ok(()));
    for refused in [
        receiver(&url),
        receiver(&url).basic_auth("alice", &"secret".into()),
        receiver(&url).basic_auth("bob", &PASSWORD.into()),
    ] {
        let error = outcome(refused).expect_err("it is refused");
        let expect = format!("{url}/metrics/job/j answered 401: Unauthorized");
        assert!(error.contains(&expect) && !error.contains(PASSWORD), "{error}");
    }

    let page = directory.write("page", "a 1\n");
    let (page, password) = (page.to_str().expect("a text"), file(&directory, "password"));
    fs::write(&password, format!("{PASSWORD}\n")).expect("a file is written");
    let push = ["push", &url, "--job", "j", "--from", page];
    let flags = ["--username", "alice", "--password-file", &password];
    assert_eq!(run(&[&push[..], &flags[..]].concat()), (Some(0), String::new()));
    let (status, said) = run(&push);
    assert!(status == Some(1) && said.contains("answered 401: Unauthorized"), "{said}");
    let (status, said) = run(&[&push[..], &flags[..2]].concat());
    assert!(status == Some(2) && said.contains("--password-file"), "{said}");
}

#[test]
fn a_gateway_wants_a_certificate() {
    let _watchdog = Watchdog::new("a_gateway_wants_a_certificate");
    let directory = Directory::new("push-tls");
    certificates(&directory);
    let path = |name: &str| file(&directory, name);
    let config = format!(
        "tls_server_config:\n  cert_file: {}\n  key_file: {}\n  client_ca_file: {}\n  \
         client_auth_type: RequireAndVerifyClientCert\n{USERS}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem"),
    );
    let (address, _running) = secured(&directory, &config);
    let url = format!("https://alice:se%3Acret@{address}");
    let with = |tls: Tls| outcome(Receiver::new(&url).expect("a URL").tls(tls));
    let trusting = || Tls::default().trust(path("ca.pem"));
    let client = || trusting().identity(path("client.pem"), path("client.key"));
    assert_eq!(with(client()), Ok(()));
    assert_eq!(with(client().trust_anybody()), Ok(()));
    let by_name = format!("https://alice:se%3Acret@localhost:{}", address.port());
    assert_eq!(outcome(Receiver::new(&by_name).expect("a URL").tls(client())), Ok(()));
    let other = || Tls::default().trust(path("other.pem"));
    let of_other = trusting().identity(path("other.pem"), path("other.key"));
    for (tls, expect) in [
        (trusting(), "received fatal alert"),
        (of_other, "received fatal alert"),
        (other(), "invalid peer certificate"),
        (Tls::default(), "invalid peer certificate"),
        (Tls::default().trust(path("ca.key")), "expected certificates in"),
        (trusting().identity(path("client.pem"), path("server.key")), "cannot be used"),
        (trusting().identity(path("client.pem"), path("none.key")), "expected a private key"),
    ] {
        let error = with(tls).expect_err(expect);
        assert!(error.contains(expect) && !error.contains(PASSWORD), "{error}");
    }
    let plain = outcome(Receiver::new(&url.replace("https", "http")).expect("a URL"));
    let plain = plain.expect_err("it speaks TLS");
    assert!(plain.contains("400: Client sent an HTTP request to an HTTPS server"), "{plain}");

    let page = directory.write("page", "a 1\n");
    let page = page.to_str().expect("a text");
    let (ca, cert, key) = (path("ca.pem"), path("client.pem"), path("client.key"));
    let push = ["push", &url, "--job", "j", "--from", page, "--tls.ca", &ca];
    let flags = ["--tls.cert", &cert, "--tls.key", &key];
    assert_eq!(run(&[&push[..], &flags[..]].concat()), (Some(0), String::new()));
    let (status, said) = run(&push);
    assert!(status == Some(1) && said.contains("received fatal alert"), "{said}");
}

/// An nginx in front of a gateway: it redirects with each status, and passes on what is under
/// `/behind`.
fn nginx(directory: &Directory, gateway: SocketAddr) -> (SocketAddr, Running) {
    let address = free_address();
    let at = |name: &str| file(directory, name);
    let redirect = |status: u16| {
        format!(
            "location ~ ^/r{status}(?<rest>/.*)$ {{ return {status} http://{gateway}$rest; }}\n"
        )
    };
    let redirects: String = [301, 302, 303, 307, 308].map(redirect).concat();
    let temporary = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temporary = temporary.map(|of| format!("{of}_temp_path {};\n", at(of))).concat();
    let config = format!(
        "daemon off; master_process off; pid {}; error_log stderr error;\n\
         events {{ worker_connections 64; }}\n\
         http {{ access_log off;\n{temporary}\
         server {{ listen {address};\n{redirects}\
         location /relative/ {{ rewrite ^/relative/(.*)$ /behind/$1 redirect; }}\n\
         location /loop/ {{ return 307 http://{address}$request_uri; }}\n\
         location /nowhere/ {{ return 307 ftp://me:se:cret@gateway/; }}\n\
         location /behind/ {{ proxy_pass http://{gateway}/; }}\n\
         location /limited/ {{ default_type text/plain; add_header Retry-After 7 always;\n\
         return 429 \"slow down\\n\"; }}\n\
         }} }}\n",
        at("pid"),
    );
    let config: PathBuf = directory.write("nginx.conf", &config);
    let mut command = Command::new(program("nginx", "nginx-light"));
    command.arg("-c").arg(config).arg("-p").arg(directory.path());
    let mut running = Running::start(&mut command);
    until(|| {
        assert!(running.is_running(), "nginx starts");
        TcpStream::connect(address).ok()
    });
    (address, running)
}

#[test]
fn a_redirect_is_followed_with_method_and_body_where_that_is_wanted() {
    let _watchdog = Watchdog::new("a_redirect_is_followed");
    let gateway = Gateway::start();
    let directory = Directory::new("push-redirect");
    let (address, _nginx) = nginx(&directory, gateway.address);
    let group = |path: &str, follows: bool| {
        let receiver = Receiver::new(&format!("http://{address}/{path}")).expect("a URL");
        let receiver = if follows { receiver.follow_redirects() } else { receiver };
        let group = Pushgateway::at(receiver, "a/ä b").expect("a group");
        group.grouping("l", "c d").expect("a group")
    };
    let pushed = || {
        let pushed = gateway.pushed("a/ä b").into_iter();
        pushed
            .map(|((name, mut labels), value)| {
                assert_eq!(labels.remove("l").as_deref(), Some("c d"));
                ((name, labels), value)
            })
            .collect::<crate::gateway::Samples>()
    };
    for path in ["r301", "r302", "r303", "r307", "r308", "relative", "behind"] {
        let follows = group(path, true);
        follows.blocking_push(&gauge("a", 1)).expect(path);
        follows.blocking_push_add(&gauge("b", 2)).expect(path);
        assert_eq!(pushed(), gauges(&[("a", 1), ("b", 2)]), "{path}");
        follows.blocking_delete().expect(path);
        until(|| gateway.groups().is_empty().then_some(()));
        if path != "behind" {
            let error = group(path, false).blocking_push(&gauge("a", 1)).expect_err(path);
            let status = path.strip_prefix('r').and_then(|status| status.parse().ok());
            let status: u16 = status.unwrap_or(302);
            let expect = format!(" answered {status}: a redirect to http://");
            assert!(error.to_string().contains(&expect), "{error}");
        }
    }
    for (path, expect) in [
        ("loop", "the 10th redirect"),
        ("nowhere", "a redirect to ftp://gateway/: only http and https"),
        ("limited", "answered 429: slow down"),
        ("none", "answered 405: <html>"),
    ] {
        let error = group(path, true).blocking_push(&gauge("a", 1)).expect_err(path);
        let text = error.to_string();
        assert!(text.contains(expect) && !text.contains("se:cret"), "{text}");
        let wait = error.retry_after().map(|wait| wait.as_secs());
        assert_eq!(wait, (path == "limited").then_some(7), "{path}");
    }
    assert!(gateway.groups().is_empty());

    let page = directory.write("page", "a 1\n");
    let url = format!("http://{address}/r308");
    let push = ["push", &url, "--job", "j", "--from", page.to_str().expect("a text")];
    let (status, said) = run(&push);
    assert!(status == Some(1) && said.contains("answered 308: a redirect to"), "{said}");
    assert_eq!(run(&[&push[..], &["--follow-redirects"]].concat()), (Some(0), String::new()));
    assert_eq!(gateway.pushed("j"), gauges(&[("a", 1)]));
}
