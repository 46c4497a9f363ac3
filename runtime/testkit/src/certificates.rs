//! Certificates for servers and clients of one test: an authority, a server on loopback, and a client. PEM files.

use std::path::{Path, PathBuf};
use std::process::Command;

use crate::error::{Result, TestkitError};
use crate::files;
use crate::home::Home;
use crate::tools::Tools;

/// How long they are good for: longer than any test.
const DAYS: &str = "30";

/// An authority and what it signed. The files go with this.
#[derive(Debug, Clone)]
pub struct Certificates {
    dir: PathBuf,
    _home: Home,
}

impl Certificates {
    /// New ones. The server's is for `localhost` and 127.0.0.1, the client's for the user `client_name`.
    pub async fn make(client_name: &str) -> Result<Self> {
        let home = Home::own("certificates")?;
        let made = Self {
            dir: home.data("certificates"),
            _home: home,
        };
        files::make_dir(&made.dir)?;
        let (maker, client_name) = (made.clone(), client_name.to_owned());
        tokio::task::spawn_blocking(move || maker.fill(&client_name))
            .await
            .map_err(|_| TestkitError::Cancelled)??;
        Ok(made)
    }

    fn fill(&self, client_name: &str) -> Result<()> {
        let openssl = Tools.openssl()?;
        for authority in ["ca", "stranger-ca"] {
            let extensions = ["basicConstraints=critical,CA:TRUE"];
            self.issue(&openssl, authority, "tests", &extensions, None)?;
        }
        let server = [
            "subjectAltName=DNS:localhost,IP:127.0.0.1",
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=serverAuth,clientAuth",
        ];
        self.issue(&openssl, "server", "localhost", &server, Some("ca"))?;
        let client = [
            "basicConstraints=critical,CA:FALSE",
            "extendedKeyUsage=clientAuth",
        ];
        self.issue(&openssl, "client", client_name, &client, Some("ca"))?;
        // Kafka wants key and certificate in one file.
        let both = format!(
            "{}{}",
            files::read(&self.file("server.key"))?,
            files::read(&self.file("server.pem"))?
        );
        files::write(&self.file("server-both.pem"), &both)
    }

    fn issue(
        &self,
        openssl: &Path,
        name: &str,
        subject: &str,
        extensions: &[&str],
        by: Option<&str>,
    ) -> Result<()> {
        let mut command = Command::new(openssl);
        command
            .args(["req", "-x509", "-newkey", "ec", "-nodes", "-days", DAYS])
            .args(["-pkeyopt", "ec_paramgen_curve:prime256v1"])
            // None but ours: the system's file adds some that a strict client refuses twice.
            .args(["-config", "/dev/null"])
            .args(["-subj", &format!("/CN={subject}")])
            .arg("-keyout")
            .arg(self.file(&format!("{name}.key")))
            .arg("-out")
            .arg(self.file(&format!("{name}.pem")));
        for extension in extensions {
            command.args(["-addext", extension]);
        }
        if let Some(by) = by {
            command.arg("-CA").arg(self.file(&format!("{by}.pem")));
            command.arg("-CAkey").arg(self.file(&format!("{by}.key")));
        }
        let answer = command.output().map_err(|cause| TestkitError::Spawn {
            program: "openssl".to_owned(),
            cause,
        })?;
        if answer.status.success() {
            return Ok(());
        }
        Err(TestkitError::Command {
            what: format!("making the certificate {name}"),
            output: String::from_utf8_lossy(&answer.stderr).into_owned(),
        })
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.dir.join(name)
    }

    /// The authority.
    #[must_use]
    pub fn ca(&self) -> PathBuf {
        self.file("ca.pem")
    }

    /// An authority that signed nothing.
    #[must_use]
    pub fn stranger_ca(&self) -> PathBuf {
        self.file("stranger-ca.pem")
    }

    /// The server's certificate and its key.
    #[must_use]
    pub fn server(&self) -> (PathBuf, PathBuf) {
        (self.file("server.pem"), self.file("server.key"))
    }

    /// The client's certificate and its key.
    #[must_use]
    pub fn client(&self) -> (PathBuf, PathBuf) {
        (self.file("client.pem"), self.file("client.key"))
    }
}
