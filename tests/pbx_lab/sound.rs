//! Who heard whom: each party plays its own tone, and a Goertzel filter looks for each tone in a recording.
//!
//! A Hann window keeps one tone from leaking into another's bin: 100 ms are enough for tones 40 Hz apart, and 20 ms
//! for the lab's regular tones, which are 400 Hz apart.
use std::collections::BTreeSet;
use std::f64::consts::TAU;
use std::ops::Range;
use std::path::PathBuf;
use std::time::{Duration, SystemTime};

use super::events::Event;
use super::rig::Lab;
use crate::support::wait::eventually;

const SAMPLES_PER_SECOND: usize = 8_000;
const WAV_HEADER_BYTES: usize = 44;
/// Peak amplitude, of 32,767, from which a tone counts as heard. The far end plays its tones about ten times louder; codec
/// noise stays far below.
const HEARD_AMPLITUDE_MIN: f64 = 300.0;
/// A quarter of a second.
const LIKENESS_SAMPLES: usize = SAMPLES_PER_SECOND / 4;

/// A tone, by its frequency in Hz.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Tone(u32);

impl Tone {
    pub(crate) const CALLER: Self = Self(400);
    /// The prompt that a contact hears before pressing 1.
    pub(crate) const PROMPT: Self = Self(500);
    /// Music on hold.
    pub(crate) const MUSIC: Self = Self(800);
    pub(crate) const OPERATOR: Self = Self(1001);
    /// Extension 100, which only looks like 1001.
    pub(crate) const LOOK_ALIKE_100: Self = Self(1200);
    /// Extension 10010, which only looks like 1001.
    pub(crate) const LOOK_ALIKE_10010: Self = Self(1300);
    pub(crate) const SUPERVISOR: Self = Self(1500);
    pub(crate) const CONTACT: Self = Self(2200);
    /// Spare: a second caller, a second supervisor.
    pub(crate) const SPARE_1: Self = Self(1750);
    /// Spare.
    pub(crate) const SPARE_2: Self = Self(2600);

    const ALL: [Self; 10] = [
        Self::CALLER,
        Self::PROMPT,
        Self::MUSIC,
        Self::OPERATOR,
        Self::LOOK_ALIKE_100,
        Self::LOOK_ALIKE_10010,
        Self::SUPERVISOR,
        Self::CONTACT,
        Self::SPARE_1,
        Self::SPARE_2,
    ];

    pub(crate) fn hertz(self) -> u32 {
        self.0
    }
}

/// A span of whole seconds of a recording.
pub(crate) type Seconds = Range<usize>;

/// What one party heard, from the moment it answered.
#[derive(Clone, Debug)]
pub(crate) struct Recording {
    samples: Vec<i16>,
    /// When the party answered, on the machine's clock.
    pub(crate) started: SystemTime,
}

impl Recording {
    /// The recording that a `UserEvent: Recording` names, as soon as it is complete.
    pub(crate) async fn of(lab: &Lab, event: &Event) -> Self {
        let file = event.header("File").expect("a Recording names its file");
        let path = PathBuf::from(lab.fact("LAB_RECORDINGS")).join(format!("heard-{file}.wav"));
        let started = event.header("Started").and_then(|at| at.parse().ok());
        let started = SystemTime::UNIX_EPOCH
            + Duration::from_secs_f64(started.expect("a Recording says when it started"));
        let samples = eventually(&format!("{} is complete", path.display()), async || {
            read_complete_wav(&path).ok_or_else(|| "an incomplete file".to_owned())
        })
        .await;
        Self { samples, started }
    }

    /// What is in the file that the product made of a recording of the PBX.
    pub(crate) fn from_wav(bytes: &[u8]) -> Self {
        let samples = read_wav(bytes).expect("a WAV file with the length that it has");
        Self { samples, started: SystemTime::UNIX_EPOCH }
    }

    /// Whole seconds that were recorded.
    pub(crate) fn seconds(&self) -> usize {
        self.samples.len() / SAMPLES_PER_SECOND
    }

    /// The tones of each whole second.
    pub(crate) fn per_second(&self) -> Vec<BTreeSet<Tone>> {
        self.windows(Duration::from_secs(1))
    }

    /// The tones of each window, one after the other. At least 20 ms.
    pub(crate) fn windows(&self, window: Duration) -> Vec<BTreeSet<Tone>> {
        let chunks = self.samples.chunks_exact(samples_in(window));
        chunks.map(tones_in).collect()
    }

    /// Whether a tone sounds in these seconds, unbroken ([`is_unbroken`]) in windows of 100 ms.
    pub(crate) fn hears_throughout(&self, tone: Tone, seconds: Seconds) -> bool {
        let span = self.span(seconds);
        let chunks = span.chunks_exact(samples_in(Duration::from_millis(100)));
        is_unbroken(chunks.map(|chunk| amplitude(chunk, tone) >= HEARD_AMPLITUDE_MIN))
    }

    /// Whether a tone sounds in the last 300 ms, unbroken ([`is_unbroken`]) in windows of 100 ms.
    pub(crate) fn ends_with(&self, tone: Tone) -> bool {
        let chunks = self.samples.rchunks_exact(samples_in(Duration::from_millis(100))).take(3);
        !self.samples.is_empty()
            && is_unbroken(chunks.map(|chunk| amplitude(chunk, tone) >= HEARD_AMPLITUDE_MIN))
    }

    /// Whether a tone sounds in any 100 ms of the whole recording.
    pub(crate) fn ever_hears(&self, tone: Tone) -> bool {
        let mut chunks = self.samples.chunks(samples_in(Duration::from_millis(100)));
        chunks.any(|chunk| amplitude(chunk, tone) >= HEARD_AMPLITUDE_MIN)
    }

    /// The longest gap of a tone between its first and its last sound, to 20 ms. `None` when it never sounded.
    pub(crate) fn longest_gap(&self, tone: Tone) -> Option<Duration> {
        const STEP: Duration = Duration::from_millis(20);
        let sounds: Vec<bool> = self
            .samples
            .chunks_exact(samples_in(STEP))
            .map(|chunk| amplitude(chunk, tone) >= HEARD_AMPLITUDE_MIN)
            .collect();
        let first = sounds.iter().position(|sounds| *sounds)?;
        let last = sounds.iter().rposition(|sounds| *sounds)?;
        let longest = sounds[first..=last].split(|sounds| *sounds).map(<[bool]>::len).max();
        u32::try_from(longest.unwrap_or(0)).ok().map(|steps| STEP * steps)
    }

    /// Time from the start to the first sound of a tone, to 20 ms.
    pub(crate) fn first_sound(&self, tone: Tone) -> Option<Duration> {
        const STEP: Duration = Duration::from_millis(20);
        let mut chunks = self.samples.chunks_exact(samples_in(STEP));
        let first = chunks.position(|chunk| amplitude(chunk, tone) >= HEARD_AMPLITUDE_MIN)?;
        u32::try_from(first).ok().map(|steps| STEP * steps)
    }

    /// The best correlation of the loudest quarter of a second of a sound with any position of the recording: 1 is equal, 0 has
    /// nothing in common.
    pub(crate) fn likeness(&self, sound: &Spoken) -> f64 {
        let loudest = sound.0.windows(LIKENESS_SAMPLES).step_by(LIKENESS_SAMPLES / 10);
        let loudest = loudest.max_by(|a, b| energy(a).total_cmp(&energy(b))).expect("so much sound");
        let own = energy(loudest);
        let places = self.samples.windows(LIKENESS_SAMPLES);
        let like = places.map(|place| {
            let product: f64 = place.iter().zip(loudest).map(|(a, b)| f64::from(*a) * f64::from(*b)).sum();
            product / (own * energy(place)).sqrt().max(1.0)
        });
        like.fold(0.0, f64::max)
    }

    fn span(&self, seconds: Seconds) -> &[i16] {
        let end = seconds.end * SAMPLES_PER_SECOND;
        assert!(
            end <= self.samples.len(),
            "the recording has only {} s of the {} asked for",
            self.seconds(),
            seconds.end
        );
        &self.samples[seconds.start * SAMPLES_PER_SECOND..end]
    }
}

/// Whether a sound is present in consecutive windows. Single missing windows are allowed: a PBX on a busy machine loses a
/// packet now and then, which no listener calls an interruption.
pub(crate) fn is_unbroken(windows: impl IntoIterator<Item = bool>) -> bool {
    let mut before = true;
    windows.into_iter().all(|sounds| std::mem::replace(&mut before, sounds) || sounds)
}

/// A sound file that the PBX plays.
#[derive(Clone, Debug)]
pub(crate) struct Spoken(Vec<i16>);

impl Spoken {
    /// From a file of the repository, u-law at 8 kHz.
    pub(crate) fn from_ulaw(file: &str) -> Self {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(file);
        let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(bytes.into_iter().map(from_ulaw).collect())
    }
}

/// ITU-T G.711: a sign, three bits of exponent, four of mantissa, all of it inverted.
fn from_ulaw(byte: u8) -> i16 {
    let bits = !byte;
    let magnitude = ((i16::from(bits & 0x0f) << 3) + 0x84) << ((bits & 0x70) >> 4);
    if bits & 0x80 == 0 { magnitude - 0x84 } else { 0x84 - magnitude }
}

fn energy(samples: &[i16]) -> f64 {
    samples.iter().map(|sample| f64::from(*sample).powi(2)).sum()
}

fn samples_in(window: Duration) -> usize {
    let samples = window.as_millis() as usize * SAMPLES_PER_SECOND / 1000;
    assert!(samples >= 160, "a window is at least 20 ms");
    samples
}

fn tones_in(samples: &[i16]) -> BTreeSet<Tone> {
    let heard = |tone: &Tone| amplitude(samples, *tone) >= HEARD_AMPLITUDE_MIN;
    Tone::ALL.into_iter().filter(heard).collect()
}

/// Peak amplitude of one frequency (Goertzel over Hann-weighted samples; the factor 4
/// undoes the half of the spectrum that is negative and the window's mean of one half).
fn amplitude(samples: &[i16], tone: Tone) -> f64 {
    let count = samples.len() as f64;
    let step = TAU * f64::from(tone.0) / SAMPLES_PER_SECOND as f64;
    let coefficient = 2.0 * step.cos();
    let (mut previous, mut before) = (0.0, 0.0);
    for (index, sample) in samples.iter().enumerate() {
        let weight = 0.5 - 0.5 * (TAU * index as f64 / count).cos();
        let next = f64::from(*sample) * weight + coefficient * previous - before;
        before = previous;
        previous = next;
    }
    let power = previous * previous + before * before - coefficient * previous * before;
    4.0 * power.max(0.0).sqrt() / count
}

/// The samples of a WAV file that is complete. Asterisk writes the length into the header when it closes the file.
fn read_complete_wav(path: &PathBuf) -> Option<Vec<i16>> {
    read_wav(&std::fs::read(path).ok()?)
}

fn read_wav(bytes: &[u8]) -> Option<Vec<i16>> {
    let length = bytes.get(40..WAV_HEADER_BYTES)?;
    let length = u32::from_le_bytes(length.try_into().ok()?) as usize;
    let data = bytes.get(WAV_HEADER_BYTES..)?;
    if length == 0 || length != data.len() {
        return None;
    }
    let samples = data.chunks_exact(2).map(|pair| i16::from_le_bytes([pair[0], pair[1]]));
    Some(samples.collect())
}
