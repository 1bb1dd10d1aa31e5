//! A recording as Asterisk writes it (format `wav`: PCM, 16 bit, one channel, 8,000 samples a second), and whether anybody spoke.
//!
//! Invariant: pure. The file is other people's data: everything that is read of it is bounded and checked. A file whose writer
//! was killed says less in its header than it has; what is there counts.

use std::time::Duration;

/// Samples a second.
pub const SAMPLE_RATE: u32 = 8_000;
/// A shorter recording is none: the caller hung up at the tone.
pub const SPEECH_MIN: Duration = Duration::from_millis(1_500);
/// A recording in which no quarter of a second is louder than this, in dB below the loudest possible, is none.
pub const SILENCE_DBFS: f64 = -50.0;

/// Samples of the quarter of a second in which loudness is measured.
const WINDOW_SAMPLES: usize = SAMPLE_RATE as usize / 4;
/// Bytes of a header as this writes it.
const HEADER_BYTES: u32 = 44;

/// What was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Recording {
    samples: Vec<i16>,
}

/// The file is no recording of the PBX.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("it is no WAV file with 16 bit and 8,000 samples a second")]
pub struct ForeignFile;

impl Recording {
    /// Reads a file.
    ///
    /// # Errors
    /// It is no file that Asterisk writes.
    pub fn read(bytes: &[u8]) -> Result<Self, ForeignFile> {
        let rest = bytes.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)).ok_or(ForeignFile)?;
        let mut rest = rest.strip_prefix(b"WAVE").ok_or(ForeignFile)?;
        let mut is_known = false;
        while let Some((head, body)) = rest.split_at_checked(8) {
            let length = head.get(4..8).and_then(|four| <[u8; 4]>::try_from(four).ok()).ok_or(ForeignFile)?;
            let length = u32::from_le_bytes(length) as usize;
            if head.starts_with(b"data") {
                if !is_known {
                    return Err(ForeignFile);
                }
                // 0: its writer was killed before it wrote the length.
                let length = if length == 0 { body.len() } else { length.min(body.len()) };
                let samples =
                    body[..length].chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
                return Ok(Self { samples: samples.collect() });
            }
            let Some((chunk, after)) = body.split_at_checked(length.saturating_add(length % 2)) else {
                break;
            };
            if head.starts_with(b"fmt ") {
                is_known = is_format(chunk);
            }
            rest = after;
        }
        Err(ForeignFile)
    }

    /// A recording of these samples.
    #[must_use]
    pub fn of_samples(samples: Vec<i16>) -> Self {
        Self { samples }
    }

    /// How long it is.
    #[must_use]
    pub fn duration(&self) -> Duration {
        Duration::from_millis(self.samples.len() as u64 * 1_000 / u64::from(SAMPLE_RATE))
    }

    /// Whether nobody spoke.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.duration() < SPEECH_MIN || self.loudest() < SILENCE_DBFS
    }

    /// The loudness of the loudest quarter of a second, in dB below the loudest possible.
    #[must_use]
    pub fn loudest(&self) -> f64 {
        let power = |window: &[i16]| {
            let sum: f64 = window.iter().map(|sample| f64::from(*sample).powi(2)).sum();
            sum / f64::from(u32::try_from(window.len().max(1)).unwrap_or(u32::MAX))
        };
        let loudest = self.samples.chunks(WINDOW_SAMPLES).map(power).fold(0.0, f64::max);
        10.0 * (loudest / f64::from(i16::MAX).powi(2)).log10()
    }

    /// The file, with a header that says what there is.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let data: Vec<u8> = self.samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
        let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
        let mut file = Vec::with_capacity(data.len() + HEADER_BYTES as usize);
        file.extend_from_slice(b"RIFF");
        file.extend_from_slice(&length.saturating_add(HEADER_BYTES - 8).to_le_bytes());
        file.extend_from_slice(b"WAVEfmt \x10\0\0\0\x01\0\x01\0");
        file.extend_from_slice(&SAMPLE_RATE.to_le_bytes());
        file.extend_from_slice(&(SAMPLE_RATE * 2).to_le_bytes());
        file.extend_from_slice(b"\x02\0\x10\0data");
        file.extend_from_slice(&length.to_le_bytes());
        file.extend(data);
        file
    }
}

/// PCM, one channel, 8,000 samples a second, 16 bit.
fn is_format(chunk: &[u8]) -> bool {
    let at = |from: usize, bytes: &[u8]| chunk.get(from..from + bytes.len()) == Some(bytes);
    at(0, &[1, 0, 1, 0]) && at(4, &SAMPLE_RATE.to_le_bytes()) && at(14, &[16, 0])
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn tone(ms: usize, amplitude: f64) -> Vec<i16> {
        #[expect(clippy::cast_possible_truncation, reason = "a sample")]
        let sample = |n: usize| (amplitude * (n as f64 * 0.4).sin()) as i16;
        (0..ms * 8).map(sample).collect()
    }

    #[test]
    fn what_was_spoken_is_read_back_and_a_killed_writers_file_too() {
        let recording = Recording { samples: tone(2_000, 8_000.0) };
        let bytes = recording.to_bytes();
        assert_eq!(Recording::read(&bytes), Ok(recording.clone()));
        assert_eq!(recording.duration(), Duration::from_secs(2));
        assert!((recording.loudest() + 15.3).abs() < 0.5, "{}", recording.loudest());
        let mut killed = bytes.clone();
        killed[40..44].copy_from_slice(&[0; 4]);
        killed[4..8].copy_from_slice(&[0; 4]);
        assert_eq!(Recording::read(&killed), Ok(recording.clone()));
        // Cut off within a sample, with a length beyond the end.
        let cut = Recording::read(&bytes[..bytes.len() - 3]).unwrap();
        assert_eq!(cut.samples.len(), recording.samples.len() - 2);
        // A chunk that is not known, of odd length, before the data.
        let mut with_list = bytes[..36].to_vec();
        with_list.extend_from_slice(b"LIST\x03\0\0\0abc\0");
        with_list.extend_from_slice(&bytes[36..]);
        assert_eq!(Recording::read(&with_list), Ok(recording));
    }

    #[test]
    fn a_caller_who_says_nothing_leaves_nothing() {
        let mut word = vec![0; 8 * 60_000];
        word[8 * 30_000..8 * 31_000].copy_from_slice(&tone(1_000, 1_000.0));
        for (name, samples, is_empty) in [
            ("nothing", vec![], true),
            ("a second", tone(1_000, 8_000.0), true),
            ("two seconds", tone(2_000, 8_000.0), false),
            ("silence", vec![0; 80_000], true),
            ("the line's hiss", tone(10_000, 40.0), true),
            ("one word in a minute", word, false),
        ] {
            assert_eq!(Recording { samples }.is_empty(), is_empty, "{name}");
        }
    }

    #[test]
    fn another_format_is_no_recording() {
        let good = Recording { samples: tone(100, 100.0) }.to_bytes();
        for (at, byte) in [(0, b'X'), (8, b'X'), (20, 7), (22, 2), (24, 0), (34, 8), (36, b'X')] {
            let mut bytes = good.clone();
            bytes[at] = byte;
            assert_eq!(Recording::read(&bytes), Err(ForeignFile), "{at}");
        }
        for end in 0..44 {
            assert!(!Recording::read(&good[..end]).is_ok_and(|one| !one.samples.is_empty()), "{end}");
        }
    }

    proptest! {
        #[test]
        fn no_file_is_read_beyond_its_end(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let mut file = b"RIFF\0\0\0\0WAVE".to_vec();
            file.extend(bytes);
            if let Ok(recording) = Recording::read(&file) {
                prop_assert!(recording.samples.len() * 2 <= file.len());
            }
        }
    }
}
