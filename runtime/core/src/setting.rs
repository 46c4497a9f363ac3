//! What is wrong with a setting, in words that name it and say what to do next. A setting has one name, its environment
//! variable; flag and key in a settings file follow from it.

use std::path::Path;
use std::{fmt, io};

/// A setting that cannot be used as it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettingProblem {
    /// Its environment variable, e.g. `TICKET_KAFKA_BROKERS`.
    pub variable: String,
    /// What is wrong, with the value unless it is a secret, and the allowed range where there is one.
    pub what: String,
    /// What to do.
    pub next: String,
}

impl SettingProblem {
    /// A problem of `variable`.
    pub fn new(
        variable: impl Into<String>,
        what: impl Into<String>,
        next: impl Into<String>,
    ) -> Self {
        Self {
            variable: variable.into(),
            what: what.into(),
            next: next.into(),
        }
    }

    /// Two limits contradict each other: `variable` is `value` and must be below `other`, which is `bound`.
    pub fn not_below(
        variable: &str,
        value: impl fmt::Display,
        other: &str,
        bound: impl fmt::Display,
    ) -> Self {
        Self::new(
            variable,
            format!("is {value} and must be below {other}, which is {bound}"),
            format!("lower it, or raise {other}"),
        )
    }

    /// `variable` is nothing without `other`.
    #[must_use]
    pub fn needs(variable: &str, other: &str) -> Self {
        Self::new(
            variable,
            format!("is set, but {other} is not"),
            format!("set {other}, too, or leave both out"),
        )
    }
}

/// The files of a server's TLS connection, as settings name them: `<prefix>_TLS_CA`, `_TLS_CERT` and `_TLS_KEY`.
#[derive(Debug, Clone, Copy)]
pub struct TlsFiles<'a> {
    /// Of the variables, e.g. `TICKET_KAFKA`.
    pub prefix: &'a str,
    /// Authorities of the server's certificate.
    pub ca: Option<&'a Path>,
    /// Our own certificate.
    pub certificate: Option<&'a Path>,
    /// Its key.
    pub key: Option<&'a Path>,
    /// The connection is not TLS: what a file is set beside, and what to do about it.
    pub is_plain: Option<(&'a str, &'a str)>,
    /// Only with an authority of its own is the connection TLS, so a certificate is nothing without one.
    pub is_ca_needed: bool,
}

impl TlsFiles<'_> {
    /// What does not fit together. `look` looks for a file: nothing here touches a disk.
    #[must_use]
    pub fn check(&self, look: impl Fn(&Path) -> io::Result<()>) -> Vec<SettingProblem> {
        let variable = |end: &str| format!("{}_TLS_{end}", self.prefix);
        let ca = (variable("CA"), self.ca);
        let certificate = (variable("CERT"), self.certificate);
        let key = (variable("KEY"), self.key);
        let mut problems = Vec::new();
        for (variable, path) in [&ca, &certificate, &key] {
            let Some(path) = path else { continue };
            if let Some((beside, next)) = self.is_plain {
                let what = format!("is set, but {beside}");
                problems.push(SettingProblem::new(variable, what, next));
            }
            if let Err(error) = look(path) {
                let what = format!("names {}: {error}", path.display());
                problems.push(SettingProblem::new(variable, what, "check the path"));
            }
        }
        let mut pairs = vec![(&certificate, &key), (&key, &certificate)];
        if self.is_ca_needed {
            pairs.push((&certificate, &ca));
        }
        for (set, missing) in pairs {
            if set.1.is_some() && missing.1.is_none() {
                problems.push(SettingProblem::needs(&set.0, &missing.0));
            }
        }
        problems
    }
}

/// `TICKET_X (--x): what; next`
impl fmt::Display for SettingProblem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            variable,
            what,
            next,
        } = self;
        write!(f, "{variable} (--{}) {what}; {next}", flag_of(variable))
    }
}

/// The flag of an environment variable, and its key in a settings file: `TICKET_API_LISTEN` is `api-listen`.
#[must_use]
pub fn flag_of(variable: &str) -> String {
    let name = variable.strip_prefix("TICKET_").unwrap_or(variable);
    name.to_lowercase().replace('_', "-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_a_tls_connection_must_be_there_and_fit_together() {
        let file = Some(Path::new("/etc/tls/some.pem"));
        let nothing = TlsFiles {
            prefix: "TICKET_X",
            ca: None,
            certificate: None,
            key: None,
            is_plain: None,
            is_ca_needed: false,
        };
        let found = |files: TlsFiles<'_>| {
            let problems = files.check(|_| Ok(()));
            problems
                .into_iter()
                .map(|one| one.variable)
                .collect::<Vec<_>>()
        };
        let [ca, certificate, key] = ["CA", "CERT", "KEY"].map(|end| format!("TICKET_X_TLS_{end}"));
        let none: [&str; 0] = [];
        assert_eq!(found(nothing), none);
        let whole = TlsFiles {
            ca: file,
            certificate: file,
            key: file,
            ..nothing
        };
        assert_eq!(found(whole), none);
        let plain = TlsFiles {
            is_plain: Some(("it is off", "switch it on")),
            ..whole
        };
        assert_eq!(found(plain), [&*ca, &certificate, &key]);
        let without_key = TlsFiles { key: None, ..whole };
        assert_eq!(found(without_key), [&*certificate]);
        let without_certificate = TlsFiles {
            certificate: None,
            ..whole
        };
        assert_eq!(found(without_certificate), [&*key]);
        let without_ca = TlsFiles { ca: None, ..whole };
        assert_eq!(found(without_ca), none);
        let needs_ca = TlsFiles {
            is_ca_needed: true,
            ..without_ca
        };
        assert_eq!(found(needs_ca), [&*certificate]);
        let gone = whole.check(|_| Err(io::ErrorKind::NotFound.into()));
        assert_eq!(gone.len(), 3);
        assert!(gone[0].what.contains("/etc/tls/some.pem"), "{}", gone[0]);
    }

    #[test]
    fn a_problem_names_variable_and_flag_and_says_what_to_do() {
        let problem = SettingProblem::not_below(
            "TICKET_CONSUMER_DRAIN_MS",
            "9000 ms",
            "TICKET_CONSUMER_SESSION_MS",
            "8000 ms",
        );
        assert_eq!(
            problem.to_string(),
            "TICKET_CONSUMER_DRAIN_MS (--consumer-drain-ms) is 9000 ms and must be below \
             TICKET_CONSUMER_SESSION_MS, which is 8000 ms; lower it, or raise TICKET_CONSUMER_SESSION_MS"
        );
        assert_eq!(
            flag_of("OTEL_EXPORTER_OTLP_ENDPOINT"),
            "otel-exporter-otlp-endpoint"
        );
    }
}
