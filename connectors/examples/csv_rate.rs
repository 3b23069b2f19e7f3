//! Measures CSV decoding.
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Instant;
use arrow::datatypes::{DataType, Field, Schema, TimeUnit};
use tidewater_connectors::file;
use tidewater_connectors::source::{Format, SourceSpec};
fn main() {
    let a: Vec<String> = std::env::args().collect();
    let t = a[2].as_str();
    let s = match t { "view" => DataType::Utf8View, _ => DataType::Utf8 };
    let f = |n: &str, t: DataType| Field::new(n, t, true);
    let schema = Arc::new(Schema::new(vec![
        f("transaction_id", s.clone()), f("transaction_date", DataType::Timestamp(TimeUnit::Nanosecond, None)),
        f("card_no", s.clone()), f("card_type", s.clone()), f("merchant", s.clone()), f("sub_category", s.clone()),
        f("category", s.clone()), f("amount", DataType::Int64), f("installment_months", DataType::Int32),
        f("approval_status", s.clone()), f("region", s.clone()) ]));
    let projection: Vec<usize> = if t == "none" { vec![] } else { (0..11).collect() };
    let spec = SourceSpec { name: "t".into(), location: a[1].clone(), format: Format::Csv, schema, projection, options: BTreeMap::new() };
    for _ in 0..5 {
        let r = file::open(&spec, file::list(&a[1]).unwrap()).unwrap();
        let (mut rows, mut bad, mut lock, mut dec) = (0, 0, 0.0, 0.0);
        loop {
            let t = Instant::now();
            let Some(p) = r.next_piece().unwrap() else { break };
            lock += t.elapsed().as_secs_f64();
            let t = Instant::now();
            for d in p { let d = d.unwrap(); rows += d.batch.num_rows(); bad += d.rejected.len(); }
            dec += t.elapsed().as_secs_f64();
        }
        let mb = r.bytes_total() as f64 / 1e6;
        println!("{rows} rows {bad} bad; lock {:.0} MB/s, decode {:.0} MB/s, all {:.0} MB/s", mb/lock, mb/dec, mb/(lock+dec));
    }
}
