//! Where the servers' programs are. What the operating system has is looked for where its packages put it; what was
//! installed into `.stack` stands at fixed places there.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Result, TestkitError};
use crate::home::stack_dir;

/// Where packages of the operating system put programs, besides the caller's `PATH`, which may lack the `sbin` folders.
const PLACES: [&str; 6] = [
    "/usr/local/sbin",
    "/usr/local/bin",
    "/usr/sbin",
    "/usr/bin",
    "/sbin",
    "/bin",
];

/// Each major version of Debian's PostgreSQL has a folder here.
const POSTGRES_VERSIONS: &str = "/usr/lib/postgresql";

/// Finds programs. Each look-up answers with a path that exists, or says what is missing.
#[derive(Debug, Clone, Copy, Default)]
pub struct Tools;

impl Tools {
    /// etcd, from the operating system.
    pub fn etcd(self) -> Result<PathBuf> {
        system("etcd")
    }

    /// redis-server, from the operating system.
    pub fn redis(self) -> Result<PathBuf> {
        system("redis-server")
    }

    /// java, from the operating system.
    pub fn java(self) -> Result<PathBuf> {
        system("java")
    }

    /// openssl, from the operating system.
    pub fn openssl(self) -> Result<PathBuf> {
        system("openssl")
    }

    /// ldd, from the operating system.
    pub fn ldd(self) -> Result<PathBuf> {
        system("ldd")
    }

    /// strip, from the operating system.
    pub fn strip(self) -> Result<PathBuf> {
        system("strip")
    }

    /// kube-apiserver, built by the installer.
    pub fn apiserver(self) -> Result<PathBuf> {
        built("kube-apiserver", "bin/kube-apiserver")
    }

    /// kubectl, built by the installer; else the system's, which is enough for somebody's own cluster.
    pub fn kubectl(self) -> Result<PathBuf> {
        built("kubectl", "bin/kubectl").or_else(|missing| system("kubectl").map_err(|_| missing))
    }

    /// Helm, built by the installer.
    pub fn helm(self) -> Result<PathBuf> {
        built("helm", "bin/helm")
    }

    /// stripe-mock, built by the installer.
    pub fn stripe_mock(self) -> Result<PathBuf> {
        built("stripe-mock", "bin/stripe-mock")
    }

    /// The folder of Kafka's jars, filled by the installer.
    pub fn kafka_jars(self) -> Result<PathBuf> {
        built("kafka", "kafka/lib")
    }

    /// The folder of `postgres` and `initdb`: the newest version that is installed.
    pub fn postgres(self) -> Result<PathBuf> {
        let mut versions: Vec<(u32, PathBuf)> = std::fs::read_dir(POSTGRES_VERSIONS)
            .into_iter()
            .flatten()
            .flatten()
            .filter_map(|entry| {
                let version = entry.file_name().to_str()?.parse().ok()?;
                Some((version, entry.path().join("bin")))
            })
            .filter(|(_, bin)| bin.join("postgres").is_file() && bin.join("initdb").is_file())
            .collect();
        versions.sort();
        if let Some((_, bin)) = versions.pop() {
            return Ok(bin);
        }
        let postgres = system("postgres")?;
        Ok(postgres
            .parent()
            .unwrap_or(Path::new("/usr/bin"))
            .to_path_buf())
    }

    /// Whether the Citus extension is installed in the PostgreSQL of [`Tools::postgres`].
    #[must_use]
    pub fn has_citus(self) -> bool {
        self.postgres().is_ok_and(|bin| {
            share_dirs(&bin)
                .iter()
                .any(|share| share.join("extension/citus.control").is_file())
        })
    }
}

// What pg_config says where it is installed (a development package on Debian), and Debian's own place.
fn share_dirs(bin: &Path) -> Vec<PathBuf> {
    let mut dirs = Vec::new();
    if let Ok(answer) = Command::new(bin.join("pg_config"))
        .arg("--sharedir")
        .output()
        && answer.status.success()
    {
        dirs.push(PathBuf::from(
            String::from_utf8_lossy(&answer.stdout).trim(),
        ));
    }
    if let Some(version) = bin.parent().and_then(Path::file_name) {
        dirs.push(Path::new("/usr/share/postgresql").join(version));
    }
    dirs
}

fn system(tool: &'static str) -> Result<PathBuf> {
    let places = PLACES.iter().map(PathBuf::from).chain(search_path());
    places
        .map(|dir| dir.join(tool))
        .find(|path| path.is_file())
        .ok_or_else(|| TestkitError::ToolMissing {
            tool,
            looked: "looked in PATH and the system's folders".to_owned(),
        })
}

fn search_path() -> Vec<PathBuf> {
    std::env::var_os("PATH")
        .map(|path| std::env::split_paths(&path).collect())
        .unwrap_or_default()
}

fn built(tool: &'static str, place: &str) -> Result<PathBuf> {
    let path = stack_dir().join(place);
    if path.exists() {
        Ok(path)
    } else {
        Err(TestkitError::ToolMissing {
            tool,
            looked: format!("looked at {}", path.display()),
        })
    }
}
