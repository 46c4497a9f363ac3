//! Where a running stack is: its `env` file, as the contract has it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use anyhow::Context as _;

/// Addresses and secrets of a running stack.
#[derive(Clone)]
pub struct StackEnv {
    /// The stack's folder, with `pids` and `logs`.
    pub dir: PathBuf,
    /// `KUBECONFIG`.
    pub kubeconfig: PathBuf,
    /// `TICKET_API_URL`.
    pub api_url: String,
    /// `TICKET_ADMIN_URL`.
    pub admin_url: String,
    /// `TICKET_ADMIN_VIEWER_TOKEN`: looking is all that is done here.
    pub viewer_token: String,
    /// `TICKET_PAYMENTS_URL`.
    pub payments_url: String,
    /// `TICKET_BUYER_JWT_SECRET`.
    pub jwt_secret: String,
    /// `TICKET_KAFKA_BROKERS`: for outsiders who write and read messages.
    pub kafka_brokers: String,
    /// `TICKET_KAFKA_PREFIX`; may be empty.
    pub kafka_prefix: String,
    /// `TICKET_DATABASE_URL`: for outsiders who want a database of their own beside it.
    pub database_url: String,
}

impl StackEnv {
    /// Reads `<dir>/env`.
    pub fn read(dir: &Path) -> anyhow::Result<Self> {
        let path = dir.join("env");
        let text = std::fs::read_to_string(&path).with_context(|| {
            format!(
                "could not read {}; next step: make stack-up",
                path.display()
            )
        })?;
        let mut values = parse(&text);
        let kafka_prefix = values.remove("TICKET_KAFKA_PREFIX").unwrap_or_default();
        let mut take = |name: &str| {
            values
                .remove(name)
                .filter(|value| !value.is_empty())
                .with_context(|| {
                    format!(
                        "{} does not say {name}; next step: make stack-up",
                        path.display()
                    )
                })
        };
        Ok(Self {
            dir: dir.to_path_buf(),
            kubeconfig: take("KUBECONFIG")?.into(),
            api_url: take("TICKET_API_URL")?,
            admin_url: take("TICKET_ADMIN_URL")?,
            viewer_token: take("TICKET_ADMIN_VIEWER_TOKEN")?,
            payments_url: take("TICKET_PAYMENTS_URL")?,
            jwt_secret: take("TICKET_BUYER_JWT_SECRET")?,
            kafka_brokers: take("TICKET_KAFKA_BROKERS")?,
            kafka_prefix,
            database_url: take("TICKET_DATABASE_URL")?,
        })
    }
}

/// `NAME=value` lines; a value may stand in single quotes, as a shell writes it.
fn parse(text: &str) -> BTreeMap<String, String> {
    text.lines()
        .filter_map(|line| line.split_once('='))
        .map(|(name, value)| (name.to_owned(), unquoted(value)))
        .collect()
}

fn unquoted(value: &str) -> String {
    match value
        .strip_prefix('\'')
        .and_then(|rest| rest.strip_suffix('\''))
    {
        Some(inner) => inner.replace(r"'\''", "'"),
        None => value.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_and_quoted_values_read_back() {
        let values = parse("A=plain=1\nB='two words'\nC='it'\\''s'\nno line\nD=\n");
        let value = |name: &str| values[name].as_str();
        assert_eq!(
            [value("A"), value("B"), value("C"), value("D")],
            ["plain=1", "two words", "it's", ""]
        );
    }
}
