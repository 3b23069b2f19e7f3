//! Compression of text files. This module alone knows the codecs: their options, file extensions, first bytes and
//! decompressors. A new codec is a variant of [`Compression`] and a line of [`CODECS`].

use std::io::{self, BufRead, Read};
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use flate2::bufread::GzDecoder;

/// The option `compression` of text files.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Compression {
    /// By extension and content: files that end in `.gz` or `.zst`, or begin like such files, are compressed.
    #[default]
    Auto,
    /// None, whatever the file's name.
    None,
    /// Gzip, whatever the file's name.
    Gzip,
    /// Zstandard, whatever the file's name.
    Zstd,
}

/// The values of the option `compression`.
pub(crate) const COMPRESSIONS: &[(&str, Compression)] = &[
    ("auto", Compression::Auto),
    ("none", Compression::None),
    ("gzip", Compression::Gzip),
    ("zstd", Compression::Zstd),
];

/// A supported compression.
#[derive(Debug)]
pub struct Codec {
    /// Its option.
    pub compression: Compression,
    /// The extension of its files, in lower case.
    pub extension: &'static str,
    begins: fn(&[u8]) -> bool,
    open: fn(Compressed, &Arc<AtomicBool>) -> io::Result<Decompressed>,
}

/// Compressed bytes, from the beginning of a file.
pub type Compressed = Box<dyn BufRead + Send>;

/// Decompressed bytes.
pub type Decompressed = Box<dyn Read + Send>;

/// The supported compressions.
pub static CODECS: &[Codec] = &[
    Codec {
        compression: Compression::Gzip,
        extension: "gz",
        begins: |head| head.starts_with(GZIP_MAGIC),
        open: open_gzip,
    },
    Codec {
        compression: Compression::Zstd,
        extension: "zst",
        begins: |head| head.starts_with(ZSTD_MAGIC) || head.get(1..4) == Some(ZSTD_SKIPPABLE_MAGIC),
        open: open_zstd,
    },
];

/// An archive or compression that is not supported.
struct Unread {
    magic: &'static [u8],
    description: &'static str,
}

const UNREAD: &[Unread] = &[
    Unread {
        magic: b"PK\x03\x04",
        description: "a zip archive",
    },
    Unread {
        magic: b"\xfd7zXZ\0",
        description: "compressed by xz",
    },
    Unread {
        magic: b"BZh",
        description: "compressed by bzip2",
    },
    Unread {
        magic: b"7z\xbc\xaf\x27\x1c",
        description: "a 7-Zip archive",
    },
    Unread {
        magic: b"\x04\x22\x4d\x18",
        description: "compressed by LZ4",
    },
];

/// Extensions of archives and compressions that are not supported.
pub const UNREAD_EXTENSIONS: &[&str] = &["zip", "tar", "tgz", "bz2", "xz", "lz4", "7z"];

/// Bytes at the beginning of a file that show its compression.
pub const HEAD_BYTES: usize = 6;

const GZIP_MAGIC: &[u8] = b"\x1f\x8b";
const ZSTD_MAGIC: &[u8] = b"\x28\xb5\x2f\xfd";
/// Magic of a skippable frame, after its first byte.
const ZSTD_SKIPPABLE_MAGIC: &[u8] = b"\x2a\x4d\x18";

/// The largest window, of `zstd --long=31`: 2 GiB.
const WINDOW_LOG_MAX: u32 = 31;

impl Codec {
    /// The codec for a file's name, and the name without the codec's extension; `None` if the name has no codec's
    /// extension.
    pub fn of_name(name: &str) -> Option<(&'static Self, &str)> {
        let extension = Path::new(name).extension()?.to_str()?;
        let codec = CODECS
            .iter()
            .find(|codec| codec.extension.eq_ignore_ascii_case(extension))?;
        let bare = name.get(..name.len() - extension.len() - 1)?;
        Some((codec, bare))
    }

    /// The codec whose files begin with `head`.
    fn of_content(head: &[u8]) -> Option<&'static Self> {
        CODECS.iter().find(|codec| (codec.begins)(head))
    }

    /// Decompresses a file with all its members and frames. Other bytes after them are skipped, and `has_trailing` is
    /// set.
    ///
    /// # Errors
    /// When the bytes cannot be read.
    pub fn open(
        &self,
        compressed: Compressed,
        has_trailing: &Arc<AtomicBool>,
    ) -> io::Result<Decompressed> {
        (self.open)(compressed, has_trailing)
    }
}

/// What decompressed content is, if it is packed once more.
pub fn packed(head: &[u8]) -> Option<&'static str> {
    let unread = UNREAD.iter().find(|other| head.starts_with(other.magic));
    let codec = Codec::of_content(head).map(|_| "compressed once more");
    unread.map(|other| other.description).or(codec)
}

impl Compression {
    /// The codec of a file by its name and `head`, its first [`HEAD_BYTES`]; `None` if it is not compressed.
    ///
    /// # Errors
    /// When name and content contradict each other, or the compression is not supported.
    pub fn resolve(self, name: &str, head: &[u8]) -> io::Result<Option<&'static Codec>> {
        let invalid = |message: String| io::Error::new(io::ErrorKind::InvalidData, message);
        if self != Self::Auto {
            return Ok(CODECS.iter().find(|codec| codec.compression == self));
        }
        let by_content = Codec::of_content(head);
        let Some((by_name, _)) = Codec::of_name(name) else {
            return match UNREAD.iter().find(|other| head.starts_with(other.magic)) {
                Some(Unread { description, .. }) => Err(invalid(format!(
                    "it is {description}, which is not read; unpack it, or compress it by gzip or zstd"
                ))),
                None => Ok(by_content),
            };
        };
        let is_same = by_content.is_some_and(|codec| codec.compression == by_name.compression);
        if is_same || head.is_empty() {
            return Ok(Some(by_name));
        }
        Err(invalid(
            "its content is not compressed as its name says; write OPTIONS (compression 'none'), or name it as it is"
                .to_owned(),
        ))
    }
}

fn open_zstd(compressed: Compressed, _: &Arc<AtomicBool>) -> io::Result<Decompressed> {
    let mut decoder = zstd::stream::read::Decoder::with_buffer(compressed)?;
    decoder.window_log_max(WINDOW_LOG_MAX)?;
    Ok(Box::new(decoder))
}

#[expect(
    clippy::unnecessary_wraps,
    reason = "all codecs open by functions of one type"
)]
fn open_gzip(compressed: Compressed, has_trailing: &Arc<AtomicBool>) -> io::Result<Decompressed> {
    Ok(Box::new(GzipMembers {
        member: Some(GzDecoder::new(compressed)),
        has_trailing: Arc::clone(has_trailing),
    }))
}

/// The members of a gzip file in sequence. Other bytes after them, such as the zeros of a tape block, are skipped.
struct GzipMembers {
    /// The current member; `None` at the end.
    member: Option<GzDecoder<Compressed>>,
    has_trailing: Arc<AtomicBool>,
}

impl Read for GzipMembers {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let length = member.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            let Some(mut rest) = self.member.take().map(GzDecoder::into_inner) else {
                break;
            };
            let behind = rest.fill_buf()?;
            if behind.first() == GZIP_MAGIC.first() {
                self.member = Some(GzDecoder::new(rest));
            } else if !behind.is_empty() {
                self.has_trailing.store(true, Ordering::Relaxed);
                io::copy(&mut rest, &mut io::sink())?;
            }
        }
        Ok(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_and_contents_say_how_a_file_is_compressed() {
        use Compression::{Auto, Gzip, None as Not, Zstd};
        const GZ: &[u8] = b"\x1f\x8b\x08\0\0\0";
        const ZST: &[u8] = b"\x28\xb5\x2f\xfd\0\0";
        let cases: &[(Compression, &str, &[u8], Option<Compression>)] = &[
            (Auto, "a.csv", b"a,b\n", None),
            (Auto, "a.csv.gz", GZ, Some(Gzip)),
            (Auto, "a.CSV.GZ", GZ, Some(Gzip)),
            (Auto, "a.csv.zst", ZST, Some(Zstd)),
            (Auto, "a.csv.gz", b"", Some(Gzip)),
            (Auto, "a.csv", GZ, Some(Gzip)),
            (Not, "a.csv.gz", GZ, None),
            (Zstd, "a.csv.gz", ZST, Some(Zstd)),
        ];
        for (stated, name, head, expected) in cases {
            let codec = stated.resolve(name, head).unwrap();
            assert_eq!(
                codec.map(|codec| codec.compression),
                *expected,
                "{stated:?} {name}"
            );
        }
        for (name, head, says) in [
            ("a.csv.gz", &b"a,b\n"[..], "not compressed as its name says"),
            ("a.csv.gz", ZST, "not compressed as its name says"),
            ("a.csv", b"PK\x03\x04", "a zip archive"),
        ] {
            let error = Auto.resolve(name, head).unwrap_err();
            assert!(error.to_string().contains(says), "{name}: {error}");
        }
        assert_eq!(Codec::of_name("a.csv.gz").unwrap().1, "a.csv");
        assert!(Codec::of_name("a.csv").is_none() && Codec::of_name("gz").is_none());
    }
}
