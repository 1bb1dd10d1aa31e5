//! The font of reports: a file with Japanese characters, which the configuration names or the system has.
//!
//! A report carries the outlines of the characters that it uses, and no others. Both fonts below may be embedded under their
//! licences (IPA Font License; SIL Open Font License).

use std::path::{Path, PathBuf};
use std::sync::Arc;

use skrifa::raw::{FileRef, TableProvider as _};
use skrifa::{FontRef, MetadataProvider as _};

/// The packages of Debian and Ubuntu with a font for reports.
pub const FONT_PACKAGES: &str = "fonts-ipaexfont-gothic or fonts-noto-cjk";
/// Where systems have fonts that a report can use, in the order of preference.
const SYSTEM_FONTS: [&str; 7] = [
    "/usr/share/fonts/opentype/ipaexfont-gothic/ipaexg.ttf",
    "/usr/share/fonts/truetype/fonts-japanese-gothic.ttf",
    "/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-sans-cjk-fonts/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/google-noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/noto-cjk/NotoSansCJK-Regular.ttc",
    "/usr/share/fonts/ipa-ex-gothic-fonts/ipaexg.ttf",
];
/// Longest font file, in bytes.
const FONT_BYTES_MAX: u64 = 64 * 1024 * 1024;
/// Characters that every report uses.
const NEEDED: &str = "月次報告書応答率入電放棄時間外あふれ欠測0123456789%÷";

/// Why there is no font.
#[derive(Debug, thiserror::Error)]
pub enum FontError {
    /// The system has none, and none is named.
    #[error("no Japanese font for reports: install {FONT_PACKAGES}, or set font in [reports]")]
    None,
    /// The file cannot be read.
    #[error("the font {file} of [reports] cannot be read; name a TrueType or OpenType file with Japanese characters", file = file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// Why.
        source: std::io::Error,
    },
    /// The file is no font.
    #[error("{file} is no font that a report can use: {why}; name a TrueType or OpenType file with Japanese characters, or install {FONT_PACKAGES}", file = file.display())]
    Unusable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        why: &'static str,
    },
}

/// A font that was looked at. Clones share its bytes.
#[derive(Clone)]
pub struct ReportFont {
    file: PathBuf,
    pub(super) bytes: Arc<Vec<u8>>,
}

impl std::fmt::Debug for ReportFont {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ReportFont").field("file", &self.file).finish_non_exhaustive()
    }
}

impl ReportFont {
    /// Reads the named font, or the first that the system has.
    ///
    /// # Errors
    /// [`FontError`]: what to install or to write.
    pub fn load(named: Option<&Path>) -> Result<Self, FontError> {
        let file = match named {
            Some(file) => file.to_owned(),
            None => Self::of_system().ok_or(FontError::None)?,
        };
        let unreadable = |source| FontError::Unreadable { file: file.clone(), source };
        if std::fs::metadata(&file).map_err(unreadable)?.len() > FONT_BYTES_MAX {
            return Err(FontError::Unusable { file, why: "it has more than 64 MiB" });
        }
        let bytes = Arc::new(std::fs::read(&file).map_err(unreadable)?);
        match Self::problem_of(&bytes) {
            Some(why) => Err(FontError::Unusable { file, why }),
            None => Ok(Self { file, bytes }),
        }
    }

    /// The file.
    #[must_use]
    pub fn file(&self) -> &Path {
        &self.file
    }

    fn of_system() -> Option<PathBuf> {
        SYSTEM_FONTS.iter().map(PathBuf::from).find(|file| file.is_file())
    }

    fn problem_of(bytes: &[u8]) -> Option<&'static str> {
        if !matches!(FileRef::new(bytes), Ok(FileRef::Font(_) | FileRef::Collection(_))) {
            return Some("it is neither TrueType nor OpenType");
        }
        let Ok(font) = FontRef::from_index(bytes, 0) else { return Some("it is damaged") };
        if font.glyf().is_err() && font.cff().is_err() && font.cff2().is_err() {
            return Some("it has no outlines");
        }
        let glyphs = font.charmap();
        NEEDED.chars().any(|c| glyphs.map(c).is_none()).then_some("it lacks Japanese characters")
    }
}
