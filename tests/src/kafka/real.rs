//! Apache Kafka, by `tests/kafka/broker serve`. The script ends the broker when our end of its standard input is
//! closed, which happens however this process ends.

use std::io::{BufRead, BufReader, Write};
use std::process::{Child, Command, Stdio};
use std::sync::Mutex;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::Duration;

const SCRIPT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/kafka/broker");

/// The script's own deadlines are shorter.
const PATIENCE: Duration = Duration::from_mins(2);

/// The version that can be started on this machine, or what is missing.
pub(super) fn version() -> Result<String, String> {
    let check = Command::new(SCRIPT).arg("check").output().unwrap();
    let text = |bytes| String::from_utf8_lossy(bytes).trim().to_owned();
    if check.status.success() {
        Ok(text(&check.stdout))
    } else {
        Err(text(&check.stderr))
    }
}

/// A broker in a directory of its own.
pub(super) struct Real(Mutex<Session>);

struct Session {
    script: Child,
    answers: Receiver<String>,
}

impl Real {
    /// Starts a broker and returns it with its address.
    pub(super) fn start() -> (Self, String) {
        let mut script = Command::new(SCRIPT)
            .arg("serve")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(script.stdout.take().unwrap()).lines();
        let (answer, answers) = channel();
        thread::spawn(move || {
            lines
                .map_while(Result::ok)
                .try_for_each(|line| answer.send(line))
        });
        let session = Session { script, answers };
        let line = session.answer();
        let bootstrap = line.strip_prefix("bootstrap=").unwrap().to_owned();
        (Self(Mutex::new(session)), bootstrap)
    }

    /// Sends a command to the script, and waits for the answer that means success.
    pub(super) fn ask(&self, command: &str, expected: &str) {
        let mut session = self.0.lock().unwrap();
        writeln!(session.script.stdin.as_mut().unwrap(), "{command}").unwrap();
        assert_eq!(session.answer(), expected, "{command}");
    }
}

impl Session {
    fn answer(&self) -> String {
        self.answers
            .recv_timeout(PATIENCE)
            .expect("the broker's script ended or hangs; standard error has its message")
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        drop(self.script.stdin.take());
        let _ = self.script.wait();
    }
}
