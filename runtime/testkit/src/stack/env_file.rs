//! `env` in the stack's folder: where everything is, as `NAME=value` lines that a shell can read.

use std::path::Path;

use super::Servers;
use super::products::Addresses;
use super::state::Secrets;
use crate::error::Result;
use crate::files;

/// Name of the file in the stack's folder.
pub(super) const FILE: &str = "env";

pub(super) fn write(
    dir: &Path,
    servers: &Servers,
    addresses: &Addresses,
    secrets: &Secrets,
) -> Result<()> {
    let mut lines: Vec<(String, String)> = [
        (
            "KUBECONFIG",
            servers.kubeconfig.to_string_lossy().into_owned(),
        ),
        ("TICKET_KAFKA_BROKERS", servers.kafka_brokers.clone()),
        ("TICKET_KAFKA_PREFIX", servers.kafka_prefix.clone()),
        ("TICKET_DATABASE_URL", servers.database_url.clone()),
        ("TICKET_REDIS_URL", servers.redis_url.clone()),
        ("TICKET_ADMIN_TOKEN", secrets.admin_token.clone()),
        (
            "TICKET_ADMIN_VIEWER_TOKEN",
            secrets.admin_viewer_token.clone(),
        ),
        ("TICKET_BUYER_JWT_SECRET", secrets.buyer_jwt_secret.clone()),
        ("TICKET_WEBHOOK_SECRET", secrets.webhook_secret.clone()),
    ]
    .map(|(name, value)| (name.to_owned(), value))
    .to_vec();
    lines.extend(addresses.lines());
    // Tokens stand in it.
    files::write_secret(&dir.join(FILE), &text(&lines))
}

fn text(lines: &[(String, String)]) -> String {
    let lines: Vec<_> = lines
        .iter()
        .map(|(name, value)| format!("{name}={}\n", quoted(value)))
        .collect();
    lines.concat()
}

/// The value as a shell reads it back, quoted only where it must be.
fn quoted(value: &str) -> String {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || "_./:@,+=-".contains(c);
    if value.chars().all(is_plain) {
        value.to_owned()
    } else {
        format!("'{}'", value.replace('\'', r"'\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_shell_reads_every_value_back() {
        for value in [
            "",
            "plain-1.2/3",
            "two words",
            "it's $HOME \"and\" `more`; \\ #x",
        ] {
            let script = format!("{}printf %s \"$X\"", text(&[("X".into(), value.into())]));
            let answer = Command::new("sh").arg("-c").arg(script).output().unwrap();
            assert_eq!(String::from_utf8(answer.stdout).unwrap(), value);
        }
    }
}
