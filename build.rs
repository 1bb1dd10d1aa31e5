//! Puts the built page (`desktop/dist`, made by `make page`) into the binary.
//!
//! It runs no Node.js and asks no network: where the page was not built, the binary is complete but for the
//! page, and says at `/` how to get it. Each file is embedded as it is, as Brotli and as gzip (`pack.mjs`).

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::time::SystemTime;
use std::{env, fs, io};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").unwrap_or_default());
    let desktop = root.join("desktop");
    let dist = desktop.join("dist");
    // A path that is not there would make cargo run this at every build.
    let _ = fs::create_dir_all(&dist);
    let sources = ["src", "public", "index.html", "package-lock.json", "vite.config.ts", "pack.mjs"];
    for watched in ["dist"].iter().chain(&sources) {
        println!("cargo:rerun-if-changed=desktop/{watched}");
    }
    let mut files = Vec::new();
    find(&dist, &mut files)?;
    files.sort();
    let built = newest(&dist.join("index.html"));
    if built.is_none() {
        println!(
            "cargo:warning=this build has no page for the desktops: run `make page` (it needs Node.js 20.19 or newer)"
        );
    } else if sources.iter().any(|source| newest(&desktop.join(source)) > built) {
        println!("cargo:warning=desktop/dist is older than the page's sources: run `make page`");
    }
    let table = table(&dist, &files);
    fs::write(PathBuf::from(env::var_os("OUT_DIR").unwrap_or_default()).join("page_files.rs"), table)
}

/// The Rust expression of the table: path, bytes, Brotli, gzip.
fn table(dist: &Path, files: &[PathBuf]) -> String {
    let mut table = String::from("&[\n");
    for file in files.iter().filter(|file| !is_packed(file)) {
        let Ok(name) = file.strip_prefix(dist) else { continue };
        let name = name.to_string_lossy().replace('\\', "/");
        let packed = |suffix: &str| {
            let path = PathBuf::from(format!("{}.{suffix}", file.display()));
            if path.exists() { format!("Some(include_bytes!({path:?}))") } else { "None".to_owned() }
        };
        // Writing to a String cannot fail.
        let _ = writeln!(
            table,
            "    File {{ path: {name:?}, plain: include_bytes!({file:?}), brotli: {}, gzip: {} }},",
            packed("br"),
            packed("gz"),
        );
    }
    table + "]\n"
}

fn is_packed(file: &Path) -> bool {
    file.extension().is_some_and(|extension| extension == "br" || extension == "gz")
}

fn find(directory: &Path, files: &mut Vec<PathBuf>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let path = entry?.path();
        if path.is_dir() { find(&path, files)? } else { files.push(path) }
    }
    Ok(())
}

/// When this file, or the latest one below this directory, was changed.
fn newest(path: &Path) -> Option<SystemTime> {
    if path.is_dir() {
        return fs::read_dir(path).ok()?.flatten().filter_map(|entry| newest(&entry.path())).max();
    }
    fs::metadata(path).and_then(|data| data.modified()).ok()
}
