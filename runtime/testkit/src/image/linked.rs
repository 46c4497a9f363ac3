//! Which shared libraries a program needs, by the loader's own account.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Result, TestkitError};
use crate::tools::Tools;

/// What `ldd` says of a program that needs none; it comes with an exit code of its own.
const STATIC: [&str; 2] = ["statically linked", "not a dynamic executable"];

/// The libraries of `program` and the loader, as absolute paths.
pub(super) fn libraries(program: &Path) -> Result<BTreeSet<PathBuf>> {
    let ldd = Tools.ldd()?;
    match output(Command::new(ldd).arg(program).env("LC_ALL", "C")) {
        Ok(text) => parse(&text).map_err(|library| TestkitError::Command {
            what: format!("finding the libraries of {}", program.display()),
            output: format!("{library} is not installed; next step: install what it belongs to"),
        }),
        Err(TestkitError::Command { output, .. }) if is_static(&output) => Ok(BTreeSet::new()),
        Err(error) => Err(error),
    }
}

fn is_static(text: &str) -> bool {
    STATIC.iter().any(|words| text.contains(words))
}

/// Lines such as `libm.so.6 => /lib/x86_64-linux-gnu/libm.so.6 (0x7f..)`; the loader has a path only, what the kernel
/// brings (vdso) has none. The error is the name of a library that is missing.
fn parse(text: &str) -> std::result::Result<BTreeSet<PathBuf>, String> {
    let mut found = BTreeSet::new();
    for line in text.lines().map(str::trim) {
        let (name, place) = line.split_once(" => ").unwrap_or((line, line));
        if place.starts_with("not found") {
            return Err(name.to_owned());
        }
        let path = place.split(" (").next().unwrap_or_default();
        if path.starts_with('/') {
            found.insert(PathBuf::from(path));
        }
    }
    Ok(found)
}

/// What a command says, if it succeeds.
pub(super) fn output(command: &mut Command) -> Result<String> {
    let what = command.get_program().to_string_lossy().into_owned();
    let answer = command.output().map_err(|cause| TestkitError::Spawn {
        program: what.clone(),
        cause,
    })?;
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    if answer.status.success() {
        return Ok(text(&answer.stdout));
    }
    Err(TestkitError::Command {
        what,
        output: text(&answer.stdout) + &text(&answer.stderr),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_and_loader_are_found_and_a_missing_one_is_named() {
        let text = "\tlinux-vdso.so.1 (0x00007ffd)\n\
            \tlibssl.so.3 => /lib/x86_64-linux-gnu/libssl.so.3 (0x00007f1)\n\
            \t/lib64/ld-linux-x86-64.so.2 (0x00007f2)\n";
        let found = parse(text).unwrap();
        let wanted = [
            "/lib/x86_64-linux-gnu/libssl.so.3",
            "/lib64/ld-linux-x86-64.so.2",
        ];
        assert_eq!(found, wanted.map(PathBuf::from).into());
        assert_eq!(
            parse("\tlibgone.so.1 => not found\n").unwrap_err(),
            "libgone.so.1"
        );
        assert!(is_static("\tstatically linked\n"));
    }
}
