//! Where a page is written to: memory, as it is or through gzip.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;

/// What is handed to the compressor at once: small enough to stay in the processor's cache.
const PIECE: usize = 64 * 1024;

/// A page in the making.
pub(super) struct Output {
    /// What is not compressed yet, or the whole page.
    pending: Vec<u8>,
    gzip: Option<GzEncoder<Vec<u8>>>,
}

impl Output {
    /// A page that will have about `size` bytes.
    pub fn plain(size: usize) -> Self {
        Self {
            pending: Vec::with_capacity(size),
            gzip: None,
        }
    }

    /// A page that is compressed while it is written, so that it is never in memory as a whole.
    pub fn gzip() -> Self {
        Self {
            pending: Vec::with_capacity(2 * PIECE),
            // Level 1: on a page of series, level 2 takes half as much time again for a third of the size less.
            gzip: Some(GzEncoder::new(Vec::new(), Compression::fast())),
        }
    }

    /// Takes what comes next.
    pub fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.pending
    }

    /// To be called every few kilobytes.
    pub fn pass_on(&mut self) {
        if self.pending.len() >= PIECE
            && let Some(gzip) = &mut self.gzip
        {
            compress(gzip, &self.pending);
            self.pending.clear();
        }
    }

    /// Takes a larger piece without a copy where it is compressed.
    pub fn write(&mut self, piece: &[u8]) {
        match &mut self.gzip {
            Some(gzip) if piece.len() >= PIECE => {
                compress(gzip, &self.pending);
                self.pending.clear();
                compress(gzip, piece);
            }
            _ => self.pending.extend_from_slice(piece),
        }
    }

    /// The page.
    pub fn finish(self) -> Bytes {
        match self.gzip {
            None => self.pending.into(),
            Some(mut gzip) => {
                compress(&mut gzip, &self.pending);
                gzip.finish()
                    .expect("writing to memory does not fail")
                    .into()
            }
        }
    }
}

fn compress(gzip: &mut GzEncoder<Vec<u8>>, bytes: &[u8]) {
    gzip.write_all(bytes)
        .expect("writing to memory does not fail");
}
