//! The clock of one process, moved from outside by the system's `libfaketime`: the process is started with it, reads from a
//! file by how much its clock is wrong, and knows nothing of it. Only the wall clock: waits and deadlines go on as they
//! are. A switch in the product would be a way to break it.

use std::path::{Path, PathBuf};

use anyhow::Context as _;
use ticket_testkit::Home;

/// Where Debian's package `faketime` puts it, by machine; the one for programs with threads.
const LIBRARIES: [&str; 2] = [
    "/usr/lib/x86_64-linux-gnu/faketime/libfaketimeMT.so.1",
    "/usr/lib/aarch64-linux-gnu/faketime/libfaketimeMT.so.1",
];

/// The variable that has the dynamic linker load it.
pub(super) const PRELOAD: &str = "LD_PRELOAD";

/// The library, if it is installed.
pub(super) fn library() -> Option<&'static str> {
    LIBRARIES.into_iter().find(|path| Path::new(path).is_file())
}

/// What a process is told from its first start on, in case that its clock is moved one day: harmless without the library.
pub(super) fn settings(home: &Home, process: &str) -> Vec<(String, String)> {
    let file = file(home, process);
    [
        (
            "FAKETIME_TIMESTAMP_FILE",
            file.to_string_lossy().into_owned(),
        ),
        // Looked at for every question: a step is to be seen at once.
        ("FAKETIME_NO_CACHE", "1".to_owned()),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1".to_owned()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec()
}

/// Sets the clock of `process` wrong by `seconds`.
pub(super) fn step(home: &Home, process: &str, seconds: i64) -> anyhow::Result<()> {
    let file = file(home, process);
    // Written beside and moved: a reader never sees half a number.
    let part = file.with_extension("part");
    std::fs::write(&part, format!("{seconds:+}\n"))
        .and_then(|()| std::fs::rename(&part, &file))
        .with_context(|| format!("could not write {}", file.display()))
}

fn file(home: &Home, process: &str) -> PathBuf {
    home.dir().join(format!("{process}.clock"))
}
