//! The store's file, through the file system that tests can make fail.

use std::io;
use std::os::unix::fs::FileExt;

use redb::StorageBackend;
use tidewater_connectors::disk::DiskFile;

/// The store's file.
#[derive(Debug)]
pub struct Backend(pub DiskFile);

impl StorageBackend for Backend {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.file().metadata()?.len())
    }

    fn read(&self, offset: u64, out: &mut [u8]) -> io::Result<()> {
        self.0.file().read_exact_at(out, offset)
    }

    fn set_len(&self, len: u64) -> io::Result<()> {
        self.0.set_len(len)
    }

    fn sync_data(&self) -> io::Result<()> {
        self.0.sync()
    }

    fn write(&self, offset: u64, data: &[u8]) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }
}
