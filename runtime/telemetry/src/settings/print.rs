//! Settings as text that can be used again: as a settings file or as an environment. Secrets are left out.

use super::{Setting, Source, Sources};

/// How settings are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum Style {
    /// Lines for a settings file (`--config`).
    Toml,
    /// Lines for a shell or a container: `VARIABLE='value'`.
    Env,
}

impl Sources {
    /// Every setting with its value and where that comes from. What has no value is a comment, and so is a secret: only
    /// that it is there is said, and the file that it is in.
    #[must_use]
    pub fn print(&self, style: Style) -> String {
        let mut text = String::new();
        let mut groups: Vec<&str> = Vec::new();
        for setting in &self.settings {
            if !groups.contains(&setting.group.as_str()) {
                groups.push(&setting.group);
            }
        }
        for group in groups {
            let separator = if text.is_empty() { "" } else { "\n" };
            text.extend([separator, "# ", group, "\n"]);
            for setting in self.settings.iter().filter(|one| one.group == group) {
                text.push_str(&setting.line(style));
                text.push('\n');
            }
        }
        text
    }
}

impl Setting {
    fn line(&self, style: Style) -> String {
        let name = match style {
            Style::Toml => &self.flag,
            Style::Env => &self.variable,
        };
        let from = self.source.words(&self.variable);
        match (&self.value, self.is_secret) {
            (None, _) => format!("# {name} is not set: {}", self.help),
            (Some(_), true) => format!("# {name} is set and secret, {from}"),
            (Some(value), false) => {
                let assigned = match style {
                    Style::Toml => format!("{name} = {}", toml_value(value)),
                    Style::Env => format!("{name}={}", shell_value(value)),
                };
                format!("{assigned}  # {from}")
            }
        }
    }
}

impl Source {
    fn words(&self, variable: &str) -> String {
        match self {
            Self::Flag => "from the command line".to_owned(),
            Self::Variable => format!("from {variable}"),
            Self::SecretFile(path) => format!("from the file {}", path.display()),
            Self::Config(path) => format!("from {}", path.display()),
            Self::Default => "the default".to_owned(),
            Self::Unset => "from nowhere".to_owned(),
        }
    }
}

/// A number as it is, all else as a string.
fn toml_value(value: &str) -> String {
    if value.parse::<i64>().is_ok() {
        return value.to_owned();
    }
    let mut quoted = String::from("\"");
    for c in value.chars() {
        match c {
            '"' | '\\' => {
                quoted.push('\\');
                quoted.push(c);
            }
            c if c.is_control() => quoted.extend(format!("\\u{:04x}", u32::from(c)).chars()),
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

fn shell_value(value: &str) -> String {
    format!("'{}'", value.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn setting(flag: &str, value: Option<&str>, is_secret: bool, source: Source) -> Setting {
        Setting {
            variable: format!("TICKET_{}", flag.to_uppercase().replace('-', "_")),
            flag: flag.to_owned(),
            group: "Kafka".to_owned(),
            help: "Help".to_owned(),
            is_secret,
            value: value.map(ToOwned::to_owned),
            source,
        }
    }

    #[test]
    fn what_is_printed_can_be_read_again_and_hides_secrets() {
        let sources = Sources {
            settings: vec![
                setting("brokers", Some("a:1,b:2"), false, Source::Variable),
                setting("copies", Some("3"), false, Source::Default),
                setting("client", Some("it's \"me\""), false, Source::Flag),
                setting(
                    "password",
                    Some("hunter2"),
                    true,
                    Source::SecretFile("/run/p".into()),
                ),
                setting("ca", None, false, Source::Unset),
            ],
        };
        let text = sources.print(Style::Toml);
        let table: toml::Table = toml::from_str(&text).unwrap();
        assert_eq!(table["brokers"].as_str(), Some("a:1,b:2"));
        assert_eq!(table["copies"].as_integer(), Some(3));
        assert_eq!(table["client"].as_str(), Some("it's \"me\""));
        assert_eq!(table.len(), 3, "{text}");
        assert!(
            text.contains("# password is set and secret, from the file /run/p"),
            "{text}"
        );
        assert!(
            text.contains("brokers = \"a:1,b:2\"  # from TICKET_BROKERS"),
            "{text}"
        );

        let env = sources.print(Style::Env);
        assert!(env.contains(r#"TICKET_CLIENT='it'\''s "me"'"#), "{env}");
        for text in [text, env] {
            assert!(!text.contains("hunter2"), "{text}");
        }
    }
}
