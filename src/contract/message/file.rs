//! Files of messages: what they are is read from their content, never from their name.
//!
//! Invariant: the type of a file is one of ours, and its name has no control character and no path.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use crate::identity::printable;

/// Most files of a message.
pub const MESSAGE_FILES_MAX: usize = 5;
/// Largest file, in bytes.
pub const MESSAGE_FILE_BYTES_MAX: usize = 5 * 1024 * 1024;
/// Most bytes of all files of a message: in a mail they are a third larger, and many servers take 10 MB.
pub const MESSAGE_FILES_BYTES_MAX: u64 = 7 * 1024 * 1024;
/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 100;

/// What a file is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[schema(as = MessageFileType)]
#[serde(rename_all = "lowercase")]
pub enum FileType {
    /// A document.
    Pdf,
    /// A recording.
    Wav,
    /// A recording.
    Mp3,
    /// A picture.
    Png,
    /// A picture.
    Jpeg,
    /// Pages of a fax.
    Tiff,
    /// Text.
    Txt,
    /// A table.
    Csv,
}

impl FileType {
    /// What begins with these bytes.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Option<Self> {
        match bytes {
            [b'%', b'P', b'D', b'F', b'-', ..] => Some(Self::Pdf),
            [b'R', b'I', b'F', b'F', _, _, _, _, b'W', b'A', b'V', b'E', ..] => Some(Self::Wav),
            [b'I', b'D', b'3', ..] | [0xff, 0xfb | 0xf3 | 0xf2, ..] => Some(Self::Mp3),
            [0x89, b'P', b'N', b'G', b'\r', b'\n', 0x1a, b'\n', ..] => Some(Self::Png),
            [0xff, 0xd8, 0xff, ..] => Some(Self::Jpeg),
            [b'I', b'I', 0x2a, 0, ..] | [b'M', b'M', 0, 0x2a, ..] => Some(Self::Tiff),
            _ => None,
        }
    }

    /// Its media type.
    #[must_use]
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Wav => "audio/wav",
            Self::Mp3 => "audio/mpeg",
            Self::Png => "image/png",
            Self::Jpeg => "image/jpeg",
            Self::Tiff => "image/tiff",
            Self::Txt => "text/plain; charset=utf-8",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    /// The endings of names of such files.
    fn endings(self) -> &'static [&'static str] {
        match self {
            Self::Pdf => &["pdf"],
            Self::Wav => &["wav"],
            Self::Mp3 => &["mp3"],
            Self::Png => &["png"],
            Self::Jpeg => &["jpg", "jpeg"],
            Self::Tiff => &["tif", "tiff"],
            Self::Txt => &["txt"],
            Self::Csv => &["csv"],
        }
    }

    /// What text with this name is: only the name tells a table from a text, and anything else from both.
    fn of_text(name: &str, bytes: &[u8]) -> Option<Self> {
        let text = std::str::from_utf8(bytes).ok().filter(|text| !text.is_empty())?;
        if text.chars().any(|c| c.is_control() && !matches!(c, '\n' | '\r' | '\t')) {
            return None;
        }
        [Self::Txt, Self::Csv].into_iter().find(|kind| kind.ends(name))
    }

    /// Whether a name has an ending of this type.
    fn ends(self, name: &str) -> bool {
        let ending = name.rsplit_once('.').map(|(_, ending)| ending.to_ascii_lowercase());
        ending.is_some_and(|ending| self.endings().contains(&ending.as_str()))
    }
}

/// A file of a message, without its content.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct MessageFile {
    /// Its name.
    pub name: String,
    /// What it is.
    #[serde(rename = "type")]
    pub file_type: FileType,
    /// How large it is.
    pub bytes: u64,
}

/// Why a file is none of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// Its content is none of the types.
    #[error("the file is none of: PDF, WAV, MP3, PNG, JPEG, TIFF, or .txt and .csv in UTF-8")]
    Type,
    /// Its name says that it is something else.
    #[error("the file is not what the end of its name says: name it .{0}")]
    Ending(&'static str),
    /// It is too large.
    #[error("the file is larger than {MESSAGE_FILE_BYTES_MAX} bytes")]
    TooLarge,
    /// Its name says nothing.
    #[error("the file needs a name of 1 to {NAME_CHARS_MAX} characters, without a path")]
    Name,
}

/// A file with its content, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewFile {
    /// What is known of it.
    pub file: MessageFile,
    /// Its content.
    pub content: Vec<u8>,
}

impl NewFile {
    /// Reads the type from the content, and checks name and size. The name must end as files of that type do, so that a recipient's
    /// computer opens nothing else.
    ///
    /// # Errors
    /// See [`FileError`].
    pub fn new(name: &str, content: Vec<u8>) -> Result<Self, FileError> {
        let file_type = FileType::of(&content)
            .or_else(|| FileType::of_text(name.trim(), &content))
            .ok_or(FileError::Type)?;
        if content.len() > MESSAGE_FILE_BYTES_MAX {
            return Err(FileError::TooLarge);
        }
        let name = printable(name, usize::MAX).ok_or(FileError::Name)?;
        if name.chars().count() > NAME_CHARS_MAX || name.contains(['/', '\\']) || name.starts_with('.') {
            return Err(FileError::Name);
        }
        if !file_type.ends(&name) {
            return Err(FileError::Ending(file_type.endings()[0]));
        }
        let bytes = content.len() as u64;
        Ok(Self { file: MessageFile { name: name.to_string(), file_type, bytes }, content })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_what_its_content_is() {
        let wav = b"RIFF\x24\0\0\0WAVEfmt ".to_vec();
        let file = NewFile::new(" 伝言.wav ", wav.clone()).unwrap();
        assert_eq!((file.file.name.as_str(), file.file.file_type), ("伝言.wav", FileType::Wav));
        assert_eq!(file.file.bytes, wav.len() as u64);
        for (name, content, expected) in [
            ("a.pdf", b"MZ\x90\0".to_vec(), FileError::Type),
            ("a.pdf", Vec::new(), FileError::Type),
            ("../a.wav", wav.clone(), FileError::Name),
            ("a\\b.wav", wav.clone(), FileError::Name),
            (".wav", wav.clone(), FileError::Name),
            ("\r\n", wav.clone(), FileError::Name),
            ("a.exe", wav.clone(), FileError::Ending("wav")),
            ("a", wav.clone(), FileError::Ending("wav")),
            ("a.html", b"<script>".to_vec(), FileError::Type),
            ("a.txt", b"\0\x01".to_vec(), FileError::Type),
            ("a.csv", b"\x82\xa0".to_vec(), FileError::Type),
            ("a.wav", [wav, vec![0; MESSAGE_FILE_BYTES_MAX]].concat(), FileError::TooLarge),
        ] {
            assert_eq!(NewFile::new(name, content), Err(expected), "{name}");
        }
    }

    #[test]
    fn text_is_known_by_its_name() {
        for (name, kind) in [("見積.txt", FileType::Txt), ("a.b.CSV", FileType::Csv)] {
            assert_eq!(NewFile::new(name, "品番,数\r\n".into()).unwrap().file.file_type, kind);
        }
        assert_eq!(NewFile::new("地図.JPEG", b"\xff\xd8\xff\xe0".to_vec()).unwrap().file.name, "地図.JPEG");
    }

    #[test]
    fn every_type_is_known_by_its_first_bytes() {
        for (bytes, expected) in [
            (&b"%PDF-1.7"[..], FileType::Pdf),
            (b"ID3\x04", FileType::Mp3),
            (b"\xff\xfb\x90", FileType::Mp3),
            (b"\x89PNG\r\n\x1a\n", FileType::Png),
            (b"\xff\xd8\xff\xe0", FileType::Jpeg),
            (b"II*\0", FileType::Tiff),
            (b"MM\0*", FileType::Tiff),
        ] {
            assert_eq!(FileType::of(bytes), Some(expected));
        }
        assert_eq!(FileType::of(b"<html>"), None);
    }
}
