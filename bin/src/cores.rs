//! The default number of workers.

/// The given number of workers, or else one for each core that this process may use.
pub fn or_all(workers: Option<usize>) -> usize {
    workers.unwrap_or_else(|| std::thread::available_parallelism().map_or(1, usize::from))
}
