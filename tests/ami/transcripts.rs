//! The decoder accepts every frame of the recorded Asterisk sessions and quarantines none.

use std::path::{Path, PathBuf};

use bytes::BytesMut;
use tokio_util::codec::Decoder;
use toritsugi::ami::frame::{Decoded, FrameCodec};

fn transcripts() -> Vec<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/transcripts");
    let entries = |folder: &Path| -> Vec<_> {
        std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect()
    };
    let versions = entries(&root).into_iter().filter(|path| path.is_dir());
    let mut found: Vec<_> = versions.flat_map(|version| entries(&version)).collect();
    found.retain(|path| path.extension().is_some_and(|extension| extension == "ami"));
    assert!(!found.is_empty(), "no transcripts; record some with the lab");
    found
}

#[test]
fn real_asterisk_is_never_suspect() {
    for path in transcripts() {
        let bytes = std::fs::read(&path).unwrap();
        let mut left = BytesMut::from(&bytes[..]);
        let mut codec = FrameCodec::new();
        let mut frames = 0;
        while let Some(decoded) = codec.decode(&mut left).unwrap() {
            match decoded {
                Decoded::Banner(version) => assert!(!version.is_empty()),
                Decoded::Frame(_) => frames += 1,
                Decoded::Quarantined(set_aside) => {
                    panic!("{}: {} {:?}", path.display(), set_aside.reason, set_aside.frame)
                }
            }
        }
        assert!(frames > 0, "{}: no frames", path.display());
    }
}
