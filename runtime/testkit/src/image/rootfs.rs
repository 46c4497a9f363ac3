//! A root file system as a tar: everything belongs to root, has one time, and folders come before what is in them.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use crate::error::{Result, TestkitError};
use crate::files;

/// Who runs the program: nobody else's number, and not root.
pub(super) const USER: u32 = 65_532;

/// Certificates of public authorities, in the image and on the machine that makes it.
pub(super) const AUTHORITIES: &str = "etc/ssl/certs/ca-certificates.crt";

/// A tar under construction.
pub(super) struct RootFs {
    tar: tar::Builder<Vec<u8>>,
    dirs: BTreeSet<PathBuf>,
    time_s: u64,
}

impl RootFs {
    pub(super) fn new(time_s: i64) -> Self {
        Self {
            tar: tar::Builder::new(Vec::new()),
            dirs: BTreeSet::new(),
            // A tar knows no time before 1970.
            time_s: u64::try_from(time_s).unwrap_or_default(),
        }
    }

    /// Users, groups, how names of hosts are looked up, and a folder for temporary files.
    pub(super) fn people(&mut self) -> Result<()> {
        let user = format!(
            "root:x:0:0:root:/:/sbin/nologin\nticket:x:{USER}:{USER}:ticket:/:/sbin/nologin\n"
        );
        let group = format!("root:x:0:\nticket:x:{USER}:\n");
        for (path, text) in [
            ("etc/group", group.as_str()),
            ("etc/nsswitch.conf", "hosts: files dns\n"),
            ("etc/passwd", &user),
        ] {
            self.file(Path::new(path), text.as_bytes(), 0o644)?;
        }
        self.entry(Path::new("tmp/"), tar::EntryType::Directory, 0o1777, &[])
    }

    /// The certificates of public authorities that this machine trusts.
    pub(super) fn authorities(&mut self) -> Result<()> {
        let here = Path::new("/").join(AUTHORITIES);
        if !here.is_file() {
            return Err(TestkitError::NoAuthorities { path: here });
        }
        self.copy(&here, &here, 0o644)
    }

    /// A file of this machine at `to`. Links are followed.
    pub(super) fn copy(&mut self, from: &Path, to: &Path, mode: u32) -> Result<()> {
        let bytes = std::fs::read(from).map_err(files::failed("read", from))?;
        let to = to.strip_prefix("/").unwrap_or(to);
        self.file(to, &bytes, mode)
    }

    /// A file, and the folders above it.
    pub(super) fn file(&mut self, path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
        self.dirs_above(path)?;
        self.entry(path, tar::EntryType::Regular, mode, bytes)
    }

    /// The folders above a path.
    pub(super) fn dirs_above(&mut self, path: &Path) -> Result<()> {
        let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
        above.reverse();
        for dir in above {
            if !dir.as_os_str().is_empty() && self.dirs.insert(dir.to_path_buf()) {
                let name = dir.join("");
                self.entry(&name, tar::EntryType::Directory, 0o755, &[])?;
            }
        }
        Ok(())
    }

    /// The bytes of the tar.
    pub(super) fn finish(self) -> Result<Vec<u8>> {
        let whole = Path::new("layer.tar");
        self.tar
            .into_inner()
            .map_err(files::failed("finish", whole))
    }

    fn entry(&mut self, path: &Path, kind: tar::EntryType, mode: u32, bytes: &[u8]) -> Result<()> {
        let mut header = header(kind, mode, bytes.len(), self.time_s);
        self.tar
            .append_data(&mut header, path, bytes)
            .map_err(files::failed("pack", path))
    }
}

/// A header that tells nothing of the machine it is made on.
pub(super) fn header(kind: tar::EntryType, mode: u32, bytes: usize, time_s: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_entry_type(kind);
    header.set_mode(mode);
    header.set_uid(0);
    header.set_gid(0);
    header.set_mtime(time_s);
    header.set_size(u64::try_from(bytes).unwrap_or(u64::MAX));
    header
}
