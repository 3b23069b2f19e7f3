//! The card job.

use super::*;

const CARD: &str = include_str!("card.sql");

#[test]
fn all_thirteen_tables_are_planned() {
    let job = Job::parse("card.sql", CARD, &|name| Some(name.to_owned())).unwrap_or_else(|errors| panic!("{errors}"));
    for view in &job.views {
        println!("== {} {:?}\n{}", view.name, view.order_by, view.plan.display_indent());
    }
    println!("{:?}", job.sources[0].spec);
    println!("{:?}", job.warnings);
    panic!();
}
