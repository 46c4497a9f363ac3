//! Small file work with errors that name the file.

use std::fs;
use std::io::{self, Read as _, Seek as _, SeekFrom, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::Path;

use crate::error::{Result, TestkitError};

/// Only the owner may read it: it holds a secret.
const MODE_SECRET: u32 = 0o600;

/// Bytes of a log that an error shows at most.
const LOG_TAIL_BYTES_MAX: u64 = 4_000;

/// An error about `path`.
pub(crate) fn failed<'a>(
    action: &'static str,
    path: &'a Path,
) -> impl FnOnce(io::Error) -> TestkitError + 'a {
    move |cause| TestkitError::File {
        action,
        path: path.to_path_buf(),
        cause,
    }
}

/// Makes a folder and those above it.
pub(crate) fn make_dir(path: &Path) -> Result<()> {
    fs::create_dir_all(path).map_err(failed("create", path))
}

/// Removes a folder with all in it; fine if there is none.
pub(crate) fn remove_dir(path: &Path) -> Result<()> {
    match fs::remove_dir_all(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Removes a file; fine if there is none.
pub(crate) fn remove(path: &Path) -> Result<()> {
    match fs::remove_file(path) {
        Err(cause) if cause.kind() != io::ErrorKind::NotFound => Err(failed("remove", path)(cause)),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The whole text of a file.
pub(crate) fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(failed("read", path))
}

/// Writes a file that anybody may read, whole or not at all.
pub(crate) fn write(path: &Path, text: &str) -> Result<()> {
    write_bytes(path, text.as_bytes())
}

/// The same for what is no text.
pub(crate) fn write_bytes(path: &Path, bytes: &[u8]) -> Result<()> {
    replace(path, bytes, 0o644)
}

/// Writes a file that only its owner may read, whole or not at all.
pub(crate) fn write_secret(path: &Path, text: &str) -> Result<()> {
    replace(path, text.as_bytes(), MODE_SECRET)
}

// Through a second file: a reader, or a crash in the middle, never sees half a file.
fn replace(path: &Path, bytes: &[u8], mode: u32) -> Result<()> {
    let mut half = path.as_os_str().to_owned();
    half.push(format!(".{}.tmp", std::process::id()));
    let half = Path::new(&half);
    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(mode)
        .open(half)
        .map_err(failed("write", half))?;
    file.write_all(bytes).map_err(failed("write", half))?;
    fs::set_permissions(half, fs::Permissions::from_mode(mode)).map_err(failed("protect", half))?;
    fs::rename(half, path).map_err(failed("write", path))
}

/// Length of a file in bytes, 0 if there is none.
pub(crate) fn len(path: &Path) -> u64 {
    fs::metadata(path).map_or(0, |meta| meta.len())
}

/// The end of a log, but nothing that was written before byte `from`.
pub(crate) fn tail(path: &Path, from: u64) -> String {
    let read = || -> io::Result<String> {
        let mut file = fs::File::open(path)?;
        let start = from.max(file.metadata()?.len().saturating_sub(LOG_TAIL_BYTES_MAX));
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(LOG_TAIL_BYTES_MAX).read_to_end(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes).trim_end().to_owned())
    };
    read().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_readable_by_its_owner_only_and_is_replaced_whole() {
        let path = std::env::temp_dir().join(format!("testkit-secret-{}", std::process::id()));
        write_secret(&path, "one, which is longer").unwrap();
        write_secret(&path, "two").unwrap();
        assert_eq!(read(&path).unwrap(), "two");
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, MODE_SECRET);
        remove(&path).unwrap();
        remove(&path).unwrap();
    }

    #[test]
    fn the_tail_of_a_log_starts_where_this_start_began() {
        let path = std::env::temp_dir().join(format!("testkit-tail-{}", std::process::id()));
        write(&path, "old\nnew\n").unwrap();
        assert_eq!(tail(&path, 4), "new");
        remove(&path).unwrap();
        assert_eq!(tail(&path, 0), "");
    }
}
