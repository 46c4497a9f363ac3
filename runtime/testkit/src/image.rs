//! An OCI image of one of our programs as a tar ball, without a Docker daemon: the program, the shared libraries that it
//! needs, the certificates of public authorities and a user who is not root. There is no shell and no package in it.
//!
//! The same inputs give the same bytes: nothing in the image depends on when, where or by whom it is made. The tar ball is
//! an OCI layout (`skopeo copy oci-archive:..`, `podman load`, `ctr images import`) with the one file more that
//! `docker load` reads.

mod layout;
mod linked;
mod rootfs;

use std::path::{Path, PathBuf};

use jiff::Timestamp;
use uuid::Uuid;

use crate::error::{Result, TestkitError};
use crate::files;
use crate::tools::Tools;

use layout::Layout;
use rootfs::RootFs;

/// What an image is made from.
#[derive(Debug, Clone)]
pub struct ImageOptions {
    /// The program; its file name is the name of the image.
    pub program: PathBuf,
    /// The tag.
    pub version: String,
    /// The time that everything in it carries, seconds since 1970.
    pub created_s: i64,
    /// Folder of the tar ball.
    pub out: PathBuf,
}

/// An image that was written.
#[derive(Debug, Clone)]
pub struct Image {
    /// `NAME:VERSION`
    pub name: String,
    /// The tar ball.
    pub path: PathBuf,
    /// Digest of the manifest, `sha256:..`: what a registry calls the image.
    pub digest: String,
    /// Size of the tar ball.
    pub bytes: u64,
}

/// Makes the image of a program.
///
/// # Errors
/// A file that cannot be read or written, a library that is missing, or a tool that is not installed.
pub fn write(options: &ImageOptions) -> Result<Image> {
    let ImageOptions {
        program,
        version,
        created_s,
        out,
    } = options;
    let created = Timestamp::from_second(*created_s).map_err(|error| TestkitError::Setting {
        name: "SOURCE_DATE_EPOCH",
        reason: error.to_string(),
    })?;
    let name = program.file_name().unwrap_or_default().to_string_lossy();
    // What changes rarely lies below what changes always, so that a node that has an older version gets one layer.
    let mut system = RootFs::new(*created_s);
    system.people()?;
    system.authorities()?;
    for library in linked::libraries(program)? {
        system.copy(&library, &library, 0o755)?;
    }
    let mut own = RootFs::new(*created_s);
    own.dirs_above(Path::new("usr/bin/x"))?;
    own.file(
        &Path::new("usr/bin").join(&*name),
        &stripped(program)?,
        0o755,
    )?;

    let mut layout = Layout::new(&name, version, created);
    layout.layer("system: libraries, certificates, users", &system.finish()?)?;
    layout.layer("program", &own.finish()?)?;
    files::make_dir(out)?;
    let path = out.join(format!("{name}-{version}.tar"));
    let (digest, bytes) = layout.write(&path)?;
    Ok(Image {
        name: format!("{name}:{version}"),
        path,
        digest,
        bytes,
    })
}

/// The program without debug information: names of functions stay, for backtraces.
fn stripped(program: &Path) -> Result<Vec<u8>> {
    let to = std::env::temp_dir().join(format!("ticket-image-{}", Uuid::new_v4().simple()));
    let strip = Tools.strip()?;
    let outcome = linked::output(
        std::process::Command::new(strip)
            .args(["--strip-debug", "-o"])
            .arg(&to)
            .arg(program),
    );
    let bytes = outcome.and_then(|_| std::fs::read(&to).map_err(files::failed("read", &to)));
    files::remove(&to)?;
    bytes
}
