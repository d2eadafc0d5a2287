//! What tests with real receivers share: their programs, and certificates.

use std::path::PathBuf;
use std::process::Command;

use crate::start::directory::Directory;

/// Where a program is, also one that is on root's path alone.
///
/// # Panics
/// When it is not installed, with the package that has it.
#[must_use]
pub fn program(name: &str, package: &str) -> PathBuf {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut places = std::env::split_paths(&path).chain([PathBuf::from("/usr/sbin")]);
    let found = places.find_map(|place| Some(place.join(name)).filter(|path| path.is_file()));
    found.unwrap_or_else(|| {
        panic!("expected the program {name}, found none; apt-get install {package}")
    })
}

/// Makes an authority, certificates of it for a server on the loopback and for a client, and another
/// authority: `NAME.pem` and `NAME.key` of `ca`, `server`, `client` and `other`.
///
/// # Panics
/// When openssl does not make them.
pub fn certificates(directory: &Directory) {
    let script = r#"
        set -e
        cd "$1"
        key() { $OPENSSL ecparam -name prime256v1 -genkey -noout | $OPENSSL pkcs8 -topk8 -nocrypt -out $1.key; }
        signed() {
            key $1
            $OPENSSL req -new -key $1.key -subj "/CN=$1" -out $1.csr
            printf "subjectAltName=DNS:localhost,IP:127.0.0.1\nextendedKeyUsage=$2\nbasicConstraints=CA:FALSE\n" >$1.ext
            $OPENSSL x509 -req -in $1.csr -CA ca.pem -CAkey ca.key -CAcreateserial -days 2 -sha256 -extfile $1.ext -out $1.pem
        }
        for ca in ca other; do
            key $ca
            $OPENSSL req -x509 -new -key $ca.key -sha256 -days 2 -subj "/CN=$ca" -out $ca.pem \
                -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign
        done
        signed server serverAuth
        signed client clientAuth
    "#;
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(directory.path());
    let output = command.env("OPENSSL", program("openssl", "openssl")).output();
    let output = output.expect("a shell");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}
