//! The interpreter of Python that a command comes to, and what it says of itself. It is found as the
//! kernel and env(1) find it, and asked without starting the application.

use std::ffi::{OsStr, OsString};
use std::fs;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use crate::proc::in_search_path;

/// An interpreter, as a command starts it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Python {
    /// The program.
    pub program: PathBuf,
    /// Its options, as far as they stand before what it runs.
    pub options: Vec<OsString>,
    /// The script that names it, where the command does not.
    pub script: Option<PathBuf>,
}

/// What an interpreter says of itself.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq)]
pub struct Said {
    /// Its version.
    pub version: String,
    /// Version of the wheel that is installed for it.
    pub wheel: Option<String>,
    /// Version of `prometheus_client` that is installed for it.
    pub client: Option<String>,
    /// Whether `prometheus_client` is patched when it is imported.
    pub is_hooked: bool,
    /// Whether it leaves out site-packages, with what stands there to be run at its start.
    pub has_no_site: bool,
}

/// How often a script may lead to another one.
const MOST_STEPS: usize = 8;

impl Python {
    /// The interpreter that `command` comes to; `None` where it is another program, which may start
    /// one.
    #[must_use]
    pub fn of(command: &[OsString], search: &OsStr) -> Option<Self> {
        let mut words = command.to_vec();
        let mut script = None;
        for _ in 0..MOST_STEPS {
            let name = words.first()?;
            let program = in_search_path(name, search)?;
            if is_python(&program) {
                let options = options(&words[1..]);
                return Some(Self { program, options, script });
            }
            if program.file_name() == Some(OsStr::new("env")) {
                words = behind_env(&words[1..]);
                continue;
            }
            let mut named = first_line(&program)?;
            named.push(program.clone().into_os_string());
            named.extend(words.drain(1..));
            words = named;
            script = Some(program);
        }
        None
    }

    /// Has it say what it is, in an environment as that of the application: with `address` for
    /// TALLYBOARD. The error is what it said instead.
    ///
    /// # Errors
    /// When it does not start, or says something else.
    pub fn ask(&self, address: &str) -> Result<Said, String> {
        let mut command = Command::new(&self.program);
        command.args(&self.options).args(["-c", QUESTION]).env("TALLYBOARD", address);
        let output = command.stdin(Stdio::null()).output().map_err(|error| error.to_string())?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        // What stands in site-packages may write lines of its own before.
        let said = text.lines().last().and_then(|line| serde_json::from_str(line).ok());
        said.ok_or_else(|| {
            let error = String::from_utf8_lossy(&output.stderr).into_owned();
            error.lines().last().unwrap_or("it said nothing").to_owned()
        })
    }
}

/// What an interpreter is asked, whatever its version.
const QUESTION: &str = "\
import json, os, sys
def version(name):
    try:
        from importlib import metadata
        return metadata.version(name)
    except Exception:
        return None
print(json.dumps({
    'version': sys.version.split()[0],
    'wheel': version('tallyboard'),
    'client': version('prometheus_client'),
    'is_hooked': any(type(f).__module__ == 'tallyboard._hook' for f in sys.meta_path),
    'has_no_site': bool(sys.flags.no_site),
}))";

fn is_python(program: &Path) -> bool {
    let name = program.file_name().map(OsStr::as_bytes).unwrap_or_default();
    let rest = name.strip_prefix(b"python").or_else(|| name.strip_prefix(b"pypy"));
    let is_version = |byte: &u8| byte.is_ascii_digit() || matches!(byte, b'.' | b't' | b'd' | b'm');
    rest.is_some_and(|rest| rest.iter().all(is_version))
}

/// The options of an interpreter up to what it runs.
fn options(words: &[OsString]) -> Vec<OsString> {
    let mut found = Vec::new();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let Some(letters) = word.as_bytes().strip_prefix(b"-").filter(|rest| !rest.is_empty())
        else {
            break;
        };
        // A module or a text to run, and all behind it is for that.
        let end = letters.iter().position(|letter| matches!(letter, b'c' | b'm' | b'W' | b'X'));
        match end.map(|at| (at, letters[at])) {
            Some((at, b'c' | b'm')) => {
                let before = [b"-", &letters[..at]].concat();
                found.extend((at > 0).then(|| OsString::from_vec(before)));
                break;
            }
            Some((at, _)) => {
                found.push(word.clone());
                if at + 1 == letters.len() {
                    found.extend(words.next().cloned());
                }
            }
            None => found.push(word.clone()),
        }
    }
    found
}

/// What env(1) executes: its words behind options and variables.
fn behind_env(words: &[OsString]) -> Vec<OsString> {
    let mut words = words.iter();
    let mut rest = words.as_slice();
    while let Some(word) = words.next() {
        match word.as_bytes() {
            b"-u" | b"--unset" | b"-C" | b"--chdir" => drop(words.next()),
            word if word.starts_with(b"-") || word.contains(&b'=') => {}
            _ => break,
        }
        rest = words.as_slice();
    }
    rest.to_vec()
}

/// The words of the interpreter that a script names: in its first line, or, where that would be too
/// long or has a space in it, as installers of Python write it, in the second.
fn first_line(script: &Path) -> Option<Vec<OsString>> {
    let text = fs::read(script).ok()?;
    let mut lines = text.strip_prefix(b"#!")?.split(|&byte| byte == b'\n');
    let first: Vec<OsString> = lines
        .next()?
        .split(|byte| matches!(byte, b' ' | b'\t'))
        .filter(|word| !word.is_empty())
        .map(|word| OsStr::from_bytes(word).to_owned())
        .collect();
    let second = lines.next().and_then(|line| line.strip_prefix(b"'''exec' "));
    match second {
        Some(line) => Some(vec![exec_word(line)?]),
        None => Some(first).filter(|words| !words.is_empty()),
    }
}

/// The first word of a line of the shell, quoted or not.
fn exec_word(line: &[u8]) -> Option<OsString> {
    let word = match line.strip_prefix(b"\"") {
        Some(quoted) => quoted.split(|&byte| byte == b'"').next()?,
        None => line.split(|&byte| byte == b' ').next()?,
    };
    Some(OsStr::from_bytes(word).to_owned())
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn words(text: &str) -> Vec<OsString> {
        text.split(' ').map(OsString::from).collect()
    }

    #[test]
    fn the_options_of_an_interpreter_end_where_what_it_runs_begins() {
        for (line, expect) in [
            ("app.py -S", ""),
            ("-m gunicorn app:app", ""),
            ("-I -m gunicorn", "-I"),
            ("-Im gunicorn", "-I"),
            ("-X dev -W error -Xutf8 -u app.py -x", "-X dev -W error -Xutf8 -u"),
            ("-SE -c text -q", "-SE"),
            ("- x", ""),
        ] {
            let found: Vec<String> =
                options(&words(line)).iter().map(|w| w.to_string_lossy().into_owned()).collect();
            assert_eq!(found.join(" "), expect, "{line}");
        }
    }

    #[test]
    fn an_interpreter_is_found_through_scripts_and_env() {
        let folder = std::env::temp_dir().join(format!("tallyboard-python-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let make = |name: &str, text: &str| {
            let path = folder.join(name);
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
            path
        };
        let python = make("python3.11", "");
        make("python", "");
        let at = python.display();
        let direct = make("gunicorn", &format!("#!{at} -I\nimport x\n"));
        let through = make("flask", "#!/usr/bin/env python\n");
        let long = make("celery", &format!("#!/bin/sh\n'''exec' \"{at}\" \"$0\" \"$@\"\n' '''\n"));
        make("run", "#!/bin/sh\npython app.py\n");
        let search = OsString::from(format!("{}:/usr/bin:/bin", folder.display()));
        for (line, expect, options, script) in [
            ("python app.py", Some("python"), "", None),
            ("python3.11 -S app.py", Some("python3.11"), "-S", None),
            ("gunicorn app:app", Some("python3.11"), "-I", Some(&direct)),
            ("flask run", Some("python"), "", Some(&through)),
            ("celery worker", Some("python3.11"), "", Some(&long)),
            ("env -u A B=1 python -E app.py", Some("python"), "-E", None),
            ("run", None, "", None),
            ("sh -c python", None, "", None),
            ("no-such-command", None, "", None),
        ] {
            let found = Python::of(&words(line), &search);
            let expect = expect.map(|name| Python {
                program: folder.join(name),
                options: options.split(' ').filter(|w| !w.is_empty()).map(OsString::from).collect(),
                script: script.cloned(),
            });
            assert_eq!(found, expect, "{line}");
        }
        fs::remove_dir_all(&folder).unwrap();
    }
}
