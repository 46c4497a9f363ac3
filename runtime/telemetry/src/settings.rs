//! Settings of a program: every one is a flag, an environment variable and a key of an optional TOML file (`--config`), in
//! this order of precedence. A secret (an argument that hides its variable's value) can also be named as a file:
//! `TICKET_X_FILE`, the way secrets are mounted into a container. Everything is derived from the clap command, so a
//! setting is described in one place and cannot be forgotten here.
//!
//! It promises that a value which cannot be used is named with its setting and what to do, and that no secret is ever
//! printed. It does not know what a setting means: rules over several settings are their owner's
//! (`ticket_core::setting`).

mod live;
mod print;

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::fmt;
use std::path::{Path, PathBuf};

use clap::builder::Arg;
use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Command, CommandFactory, FromArgMatches, value_parser};
use ticket_core::setting::{SettingProblem, flag_of};

pub use live::{Live, Rotation};
pub use print::Style;

/// Largest file with one secret, or with settings. Larger is a mistake in the path.
const FILE_BYTES_MAX: u64 = 256 * 1024;

/// The settings file itself.
const CONFIG: &str = "config";

/// What the command line, the environment and files say, and who said it.
#[derive(Debug)]
pub struct Loaded<C> {
    /// The program's own type.
    pub cli: C,
    /// Where each setting comes from.
    pub sources: Sources,
}

/// Every setting with its source.
#[derive(Debug)]
pub struct Sources {
    settings: Vec<Setting>,
}

/// One setting.
#[derive(Debug)]
struct Setting {
    variable: String,
    flag: String,
    group: String,
    help: String,
    is_secret: bool,
    /// As text, several divided by commas. Never shown if it is a secret.
    value: Option<String>,
    source: Source,
}

/// Who said a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// The command line.
    Flag,
    /// The environment.
    Variable,
    /// A file with this one secret.
    SecretFile(PathBuf),
    /// The settings file.
    Config(PathBuf),
    /// Nobody.
    Default,
    /// Nobody, and there is no default.
    Unset,
}

/// Why there are no settings.
#[derive(Debug)]
pub enum LoadError {
    /// Help, version, or a command line that clap does not understand.
    Usage(clap::Error),
    /// Values that cannot be used.
    Invalid(Vec<SettingProblem>),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(error) => error.fmt(f),
            Self::Invalid(problems) => f.write_str(&listed(problems)),
        }
    }
}

impl std::error::Error for LoadError {}

impl LoadError {
    /// Prints what is to be said (help goes to standard output) and ends the process.
    pub fn exit(&self) -> ! {
        match self {
            Self::Usage(error) => error.exit(),
            Self::Invalid(problems) => exit_with(problems),
        }
    }
}

/// Prints problems and ends the process with code 2, as for a wrong command line.
pub fn exit_with(problems: &[SettingProblem]) -> ! {
    let text = format!("{}\n", listed(problems));
    // Nobody is left to tell that standard error is gone.
    drop(std::io::Write::write_all(
        &mut std::io::stderr(),
        text.as_bytes(),
    ));
    std::process::exit(2)
}

/// One problem per line, below a headline.
#[must_use]
pub fn listed(problems: &[SettingProblem]) -> String {
    let mut text = match problems.len() {
        1 => "error: a setting cannot be used".to_owned(),
        many => format!("error: {many} settings cannot be used"),
    };
    for problem in problems {
        text.push_str("\n  ");
        text.push_str(&problem.to_string());
    }
    text
}

/// Reads the settings of `C` from `arguments` (the program's name first), the environment and files.
///
/// # Errors
/// [`LoadError`]; also for `--help` and `--version`.
pub fn load<C: CommandFactory + FromArgMatches>(
    arguments: impl IntoIterator<Item = OsString>,
) -> Result<Loaded<C>, LoadError> {
    let command = command::<C>();
    let mut arguments: Vec<OsString> = arguments.into_iter().collect();
    let first = parse(&command, &arguments)?;
    let mut found = Found::default();
    found.read_config(&command, &first);
    found.read_secret_files(&command, &first);
    if !found.problems.is_empty() {
        return Err(LoadError::Invalid(found.problems));
    }
    for (flag, (value, _)) in &found.values {
        arguments.push(format!("--{flag}={value}").into());
    }
    let matches = parse(&command, &arguments)?;
    let cli = C::from_arg_matches(&matches).map_err(LoadError::Usage)?;
    let sources = Sources::of(&command, &matches, &found);
    Ok(Loaded { cli, sources })
}

/// The command of `C` with what all programs have: settings before or after a subcommand, a file for each secret, and
/// the settings file.
#[must_use]
pub fn command<C: CommandFactory>() -> Command {
    let mut command = C::command().mut_args(|argument| match argument.get_long() {
        Some(_) => argument.global(true),
        None => argument,
    });
    let secrets: Vec<Arg> = settings_of(&command)
        .filter(|argument| argument.is_hide_env_values_set())
        .map(file_argument)
        .collect();
    for secret in secrets {
        command = command.arg(secret);
    }
    let config = Arg::new(CONFIG)
        .long(CONFIG)
        .env("TICKET_CONFIG")
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .help(
            "Settings file (TOML), one `flag-name = value` a line; flags and variables win over it",
        );
    command.arg(config)
}

/// The argument that names a file with the secret of `argument`. clap keeps names as long as the program runs, so these
/// few are never freed.
fn file_argument(argument: &Arg) -> Arg {
    let kept = |text: String| -> &'static str { text.leak() };
    let flag = argument.get_long().unwrap_or_default();
    let variable = variable_of(argument);
    let mut file = Arg::new(kept(format!("{}_file", argument.get_id())))
        .long(kept(format!("{flag}-file")))
        .env(kept(format!("{variable}_FILE")))
        .value_name("FILE")
        .value_parser(value_parser!(PathBuf))
        .global(true)
        .action(ArgAction::Set)
        .help("The same, read from a file");
    if let Some(group) = argument.get_help_heading() {
        file = file.help_heading(kept(group.to_owned()));
    }
    file
}

/// Arguments that are settings: they have a flag and a variable.
fn settings_of(command: &Command) -> impl Iterator<Item = &Arg> {
    command
        .get_arguments()
        .filter(|argument| argument.get_long().is_some() && argument.get_env().is_some())
}

fn variable_of(argument: &Arg) -> String {
    let variable = argument.get_env().unwrap_or_default();
    variable.to_string_lossy().into_owned()
}

fn parse(command: &Command, arguments: &[OsString]) -> Result<ArgMatches, LoadError> {
    let parsed = command.clone().try_get_matches_from(arguments);
    parsed.map_err(|error| match value_problem(command, &error) {
        Some(problem) => LoadError::Invalid(vec![problem]),
        None => LoadError::Usage(error),
    })
}

/// A value that clap refused, in our words: clap names only the flag, and most settings come from variables.
fn value_problem(command: &Command, error: &clap::Error) -> Option<SettingProblem> {
    if !matches!(
        error.kind(),
        ErrorKind::ValueValidation | ErrorKind::InvalidValue
    ) {
        return None;
    }
    let text = |kind| match error.get(kind) {
        Some(ContextValue::String(text)) => Some(text.as_str()),
        Some(_) | None => None,
    };
    let flag = text(ContextKind::InvalidArg)?
        .trim_start_matches('-')
        .split([' ', '='])
        .next()?;
    let argument = settings_of(command).find(|argument| argument.get_long() == Some(flag))?;
    let why = std::error::Error::source(error).map(ToString::to_string);
    let one_of = match error.get(ContextKind::ValidValue) {
        Some(ContextValue::Strings(values)) => Some(format!("it is none of {}", values.join(", "))),
        Some(_) | None => None,
    };
    let why = why
        .or(one_of)
        .unwrap_or_else(|| "it cannot be read".to_owned());
    let what = match text(ContextKind::InvalidValue) {
        Some(value) if !argument.is_hide_env_values_set() => format!("is {value:?}: {why}"),
        Some(_) | None => format!("cannot be used: {why}"),
    };
    let default = argument.get_default_values().first();
    let next = default.map_or_else(
        || "correct it or leave it out".to_owned(),
        |default| {
            let default = default.to_string_lossy();
            format!("correct it, or leave it out for the default {default}")
        },
    );
    Some(SettingProblem::new(variable_of(argument), what, next))
}

/// Values that come from files, by flag, and what is wrong with these files.
#[derive(Default)]
struct Found {
    values: BTreeMap<String, (String, Source)>,
    problems: Vec<SettingProblem>,
}

impl Found {
    fn read_config(&mut self, command: &Command, matches: &ArgMatches) {
        let Some(path) = matches.get_one::<PathBuf>(CONFIG) else {
            return;
        };
        let wrong = |what: String| {
            SettingProblem::new(
                "TICKET_CONFIG",
                format!("names {}: {what}", path.display()),
                "correct the file, or leave it out",
            )
        };
        let table = match read_limited(path).and_then(|text| {
            toml::from_str::<toml::Table>(&text).map_err(|error| error.message().to_owned())
        }) {
            Ok(table) => table,
            Err(what) => return self.problems.push(wrong(what)),
        };
        for (key, value) in &table {
            let flag = key.replace('_', "-");
            let Some(argument) =
                settings_of(command).find(|argument| argument.get_long() == Some(&*flag))
            else {
                self.problems
                    .push(wrong(format!("there is no setting {key}")));
                continue;
            };
            match scalar(value) {
                Some(_) if is_said(matches, argument) => {}
                Some(value) => {
                    let source = Source::Config(path.clone());
                    self.values.insert(flag, (value, source));
                }
                None => self.problems.push(wrong(format!(
                    "{key} is neither text nor a number nor a list of these"
                ))),
            }
        }
    }

    fn read_secret_files(&mut self, command: &Command, matches: &ArgMatches) {
        for secret in settings_of(command).filter(|argument| argument.is_hide_env_values_set()) {
            let (variable, flag) = (variable_of(secret), secret.get_long().unwrap_or_default());
            let file_flag = format!("{flag}-file");
            let of_config = self.values.get(&file_flag).map(|(path, _)| path.into());
            let named = matches.get_one::<PathBuf>(&format!("{}_file", secret.get_id()));
            let Some(path) = named.cloned().or(of_config) else {
                continue;
            };
            if is_said(matches, secret) || self.values.contains_key(flag) {
                self.problems.push(SettingProblem::new(
                    variable.clone(),
                    format!("is set, and so is {variable}_FILE"),
                    "keep one of the two",
                ));
                continue;
            }
            match read_secret(&path) {
                Ok(value) => {
                    self.values
                        .insert(flag.to_owned(), (value, Source::SecretFile(path)));
                }
                Err(what) => self.problems.push(SettingProblem::new(
                    format!("{variable}_FILE"),
                    format!("names {}: {what}", path.display()),
                    "check the path, and that this process may read it",
                )),
            }
        }
    }
}

/// Did the command line or the environment say it?
fn is_said(matches: &ArgMatches, argument: &Arg) -> bool {
    matches!(
        matches.value_source(argument.get_id().as_str()),
        Some(ValueSource::CommandLine | ValueSource::EnvVariable)
    )
}

fn scalar(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(number) => Some(number.to_string()),
        toml::Value::Float(number) => Some(number.to_string()),
        toml::Value::Boolean(is) => Some(is.to_string()),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(scalar).collect();
            Some(items?.join(","))
        }
        toml::Value::Table(_) | toml::Value::Datetime(_) => None,
    }
}

/// The secret in a file, without the line break that editors leave at its end.
fn read_secret(path: &Path) -> Result<String, String> {
    let text = read_limited(path)?;
    let secret = text.trim_end_matches(['\r', '\n']);
    if secret.is_empty() {
        return Err("it is empty".to_owned());
    }
    Ok(secret.to_owned())
}

fn read_limited(path: &Path) -> Result<String, String> {
    let words = |error: std::io::Error| error.to_string();
    let bytes = std::fs::metadata(path).map_err(words)?.len();
    if bytes > FILE_BYTES_MAX {
        return Err(format!("it has {bytes} bytes, more than {FILE_BYTES_MAX}"));
    }
    std::fs::read_to_string(path).map_err(words)
}

impl Sources {
    fn of(command: &Command, matches: &ArgMatches, found: &Found) -> Self {
        let settings = settings_of(command).map(|argument| {
            let (id, variable) = (argument.get_id().as_str(), variable_of(argument));
            let flag = argument.get_long().unwrap_or_default().to_owned();
            let source = match (found.values.get(&flag), matches.value_source(id)) {
                (Some((_, source)), _) => source.clone(),
                (None, Some(ValueSource::CommandLine)) => Source::Flag,
                (None, Some(ValueSource::EnvVariable)) => Source::Variable,
                (None, Some(_)) => Source::Default,
                (None, None) => Source::Unset,
            };
            let value = matches.get_raw(id).map(|values| {
                let values: Vec<_> = values.map(|value| value.to_string_lossy()).collect();
                values.join(",")
            });
            let help = argument.get_help().map(ToString::to_string);
            Setting {
                variable,
                flag,
                group: argument.get_help_heading().unwrap_or("Settings").to_owned(),
                help: help.unwrap_or_default(),
                is_secret: argument.is_hide_env_values_set(),
                value,
                source,
            }
        });
        Self {
            settings: settings.collect(),
        }
    }

    /// The file that the secret `variable` was read from, if it was.
    #[must_use]
    pub fn file_of(&self, variable: &str) -> Option<&Path> {
        let setting = self.settings.iter().find(|one| one.variable == variable)?;
        match &setting.source {
            Source::SecretFile(path) => Some(path),
            Source::Flag
            | Source::Variable
            | Source::Config(_)
            | Source::Default
            | Source::Unset => None,
        }
    }

    /// Secrets that were read from files.
    pub(crate) fn secret_files(&self) -> impl Iterator<Item = (&str, &Path)> {
        self.settings
            .iter()
            .filter_map(|one| Some((one.variable.as_str(), self.file_of(&one.variable)?)))
    }
}

/// A setting whose flag does not follow from its variable would be named wrongly in every message. Empty if all do.
#[must_use]
pub fn misnamed<C: CommandFactory>() -> Vec<String> {
    settings_of(&command::<C>())
        .filter(|argument| argument.get_long() != Some(&*flag_of(&variable_of(argument))))
        .map(variable_of)
        .collect()
}

#[cfg(test)]
mod tests {
    use clap::Parser;
    use secrecy::{ExposeSecret, SecretString};

    use super::*;

    #[derive(Debug, Parser)]
    #[command(name = "program")]
    #[expect(clippy::struct_field_names, reason = "flags follow from variables")]
    struct Cli {
        /// Orders at once
        #[arg(long, env = "TICKET_TEST_ORDERS", default_value = "10", help_heading = "Limits",
            value_parser = clap::value_parser!(u32).range(1..=20))]
        test_orders: u32,
        /// Opens the door
        #[arg(long, env = "TICKET_TEST_TOKEN", hide_env_values = true)]
        test_token: Option<SecretString>,
        /// Several
        #[arg(
            long,
            env = "TICKET_TEST_KEYS",
            hide_env_values = true,
            value_delimiter = ','
        )]
        test_keys: Vec<SecretString>,
    }

    fn loaded(arguments: &[&str]) -> Result<Loaded<Cli>, LoadError> {
        let arguments = ["program"].iter().chain(arguments);
        load(arguments.map(OsString::from))
    }

    fn file(text: &str) -> tempfile::NamedTempFile {
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), text).unwrap();
        file
    }

    #[test]
    fn a_secret_comes_from_a_file_and_its_source_is_known() {
        let (token, keys) = (file("s3cret\n"), file("one,two\n"));
        let token_at = format!("--test-token-file={}", token.path().display());
        let keys_at = format!("--test-keys-file={}", keys.path().display());
        let all = loaded(&[&token_at, &keys_at]).unwrap();
        assert_eq!(all.cli.test_token.unwrap().expose_secret(), "s3cret");
        assert_eq!(all.cli.test_keys.len(), 2);
        assert_eq!(all.sources.file_of("TICKET_TEST_TOKEN"), Some(token.path()));

        let both = loaded(&["--test-token=x", &token_at]).unwrap_err();
        let words = both.to_string();
        assert!(
            words.contains("TICKET_TEST_TOKEN (--test-token) is set, and so is TICKET_TEST_TOKEN_FILE; keep one"),
            "{words}"
        );
        let missing = loaded(&["--test-token-file=/nowhere"]).unwrap_err();
        assert!(
            missing.to_string().contains("TICKET_TEST_TOKEN_FILE"),
            "{missing}"
        );
    }

    #[test]
    fn flags_win_over_the_settings_file_and_it_over_defaults() {
        let config = file("test-orders = 7\ntest_keys = [\"a\", \"b\"]\n");
        let at = format!("--config={}", config.path().display());
        let all = loaded(&[&at]).unwrap();
        assert_eq!(all.cli.test_orders, 7);
        assert_eq!(all.cli.test_keys.len(), 2);
        assert_eq!(
            loaded(&[&at, "--test-orders=9"]).unwrap().cli.test_orders,
            9
        );
        assert_eq!(loaded(&[]).unwrap().cli.test_orders, 10);

        for (text, words) in [
            ("nonsense = 1", "there is no setting nonsense"),
            ("test-orders = 21", "21 is not in 1..=20"),
            ("test-orders = {}", "neither text nor a number"),
            ("= 3", "TICKET_CONFIG"),
        ] {
            let config = file(text);
            let at = format!("--config={}", config.path().display());
            let error = loaded(&[&at]).unwrap_err().to_string();
            assert!(error.contains(words), "{text}: {error}");
        }
    }

    #[test]
    fn a_value_out_of_range_is_named_with_variable_flag_range_and_default() {
        let error = loaded(&["--test-orders", "0"]).unwrap_err();
        assert_eq!(
            error.to_string(),
            "error: a setting cannot be used\n  TICKET_TEST_ORDERS (--test-orders) is \"0\": 0 is not \
             in 1..=20; correct it, or leave it out for the default 10"
        );
    }

    #[test]
    fn every_flag_follows_from_its_variable() {
        assert_eq!(misnamed::<Cli>(), Vec::<String>::new());
        command::<Cli>().debug_assert();
    }
}
