//! `tidewater produce`: sends files to a topic.

use std::fs;

use tidewater_tests::binary::tidewater;
use tidewater_tests::kafka::{Broker, Received};

/// Keys and values in the order of offsets.
fn sent(messages: &[Received]) -> Vec<(Option<String>, String)> {
    let text = |bytes: &Vec<u8>| String::from_utf8(bytes.clone()).unwrap();
    messages
        .iter()
        .map(|message| {
            (
                message.key.as_ref().map(text),
                text(message.value.as_ref().unwrap()),
            )
        })
        .collect()
}

#[test]
fn rows_of_files_become_messages() {
    let broker = Broker::get();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| fs::write(directory.path().join(name), text).unwrap();
    write("a.csv", "id,amount,code\nx,7,007\n\"y,\"\"1\",-1.5,\n");
    let files = directory.path().to_str().unwrap().to_owned();
    for (more, expected) in [
        (
            &["--key", "id"][..],
            &[
                (Some("x"), r#"{"id":"x","amount":7,"code":"007"}"#),
                (Some("y,\"1"), r#"{"id":"y,\"1","amount":-1.5,"code":null}"#),
            ][..],
        ),
        (
            &["--text", "amount", "--rate", "1000"],
            &[
                (None, r#"{"id":"x","amount":"7","code":"007"}"#),
                (None, r#"{"id":"y,\"1","amount":"-1.5","code":null}"#),
            ],
        ),
        (
            &["--as", "csv"],
            &[(None, "x,7,007"), (None, "\"y,\"\"1\",-1.5,")],
        ),
    ] {
        let topic = broker.topic(1);
        let to = format!("kafka://{}/{}", broker.bootstrap(), topic.name());
        let arguments = [&["produce", &files, "--to", &to, "--quiet"], more].concat();
        let _ = tidewater(&arguments).code(0);
        let expected: Vec<_> = expected
            .iter()
            .map(|(key, value)| (key.map(str::to_owned), (*value).to_owned()))
            .collect();
        assert_eq!(sent(&topic.read_committed()), expected, "{more:?}");
    }
    write("a.csv", "");
    fs::remove_file(directory.path().join("a.csv")).unwrap();
    write("b.jsonl", "{\"a\": 1}\r\n\n{\"a\":2}");
    let topic = broker.topic(1);
    let to = format!("kafka://{}/{}", broker.bootstrap(), topic.name());
    let _ = tidewater(&["produce", &files, "--to", &to, "-q"]).code(0);
    let lines = sent(&topic.read_committed());
    assert_eq!(
        lines,
        [(None, "{\"a\": 1}".into()), (None, "{\"a\":2}".into())]
    );
}

#[test]
fn what_cannot_be_sent_says_why() {
    let broker = Broker::get();
    let directory = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &[u8]| {
        let path = directory.path().join(name);
        fs::write(&path, text).unwrap();
        path.to_str().unwrap().to_owned()
    };
    let good = write("good.csv", b"a,b\n1,2\n");
    let short = write("short.csv", b"a,b\n1,2\n3\n");
    let bytes = write("bytes.csv", b"a,b\n1,\xff\n");
    let other = write("other.bin", b"x");
    let lines = write("lines.jsonl", b"{}\n");
    let topic = broker.topic(1);
    let to = format!("kafka://{}/{}", broker.bootstrap(), topic.name());
    for (arguments, code, says) in [
        (
            &[good.as_str(), "--to", "localhost:9092"][..],
            2,
            "kafka://host:9092/topic",
        ),
        (&[&good, "--to", &to, "--key", "c"], 2, "it has a, b"),
        (&[&good, "--to", &to, "--text", "c"], 2, "it has a, b"),
        (&[&short, "--to", &to], 1, "line 3"),
        (&[&bytes, "--to", &to], 1, "line 2: is not UTF-8"),
        (&[&other, "--to", &to], 1, "neither .csv nor .jsonl"),
        (
            &[&lines, "--to", &to, "--key", "a"],
            2,
            "lines of JSON go as they are",
        ),
        (&["/nowhere", "--to", &to], 1, "no such file"),
    ] {
        let arguments = [&["produce"], arguments].concat();
        let _ = tidewater(&arguments).code(code).no_panic().says(&[says]);
    }
}
