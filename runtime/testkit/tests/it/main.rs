//! Every server is really started, asked, killed and started again. Nothing here uses the shared servers but the tests of
//! the shared servers themselves.

// The condition tells the lints that helpers in these files are tests too.
#[cfg(test)]
mod image;
#[cfg(test)]
mod own_servers;
#[cfg(test)]
mod shared_servers;
#[cfg(test)]
mod stack;

#[cfg(test)]
/// Whether no such process runs. One that is over but was not yet waited for does not run.
fn is_over(pid: u32) -> bool {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')')
        .is_none_or(|(_, rest)| rest.trim_start().starts_with(['Z', 'X']))
}
