//! Reads with `kcat`, a consumer that has only the protocol's library in common with ours, in another version.

use std::io::{ErrorKind, Read};
use std::process::{Command, Stdio};
use std::sync::mpsc::channel;
use std::thread;

use super::{PATIENCE, Received, Topic, say};

/// Partition, offset, timestamp, the lengths of key and value, and then key and value.
const FORMAT: &str = "%p %o %T %K %S\n%k%s\n";

impl Topic<'_> {
    /// What [`read_committed`](Topic::read_committed) returns, without headers, read by `kcat`. `None`, with a
    /// message, if there is no `kcat`.
    pub fn kcat_read_committed(&self) -> Option<Vec<Received>> {
        let spawned = Command::new("kcat")
            .args(["-C", "-q", "-e", "-o", "beginning", "-f", FORMAT])
            .args(["-X", "isolation.level=read_committed"])
            .args(["-b", self.broker.bootstrap(), "-t", self.name()])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn();
        let mut kcat = match spawned {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                say("kcat is not on the path and reads nothing");
                return None;
            }
            spawned => spawned.unwrap(),
        };
        let mut stdout = kcat.stdout.take().unwrap();
        let (all, output) = channel();
        thread::spawn(move || {
            let mut bytes = Vec::new();
            stdout.read_to_end(&mut bytes).unwrap();
            all.send(bytes)
        });
        let output = output.recv_timeout(PATIENCE).inspect_err(|_| {
            let _ = kcat.kill();
        });
        assert!(kcat.wait().unwrap().success(), "kcat failed or hung");
        let mut messages = parse(&output.unwrap());
        messages.sort_by_key(|message| (message.partition, message.offset));
        Some(messages)
    }
}

fn parse(mut output: &[u8]) -> Vec<Received> {
    let mut messages = Vec::new();
    while let Some(end) = output.iter().position(|byte| *byte == b'\n') {
        let line = str::from_utf8(&output[..end]).unwrap();
        let numbers: Vec<i64> = line.split(' ').map(|n| n.parse().unwrap()).collect();
        let [partition, offset, timestamp_ms, key, value] = numbers[..] else {
            panic!("kcat: {line}");
        };
        output = &output[end + 1..];
        let mut take = |length: i64| {
            let (bytes, rest) = output.split_at(usize::try_from(length).ok()?);
            output = rest;
            Some(bytes.to_vec())
        };
        messages.push(Received {
            partition: i32::try_from(partition).unwrap(),
            offset,
            key: take(key),
            value: take(value),
            headers: Vec::new(),
            timestamp_ms: Some(timestamp_ms),
        });
        output = &output[1..];
    }
    messages
}
