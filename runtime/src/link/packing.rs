//! Compression of all that a link carries, for networks slower than a core.
//!
//! Everything said in one turn is flushed together, so that nothing waits for more to come.

use zstd::stream::raw::{Decoder, Encoder, InBuffer, Operation, OutBuffer};

/// Compresses fast: a network that needs more is slow enough for a second look at the input.
const LEVEL: i32 = 1;
/// Window of history that the other side must keep, as a power of two: 1 MiB.
const WINDOW_LOG: u32 = 20;
/// Unpacked in one step.
const STEP: usize = 128 << 10;

/// Why bytes cannot be unpacked.
#[derive(Debug, thiserror::Error)]
#[error("not compressed as expected: {0}")]
pub struct UnpackError(String);

/// Compresses what is said.
pub struct Packer(Encoder<'static>);

/// Makes readable what came.
pub struct Unpacker {
    decoder: Decoder<'static>,
    /// Whether the decoder may hold bytes that had no room yet.
    holds_more: bool,
}

impl Packer {
    /// Makes a packer.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        let mut encoder = Encoder::new(LEVEL)?;
        encoder.set_parameter(zstd::zstd_safe::CParameter::WindowLog(WINDOW_LOG))?;
        Ok(Packer(encoder))
    }

    /// Compresses `plain`, all of which can be unpacked from the result.
    ///
    /// # Errors
    /// Those of the compressor, which can go on no more then.
    pub fn pack(&mut self, plain: &[u8]) -> std::io::Result<Vec<u8>> {
        let mut packed = vec![0; zstd::zstd_safe::compress_bound(plain.len()) + 64];
        let mut output = OutBuffer::around(packed.as_mut_slice());
        let mut input = InBuffer::around(plain);
        while input.pos < plain.len() {
            self.0.run(&mut input, &mut output)?;
        }
        loop {
            if self.0.flush(&mut output)? == 0 {
                break;
            }
            if output.pos() == output.capacity() {
                return Err(std::io::Error::other("more than its bound"));
            }
        }
        let length = output.pos();
        packed.truncate(length);
        Ok(packed)
    }
}

impl Unpacker {
    /// Makes an unpacker.
    ///
    /// # Errors
    /// When there is no memory for it.
    pub fn new() -> std::io::Result<Self> {
        let mut decoder = Decoder::new()?;
        decoder.set_parameter(zstd::zstd_safe::DParameter::WindowLogMax(WINDOW_LOG))?;
        Ok(Unpacker { decoder, holds_more: false })
    }

    /// Appends to `out` what `packed` holds, until `out` has `enough` bytes; says how much of
    /// `packed` was used. A few bytes that stand for very many wait in it.
    ///
    /// # Errors
    /// See [`UnpackError`].
    pub fn unpack(
        &mut self,
        packed: &[u8],
        out: &mut Vec<u8>,
        enough: usize,
    ) -> Result<usize, UnpackError> {
        let mut input = InBuffer::around(packed);
        // Asked again and again without anything to do, the decoder gives up.
        while out.len() < enough && (input.pos < packed.len() || self.holds_more) {
            let start = out.len();
            out.resize(start + STEP, 0);
            let mut output = OutBuffer::around(&mut out[start..]);
            let result = self.decoder.run(&mut input, &mut output);
            let got = output.pos();
            out.truncate(start + got);
            result.map_err(|error| UnpackError(error.to_string()))?;
            self.holds_more = got == STEP;
        }
        Ok(input.pos)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn what_was_packed_comes_out_at_once_whatever_the_pieces(
            pieces in proptest::collection::vec(proptest::collection::vec(any::<u8>(), 0..3000), 1..9),
        ) {
            let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
            for piece in pieces {
                let packed = packer.pack(&piece).unwrap();
                let mut out = Vec::new();
                let used = unpacker.unpack(&packed, &mut out, usize::MAX).unwrap();
                prop_assert_eq!(used, packed.len());
                prop_assert_eq!(out, piece);
            }
        }
    }

    #[test]
    fn few_bytes_that_stand_for_many_wait_until_there_is_room() {
        let plain = vec![0; 64 << 20];
        let packed = Packer::new().unwrap().pack(&plain).unwrap();
        let mut unpacker = Unpacker::new().unwrap();
        let (mut at, mut all) = (0, 0);
        loop {
            let mut out = Vec::new();
            at += unpacker.unpack(&packed[at..], &mut out, 1 << 20).unwrap();
            assert!(out.len() <= (1 << 20) + STEP);
            all += out.len();
            if out.is_empty() {
                break;
            }
        }
        assert_eq!((at, all), (packed.len(), plain.len()));
    }

    #[test]
    fn looking_when_nothing_has_come_is_no_error() {
        let (mut packer, mut unpacker) = (Packer::new().unwrap(), Unpacker::new().unwrap());
        for plain in [vec![7; 10], vec![7; STEP], vec![7; 3 * STEP]] {
            let packed = packer.pack(&plain).unwrap();
            let mut out = Vec::new();
            assert_eq!(unpacker.unpack(&packed, &mut out, usize::MAX).unwrap(), packed.len());
            for _ in 0..100 {
                assert_eq!(unpacker.unpack(&[], &mut out, usize::MAX).unwrap(), 0);
            }
            assert_eq!(out, plain);
        }
    }

    #[test]
    fn garbage_is_refused() {
        let mut out = Vec::new();
        assert!(Unpacker::new().unwrap().unpack(&[7; 100], &mut out, 1000).is_err());
    }
}
