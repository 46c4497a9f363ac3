//! Free ports on loopback. A port that was given out is reserved by a locked file until its server owns it, so that two
//! processes which start servers at the same time do not pick the same one.

use std::fs::{File, OpenOptions};
use std::net::{Ipv4Addr, TcpListener};
use std::time::{Duration, Instant};

use uuid::Uuid;

use crate::error::{Result, TestkitError};
use crate::process::LOOK_INTERVAL;
use crate::{files, home};

/// Below the range from which the kernel takes ports for outgoing connections (32,768 and up): such a connection could
/// take a port between our choice and the server's start.
const PORT_MIN: u16 = 12_000;
const PORT_MAX: u16 = 32_000;

/// Candidates looked at before giving up.
const PORT_TRIES_MAX: usize = 500;

/// How long the kernel may take to free the port of a process that was killed: a big one needs a moment.
const RELEASE_LIMIT: Duration = Duration::from_secs(5);

/// A port that is ours as long as this lives, whether or not a server listens on it yet.
#[derive(Debug)]
pub struct PortLease {
    port: u16,
    _lock: File,
}

impl PortLease {
    /// The port, on 127.0.0.1.
    #[must_use]
    pub fn port(&self) -> u16 {
        self.port
    }
}

/// Any free port, kept from everybody else who takes ports here until the lease is dropped.
pub fn lease_port() -> Result<PortLease> {
    any()
}

/// Any free port.
pub(crate) fn any() -> Result<PortLease> {
    let span = u128::from(PORT_MAX - PORT_MIN);
    for _ in 0..PORT_TRIES_MAX {
        let offset = Uuid::new_v4().as_u128() % span;
        let port = PORT_MIN + u16::try_from(offset).unwrap_or_default();
        if let Some(lease) = reserve(port)?
            && is_free(port)
        {
            return Ok(lease);
        }
    }
    Err(TestkitError::NoFreePort)
}

/// This very port, for a server that had it before. Waits for a bounded time: a process that was killed counts as over
/// before the last of its threads has let go of the port.
pub(crate) async fn again(port: u16, server: &str) -> Result<PortLease> {
    let started = Instant::now();
    loop {
        match exactly(port, server) {
            Err(TestkitError::PortTaken { .. }) if started.elapsed() < RELEASE_LIMIT => {
                tokio::time::sleep(LOOK_INTERVAL).await;
            }
            lease_or_error => return lease_or_error,
        }
    }
}

fn exactly(port: u16, server: &str) -> Result<PortLease> {
    match reserve(port)? {
        Some(lease) if is_free(port) => Ok(lease),
        Some(_) | None => Err(TestkitError::PortTaken {
            server: server.to_owned(),
            port,
        }),
    }
}

fn reserve(port: u16) -> Result<Option<PortLease>> {
    let dir = home::stack_dir().join("ports");
    files::make_dir(&dir)?;
    let path = dir.join(port.to_string());
    let lock = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .open(&path)
        .map_err(files::failed("reserve", &path))?;
    Ok(lock
        .try_lock()
        .is_ok()
        .then_some(PortLease { port, _lock: lock }))
}

// With SO_REUSEADDR (the standard library sets it): connections of the last life in TIME_WAIT are no obstacle, a
// listener is.
fn is_free(port: u16) -> bool {
    TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn ports_that_are_held_at_the_same_time_differ_and_come_back() {
        let leases: Vec<_> = (0..50).map(|_| any().unwrap()).collect();
        let ports: BTreeSet<_> = leases.iter().map(|lease| lease.port).collect();
        assert_eq!(ports.len(), leases.len());
        let first = leases[0].port;
        assert!(matches!(
            exactly(first, "x"),
            Err(TestkitError::PortTaken { .. })
        ));
        drop(leases);
        assert_eq!(exactly(first, "x").unwrap().port, first);
    }

    #[test]
    fn a_port_with_a_listener_is_taken() {
        let lease = any().unwrap();
        let port = lease.port;
        drop(lease);
        let _stranger = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).unwrap();
        assert!(matches!(
            exactly(port, "x"),
            Err(TestkitError::PortTaken { .. })
        ));
    }
}
