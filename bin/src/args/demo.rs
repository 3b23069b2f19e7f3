//! `generate` and `produce`, which provide demo data.

use clap::Args;
use tidewater_demo::generate::GenerateOptions;
#[cfg(feature = "kafka")]
use tidewater_demo::produce::ProduceOptions;

use super::values::worker_count;

/// `tidewater generate`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:\n  \
    tidewater generate --records 1000000 --out data/transactions\n  \
    tidewater generate --records 50_000 --out data/march --start 2024-03-01 --end 2024-03-31 --seed 7\n  \
    tidewater generate --records 1000000 --out data/suspect --anomalies 100\n\n\
    The same seed, range, records, cards and anomalies give the same bytes on every machine, whatever the workers.")]
pub struct GenerateArgs {
    /// What to generate.
    #[command(flatten)]
    pub options: GenerateOptions,

    /// Threads that draw rows [default: one for each core]
    #[arg(long, value_name = "N", value_parser = worker_count())]
    pub workers: Option<usize>,

    /// Print nothing but errors
    #[arg(long, short)]
    pub quiet: bool,
}

/// `tidewater produce`.
#[cfg(feature = "kafka")]
#[derive(Debug, Args)]
#[command(after_help = "Example:\n  \
    tidewater produce data/transactions --to kafka://localhost:9092/transactions --rate 50000\n\n\
    A record of a CSV file becomes a JSON object: what is a number in every byte is one, empty is null, all else is text.\n\
    Lines of JSON files go as they are. Ctrl-C stops it; what was sent stays.")]
pub struct ProduceArgs {
    /// What to send.
    #[command(flatten)]
    pub options: ProduceOptions,

    /// Print no progress
    #[arg(long, short)]
    pub quiet: bool,
}
