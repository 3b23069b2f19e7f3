//! A reader whose pieces pass through a function, which changes or watches their rows.

use std::sync::Arc;

use tidewater_connectors::error::SourceError;
use tidewater_connectors::hold::JudgeDeliveries;
use tidewater_connectors::source::{Dealt, NextPiece, Reader, SetAsideDelivery};

/// The reader with its pieces passed through a function.
pub fn through(
    reader: Arc<dyn Reader>,
    function: impl Fn(Dealt) -> Dealt + Send + Sync + 'static,
) -> Arc<dyn Reader> {
    Arc::new(PieceReader { reader, function })
}

struct PieceReader<F> {
    reader: Arc<dyn Reader>,
    function: F,
}

impl<F: Fn(Dealt) -> Dealt + Send + Sync> Reader for PieceReader<F> {
    fn next_piece(&self) -> Result<NextPiece, SourceError> {
        Ok(match self.reader.next_piece()? {
            NextPiece::Dealt(dealt) => NextPiece::Dealt((self.function)(dealt)),
            next => next,
        })
    }

    fn deliveries(&self) -> usize {
        self.reader.deliveries()
    }

    fn bytes_total(&self) -> u64 {
        self.reader.bytes_total()
    }

    fn warnings(&self) -> Vec<String> {
        self.reader.warnings()
    }

    fn set_aside(&self) -> Vec<SetAsideDelivery> {
        self.reader.set_aside()
    }

    fn judged_by(&self, judge: Arc<dyn JudgeDeliveries>) {
        self.reader.judged_by(judge);
    }

    fn close(&self) {
        self.reader.close();
    }
}
