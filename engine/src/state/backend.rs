//! The store's file, through the file system that tests can make fail. Errors name it.

use std::io;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;
use tidewater_connectors::disk::DiskFile;

/// The store's file.
#[derive(Debug)]
pub struct Backend(pub DiskFile);

impl Backend {
    fn named<T>(&self, result: io::Result<T>) -> io::Result<T> {
        let path = self.0.path().display();
        result.map_err(|error| io::Error::new(error.kind(), format!("{path}: {error}")))
    }
}

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        let metadata = self.named(self.0.file().metadata())?;
        Ok(metadata.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.named(self.0.file().read_exact_at(out, offset))
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.named(self.0.set_len(len))
    }

    fn sync_data(&self) -> io::Result<()> {
        self.named(self.0.sync())
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.named(self.0.write_all_at(data, offset))
    }
}
