//! Files as what they hold: zstd and gzip are undone on the way, bounded.
//!
//! Compression is told by its magic number, never by the file's name. A small
//! file that becomes huge is an attack or an accident: reading stops with
//! [`Bomb`].

use std::fs::File;
use std::io::{self, BufRead, BufReader, Read};
use std::path::Path;

use flate2::read::MultiGzDecoder;
use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

/// A compressed file may always become this large.
pub const INFLATED_BYTES_FREE: u64 = 64 * 1024 * 1024;
/// Beyond that, at most this many times its size.
pub const INFLATED_RATIO_MAX: u64 = 1000;
/// And never more than this.
pub const INFLATED_BYTES_MAX: u64 = 4 * 1024 * 1024 * 1024;

const ZSTD: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];
const GZIP: [u8; 2] = [0x1f, 0x8b];
/// Skippable frames of zstd: 0x184D2A50 to 0x184D2A5F.
const ZSTD_SKIPPABLE: [u8; 3] = [0x2a, 0x4d, 0x18];

/// A compressed file that grows beyond every bound.
#[derive(Debug, thiserror::Error)]
#[error("{compressed} compressed bytes become more than {max}: looks like a decompression bomb")]
pub struct Bomb {
    /// Size of the file.
    pub compressed: u64,
    /// The bound it went beyond.
    pub max: u64,
}

/// Opens a file for reading what it holds.
///
/// # Errors
/// When it cannot be opened or its first bytes cannot be read.
pub fn open(path: &Path) -> io::Result<Box<dyn Read + Send>> {
    let file = File::open(path)?;
    let compressed = file.metadata()?.len();
    let mut file = BufReader::with_capacity(256 * 1024, file);
    let start = file.fill_buf()?;
    let inner: Box<dyn Read + Send> =
        if start.starts_with(&ZSTD) || start.get(1..4) == Some(&ZSTD_SKIPPABLE) {
            Box::new(Zstd { source: file, frame: None })
        } else if start.starts_with(&GZIP) {
            Box::new(MultiGzDecoder::new(file))
        } else {
            return Ok(Box::new(file));
        };
    let max = INFLATED_BYTES_MAX.min(INFLATED_BYTES_FREE.max(compressed * INFLATED_RATIO_MAX));
    Ok(Box::new(Bounded { inner, left: max, compressed, max }))
}

/// Ends with [`Bomb`] when more comes out than may.
struct Bounded {
    inner: Box<dyn Read + Send>,
    left: u64,
    compressed: u64,
    max: u64,
}

impl Read for Bounded {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let got = self.inner.read(buffer)?;
        self.left = self
            .left
            .checked_sub(got as u64)
            .ok_or_else(|| io::Error::other(Bomb { compressed: self.compressed, max: self.max }))?;
        Ok(got)
    }
}

/// All frames of a zstd file, one after another, each with its checksum.
struct Zstd {
    source: BufReader<File>,
    frame: Option<Box<FrameDecoder>>,
}

impl Zstd {
    /// Opens the next frame; false at the end of the file.
    fn next_frame(&mut self) -> io::Result<bool> {
        while !self.source.fill_buf()?.is_empty() {
            let mut decoder = Box::new(FrameDecoder::new());
            match decoder.init(&mut self.source) {
                Ok(()) => {
                    self.frame = Some(decoder);
                    return Ok(true);
                }
                Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                    length,
                    ..
                })) => {
                    let mut skipped = (&mut self.source).take(u64::from(length));
                    io::copy(&mut skipped, &mut io::sink())?;
                }
                Err(e) => return Err(damaged(e)),
            }
        }
        Ok(false)
    }
}

impl Read for Zstd {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        if buffer.is_empty() {
            return Ok(0);
        }
        loop {
            if self.frame.is_none() && !self.next_frame()? {
                return Ok(0);
            }
            let Some(frame) = self.frame.as_mut() else { return Ok(0) };
            while frame.can_collect() < buffer.len() && !frame.is_finished() {
                let wanted = BlockDecodingStrategy::UptoBytes(buffer.len() - frame.can_collect());
                frame.decode_blocks(&mut self.source, wanted).map_err(damaged)?;
            }
            let got = frame.read(buffer)?;
            if got > 0 {
                return Ok(got);
            }
            let said = frame.get_checksum_from_data();
            if said.is_some() && said != frame.get_calculated_checksum() {
                return Err(damaged("its zstd checksum does not match"));
            }
            self.frame = None;
        }
    }
}

fn damaged(why: impl std::fmt::Display) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, format!("the compressed file is damaged: {why}"))
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use super::*;

    fn read(bytes: &[u8]) -> io::Result<Vec<u8>> {
        let mut file = tempfile::NamedTempFile::new().expect("a file");
        file.write_all(bytes).expect("written");
        let mut out = Vec::new();
        open(file.path())?.read_to_end(&mut out).map(|_| out)
    }

    fn zstd(bytes: &[u8]) -> Vec<u8> {
        ruzstd::encoding::compress_to_vec(bytes, ruzstd::encoding::CompressionLevel::Fastest)
    }

    #[test]
    fn reads_plain_gzip_and_every_frame_of_zstd() {
        assert_eq!(read(b"plain").expect("read"), b"plain");
        assert_eq!(read(b"").expect("read"), b"");
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        gz.write_all(b"in gzip").expect("written");
        assert_eq!(read(&gz.finish().expect("gzip")).expect("read"), b"in gzip");
        let skip = [&[0x50, 0x2a, 0x4d, 0x18, 3, 0, 0, 0][..], b"abc"].concat();
        let frames = [zstd(b"one "), skip, zstd(b"two")].concat();
        assert_eq!(read(&frames).expect("read"), b"one two");
    }

    #[test]
    fn a_cut_file_is_an_error_and_not_a_short_one() {
        let text: Vec<u8> = (0..100_000u32).flat_map(|i| i.to_le_bytes()).collect();
        let whole = zstd(&text);
        assert!(read(&whole[..whole.len() - 10]).is_err());
    }

    #[test]
    fn a_bomb_is_stopped() {
        let mut gz = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
        let zeros = vec![b' '; 1 << 20];
        for _ in 0..80 {
            gz.write_all(&zeros).expect("written");
        }
        let bytes = gz.finish().expect("gzip");
        let max = INFLATED_BYTES_FREE.max(bytes.len() as u64 * INFLATED_RATIO_MAX);
        assert!(max < 80 << 20, "the test's bomb is too weak");
        let error = read(&bytes).expect_err("stopped");
        let bomb = error.get_ref().and_then(|e| e.downcast_ref::<Bomb>()).expect("a bomb");
        assert_eq!(bomb.compressed, bytes.len() as u64);
    }
}
