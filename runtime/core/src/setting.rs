//! What is wrong with a setting, in words that name it and say what to do next. A setting has one name, its environment
//! variable; flag and key in a settings file follow from it.

use std::fmt;

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
