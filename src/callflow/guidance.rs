//! A WAV file that somebody uploads, as the PBX plays it: µ-law, 8,000 samples a second, one channel, at the level of a telephone.
//!
//! Invariant: pure; two conversions of a file are byte-equal. The file is other people's data: everything that is read of it is
//! bounded and checked, and what cannot be played is refused with the reason.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "samples and their positions are within the limits of a file that was checked"
)]

use std::f64::consts::PI;
use std::time::Duration;

use sha2::{Digest, Sha256};

use super::wav::{Recording, SAMPLE_RATE, SILENCE_DBFS};
use crate::contract::sound::{SOUND_FOLDER, SoundKind};

/// Longest guidance.
pub const GUIDANCE_MAX: Duration = Duration::from_secs(60);
/// Longest announcement: Asterisk notices only at its end that a caller has hung up.
pub const ANNOUNCEMENT_MAX: Duration = Duration::from_secs(2);
/// Longest announcement of an account whose operators also hear who calls and from where: the longest sounds for that take the rest
/// of the two seconds.
pub const ANNOUNCEMENT_WITH_CALLER_MAX: Duration = Duration::from_millis(700);
/// Longest announcement, in milliseconds, of an account whose operators also hear who calls and from where, or not.
#[must_use]
pub fn announcement_ms_max(announces_caller: bool) -> u64 {
    let most = if announces_caller { ANNOUNCEMENT_WITH_CALLER_MAX } else { ANNOUNCEMENT_MAX };
    u64::try_from(most.as_millis()).unwrap_or(u64::MAX)
}

/// Shortest sound.
const SOUND_MIN: Duration = Duration::from_millis(200);
/// Samples a second that are read.
const RATES: std::ops::RangeInclusive<u32> = 8_000..=96_000;
/// Most channels.
const CHANNELS_MAX: u16 = 8;
/// Highest frequency that a telephone carries.
const CUTOFF_HZ: f64 = 3_400.0;
/// Zero crossings of the filter on each side.
const FILTER_CROSSINGS: f64 = 16.0;
/// The level of speech, in dB below the loudest possible.
const LEVEL_DBFS: f64 = -22.0;
/// The loudest sample, in parts of the loudest possible.
const PEAK_MAX: f64 = 0.9;
/// Hexadecimal digits of a name.
const NAME_CHARS: usize = 16;

/// A sound as the PBX plays it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guidance {
    /// One byte a sample (G.711 µ-law).
    pub ulaw: Vec<u8>,
}

/// Why a file cannot be played to callers.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GuidanceError {
    /// Not a WAV file.
    #[error("it is no WAV file (RIFF/WAVE); save the sound as WAV, PCM")]
    NotWav,
    /// A WAV file of another form.
    #[error("it is a WAV file with {0}; save it as WAV, PCM, 8 to 96 kHz, 8 to 32 bit")]
    Unsupported(String),
    /// Too short.
    #[error("it is {0} ms long; a sound has at least 200 ms")]
    TooShort(u64),
    /// Too long.
    #[error("it is {ms} ms long, and may be {most_ms} ms")]
    TooLong {
        /// Its length.
        ms: u64,
        /// The longest.
        most_ms: u64,
    },
    /// Nothing can be heard.
    #[error("nothing can be heard in it: it is quieter than {SILENCE_DBFS} dBFS throughout")]
    Silent,
}

/// The form of a WAV file.
#[derive(Debug, Clone, Copy)]
struct Form {
    tag: u16,
    channels: u16,
    rate: u32,
    bits: u16,
}

impl Guidance {
    /// Reads and converts a WAV file.
    ///
    /// # Errors
    /// Says what the file is, and what is read.
    pub fn of_wav(file: &[u8], kind: SoundKind) -> Result<Self, GuidanceError> {
        let (form, data) = parts(file)?;
        form.checked()?;
        let samples = form.samples(data);
        let ms = samples.len() as u64 * 1_000 / u64::from(form.rate);
        let most_ms = match kind {
            SoundKind::Guidance => GUIDANCE_MAX,
            SoundKind::Announcement => ANNOUNCEMENT_MAX,
        };
        let most_ms = u64::try_from(most_ms.as_millis()).unwrap_or(u64::MAX);
        if ms > most_ms {
            return Err(GuidanceError::TooLong { ms, most_ms });
        }
        if ms < u64::try_from(SOUND_MIN.as_millis()).unwrap_or(0) {
            return Err(GuidanceError::TooShort(ms));
        }
        let mut samples = resampled(&samples, form.rate);
        if !level(&mut samples) {
            return Err(GuidanceError::Silent);
        }
        Ok(Self { ulaw: samples.iter().map(|sample| to_ulaw(*sample)).collect() })
    }

    /// How long it is, in milliseconds.
    #[must_use]
    pub fn ms(&self) -> u64 {
        self.ulaw.len() as u64 * 1_000 / u64::from(SAMPLE_RATE)
    }

    /// Its name at the PBX: made of what is heard.
    #[must_use]
    pub fn name(&self) -> String {
        let digest = Sha256::digest(&self.ulaw);
        let nibbles = digest.iter().flat_map(|byte| [byte >> 4, byte & 15]);
        let digits: String =
            nibbles.filter_map(|nibble| char::from_digit(nibble.into(), 16)).take(NAME_CHARS).collect();
        format!("{SOUND_FOLDER}/{digits}")
    }

    /// A file that every browser plays.
    #[must_use]
    pub fn to_wav(&self) -> Vec<u8> {
        Recording::of_samples(self.ulaw.iter().map(|byte| of_ulaw(*byte)).collect()).to_bytes()
    }
}

/// The form and the samples' bytes of a WAV file.
fn parts(file: &[u8]) -> Result<(Form, &[u8]), GuidanceError> {
    let rest = file.strip_prefix(b"RIFF").and_then(|rest| rest.get(4..)).ok_or(GuidanceError::NotWav)?;
    let mut rest = rest.strip_prefix(b"WAVE").ok_or(GuidanceError::NotWav)?;
    let mut form = None;
    while let Some((head, body)) = rest.split_at_checked(8) {
        let length = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
        if head.starts_with(b"data") {
            let form = form.ok_or(GuidanceError::NotWav)?;
            // A recorder that was stopped, or that writes into a pipe, leaves the length 0 or too large.
            let length = if length == 0 { body.len() } else { length.min(body.len()) };
            return Ok((form, &body[..length]));
        }
        let Some((chunk, after)) = body.split_at_checked(length.saturating_add(length % 2)) else { break };
        if head.starts_with(b"fmt ") {
            form = Form::read(chunk);
        }
        rest = after;
    }
    Err(GuidanceError::NotWav)
}

impl Form {
    fn read(chunk: &[u8]) -> Option<Self> {
        let two = |at: usize| Some(u16::from_le_bytes(chunk.get(at..at + 2)?.try_into().ok()?));
        let rate = u32::from_le_bytes(chunk.get(4..8)?.try_into().ok()?);
        // An extensible form names the real one in its identifier.
        let tag = if two(0)? == 0xfffe { two(24)? } else { two(0)? };
        Some(Self { tag, channels: two(2)?, rate, bits: two(14)? })
    }

    fn checked(self) -> Result<(), GuidanceError> {
        let unsupported = |what: String| Err(GuidanceError::Unsupported(what));
        if !(1..=CHANNELS_MAX).contains(&self.channels) {
            return unsupported(format!("{} channels", self.channels));
        }
        if !RATES.contains(&self.rate) {
            return unsupported(format!("{} samples a second", self.rate));
        }
        match (self.tag, self.bits) {
            (1, 8 | 16 | 24 | 32) | (3, 32) | (6 | 7, 8) => Ok(()),
            (1 | 3, bits) => unsupported(format!("{bits} bit")),
            (tag, _) => unsupported(format!("the coding {tag}")),
        }
    }

    /// The channels' mean, from -1 to 1.
    fn samples(self, data: &[u8]) -> Vec<f64> {
        let (bytes, channels) = (usize::from(self.bits / 8), usize::from(self.channels));
        let frames = data.chunks_exact(bytes * channels);
        let mean = |frame: &[u8]| {
            let sum: f64 = frame.chunks_exact(bytes).map(|bytes| self.sample(bytes)).sum();
            sum / f64::from(self.channels)
        };
        frames.map(mean).collect()
    }

    fn sample(self, bytes: &[u8]) -> f64 {
        match (self.tag, bytes) {
            (7, [byte]) => f64::from(of_ulaw(*byte)) / 32_768.0,
            (6, [byte]) => f64::from(of_alaw(*byte)) / 32_768.0,
            (_, [byte]) => (f64::from(*byte) - 128.0) / 128.0,
            (_, [a, b]) => f64::from(i16::from_le_bytes([*a, *b])) / 32_768.0,
            (_, [a, b, c]) => f64::from(i32::from_le_bytes([0, *a, *b, *c])) / 2_147_483_648.0,
            (3, [a, b, c, d]) => {
                let value = f64::from(f32::from_le_bytes([*a, *b, *c, *d]));
                if value.is_finite() { value.clamp(-1.0, 1.0) } else { 0.0 }
            }
            (_, [a, b, c, d]) => f64::from(i32::from_le_bytes([*a, *b, *c, *d])) / 2_147_483_648.0,
            _ => 0.0,
        }
    }
}

/// The samples at 8,000 a second, without what a telephone does not carry.
fn resampled(samples: &[f64], rate: u32) -> Vec<f64> {
    let rate = f64::from(rate);
    let step = rate / f64::from(SAMPLE_RATE);
    // Of one sample of the source: how many cycles the filter lets through.
    let pass = 2.0 * CUTOFF_HZ / rate;
    let reach = FILTER_CROSSINGS / pass;
    let count = (samples.len() as f64 / step) as usize;
    let at = |n: usize| {
        let centre = n as f64 * step;
        let first = (centre - reach).ceil().max(0.0) as usize;
        let last = ((centre + reach).floor().max(0.0) as usize).min(samples.len().saturating_sub(1));
        let mut sum = 0.0;
        for (position, sample) in samples.iter().enumerate().take(last + 1).skip(first) {
            let away = position as f64 - centre;
            let x = PI * pass * away;
            let sinc = if x.abs() < 1e-9 { 1.0 } else { x.sin() / x };
            let window = (PI * away / (2.0 * reach)).cos().powi(2);
            sum += sample * sinc * window;
        }
        sum * pass
    };
    (0..count).map(at).collect()
}

/// Brings speech to its level; false if nothing can be heard.
fn level(samples: &mut [f64]) -> bool {
    let window = SAMPLE_RATE as usize / 4;
    let power =
        |window: &[f64]| window.iter().map(|sample| sample * sample).sum::<f64>() / window.len() as f64;
    let loudest = samples.chunks(window).map(power).fold(0.0, f64::max);
    let silence = 10_f64.powf(SILENCE_DBFS / 10.0);
    if loudest < silence {
        return false;
    }
    // The mean of what is spoken, not of the pauses: windows within 20 dB of the loudest.
    let spoken: Vec<f64> =
        samples.chunks(window).map(power).filter(|power| *power > loudest / 100.0).collect();
    let mean = spoken.iter().sum::<f64>() / spoken.len() as f64;
    let peak = samples.iter().fold(0.0_f64, |peak, sample| peak.max(sample.abs()));
    let gain = (10_f64.powf(LEVEL_DBFS / 20.0) / mean.sqrt()).min(PEAK_MAX / peak);
    samples.iter_mut().for_each(|sample| *sample *= gain);
    true
}

fn to_ulaw(sample: f64) -> u8 {
    const BIAS: i32 = 0x84;
    const CLIP: i32 = 32_635;
    let value = (sample * 32_768.0).round() as i32;
    let sign = if value < 0 { 0x80_u8 } else { 0 };
    let value = value.abs().min(CLIP) + BIAS;
    let exponent = (7 - (value.leading_zeros() as i32 - 17)).clamp(0, 7);
    let mantissa = (value >> (exponent + 3)) & 0x0f;
    !(sign | ((exponent as u8) << 4) | mantissa as u8)
}

fn of_ulaw(byte: u8) -> i16 {
    let byte = !byte;
    let exponent = (byte >> 4) & 7;
    let value = (((i32::from(byte & 0x0f) << 3) + 0x84) << exponent) - 0x84;
    let value = if byte & 0x80 == 0 { value } else { -value };
    value as i16
}

fn of_alaw(byte: u8) -> i16 {
    let byte = byte ^ 0x55;
    let exponent = (byte >> 4) & 7;
    let mantissa = i32::from(byte & 0x0f) << 4;
    let value = match exponent {
        0 => mantissa + 8,
        _ => (mantissa + 0x108) << (exponent - 1),
    };
    (if byte & 0x80 == 0 { -value } else { value }) as i16
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// A WAV file of a tone.
    fn wav(form: (u16, u16, u32, u16), seconds: f64, hz: f64, loud: f64) -> Vec<u8> {
        let (tag, channels, rate, bits) = form;
        let mut data = Vec::new();
        for n in 0..(seconds * f64::from(rate)) as usize {
            let value = loud * (2.0 * PI * hz * n as f64 / f64::from(rate)).sin();
            for _ in 0..channels {
                match (tag, bits) {
                    (7, _) => data.push(to_ulaw(value)),
                    (3, _) => data.extend((value as f32).to_le_bytes()),
                    (_, 8) => data.push((value * 127.0 + 128.0).round() as u8),
                    (_, 16) => data.extend(((value * 32_767.0) as i16).to_le_bytes()),
                    (_, 24) => data.extend(&((value * 8_388_607.0) as i32).to_le_bytes()[..3]),
                    _ => data.extend(((value * 2_147_483_647.0) as i32).to_le_bytes()),
                }
            }
        }
        let frame = channels * bits / 8;
        let mut file = b"RIFF\0\0\0\0WAVEfmt ".to_vec();
        file.extend(16_u32.to_le_bytes());
        file.extend(tag.to_le_bytes());
        file.extend(channels.to_le_bytes());
        file.extend(rate.to_le_bytes());
        file.extend((rate * u32::from(frame)).to_le_bytes());
        file.extend(frame.to_le_bytes());
        file.extend(bits.to_le_bytes());
        file.extend(b"LIST\x03\0\0\0abc\0data");
        file.extend((data.len() as u32).to_le_bytes());
        file.extend(data);
        file
    }

    /// The power at this frequency, in parts of all.
    fn share(samples: &[f64], hz: f64) -> f64 {
        let turn = 2.0 * PI * hz / f64::from(SAMPLE_RATE);
        let (mut re, mut im) = (0.0, 0.0);
        for (n, sample) in samples.iter().enumerate() {
            re += sample * (turn * n as f64).cos();
            im += sample * (turn * n as f64).sin();
        }
        let all: f64 = samples.iter().map(|sample| sample * sample).sum();
        2.0 * (re * re + im * im) / samples.len() as f64 / all
    }

    fn heard(guidance: &Guidance) -> Vec<f64> {
        guidance.ulaw.iter().map(|byte| f64::from(of_ulaw(*byte)) / 32_768.0).collect()
    }

    #[test]
    fn whatever_form_a_file_has_the_same_tone_is_heard_at_the_same_level() {
        for form in [
            (1, 1, 8_000, 16),
            (1, 2, 44_100, 16),
            (1, 1, 48_000, 24),
            (1, 1, 16_000, 8),
            (1, 1, 22_050, 32),
            (3, 2, 96_000, 32),
            (7, 1, 8_000, 8),
        ] {
            for loud in [0.9, 0.05] {
                let guidance = Guidance::of_wav(&wav(form, 1.0, 1_000.0, loud), SoundKind::Guidance).unwrap();
                assert!((990..=1_000).contains(&guidance.ms()), "{form:?}: {} ms", guidance.ms());
                let samples = heard(&guidance);
                let power = samples.iter().map(|sample| sample * sample).sum::<f64>() / samples.len() as f64;
                assert!((10.0 * power.log10() - LEVEL_DBFS).abs() < 1.0, "{form:?} {loud}: {power}");
                assert!(share(&samples, 1_000.0) > 0.98, "{form:?} {loud}: {}", share(&samples, 1_000.0));
            }
        }
        // What a telephone does not carry is not folded into what it does: 7 kHz would be heard as 1 kHz.
        let mut both = wav((1, 1, 16_000, 16), 1.0, 1_000.0, 0.2);
        let high = wav((1, 1, 16_000, 16), 1.0, 7_000.0, 0.7);
        let start = both.len() - 32_000;
        for at in (start..both.len()).step_by(2) {
            let of = |file: &[u8]| i16::from_le_bytes([file[at], file[at + 1]]);
            let sum = (of(&both) + of(&high)).to_le_bytes();
            both[at..at + 2].copy_from_slice(&sum);
        }
        let samples = heard(&Guidance::of_wav(&both, SoundKind::Guidance).unwrap());
        assert!(share(&samples, 1_000.0) > 0.95, "{}", share(&samples, 1_000.0));
    }

    #[test]
    fn what_cannot_be_played_is_refused_with_the_reason() {
        let of = |file: &[u8], kind| Guidance::of_wav(file, kind).unwrap_err().to_string();
        let pcm = (1, 1, 8_000, 16);
        for (file, kind, word) in [
            (b"ID3\x04mp3".to_vec(), SoundKind::Guidance, "no WAV file"),
            (b"RIFF\0\0\0\0WAVEdata\0\0\0\0".to_vec(), SoundKind::Guidance, "no WAV file"),
            (wav((85, 1, 8_000, 16), 1.0, 500.0, 0.5), SoundKind::Guidance, "the coding 85"),
            (wav((1, 1, 8_000, 12), 1.0, 500.0, 0.5), SoundKind::Guidance, "12 bit"),
            (wav((1, 1, 4_000, 16), 1.0, 500.0, 0.5), SoundKind::Guidance, "4000 samples"),
            (wav((1, 9, 8_000, 16), 1.0, 500.0, 0.5), SoundKind::Guidance, "9 channels"),
            (wav(pcm, 0.1, 500.0, 0.5), SoundKind::Guidance, "100 ms"),
            (wav(pcm, 61.0, 500.0, 0.5), SoundKind::Guidance, "may be 60000 ms"),
            (wav(pcm, 2.5, 500.0, 0.5), SoundKind::Announcement, "may be 2000 ms"),
            (wav(pcm, 1.0, 500.0, 0.0005), SoundKind::Guidance, "nothing can be heard"),
        ] {
            assert!(of(&file, kind).contains(word), "{word}: {}", of(&file, kind));
        }
        assert!(Guidance::of_wav(&wav(pcm, 2.0, 500.0, 0.5), SoundKind::Announcement).is_ok());
    }

    #[test]
    fn a_name_is_that_of_the_sound_and_a_browser_gets_what_the_pbx_plays() {
        let one = Guidance::of_wav(&wav((1, 1, 8_000, 16), 1.0, 500.0, 0.5), SoundKind::Guidance).unwrap();
        let other = Guidance::of_wav(&wav((1, 1, 8_000, 16), 1.0, 600.0, 0.5), SoundKind::Guidance).unwrap();
        assert_eq!(one.name().len(), SOUND_FOLDER.len() + 1 + NAME_CHARS);
        assert_ne!(one.name(), other.name());
        let again = Recording::read(&one.to_wav()).unwrap();
        assert_eq!(again.duration(), Duration::from_millis(one.ms()));
    }

    #[test]
    fn every_byte_of_the_code_is_that_of_its_value() {
        for byte in 0..=u8::MAX {
            let value = of_ulaw(byte);
            // 0x7f is the negative zero.
            let expected = if byte == 0x7f { 0xff } else { byte };
            assert_eq!(to_ulaw(f64::from(value) / 32_768.0), expected, "{byte}: {value}");
        }
        assert_eq!((of_alaw(0xd5), of_alaw(0x55), of_alaw(0xaa), of_alaw(0x2a)), (8, -8, 32_256, -32_256));
    }

    proptest! {
        /// Any bytes after a header are read or refused, and never panic.
        #[test]
        fn any_file_is_read_or_refused(mut bytes in prop::collection::vec(any::<u8>(), 0..2_000), form in (0_u16..9, 0_u16..4, 7_000_u32..9_000, 0_u16..40), cut in 0_usize..100) {
            let mut file = wav((1, 1, 8_000, 16), 0.0, 1.0, 0.0);
            let (tag, channels, rate, bits) = form;
            file[20..22].copy_from_slice(&tag.to_le_bytes());
            file[22..24].copy_from_slice(&channels.to_le_bytes());
            file[24..28].copy_from_slice(&rate.to_le_bytes());
            file[34..36].copy_from_slice(&bits.to_le_bytes());
            file.append(&mut bytes);
            file.truncate(file.len().saturating_sub(cut));
            let _ = Guidance::of_wav(&file, SoundKind::Guidance);
            let _ = Guidance::of_wav(&bytes, SoundKind::Guidance);
        }
    }
}
