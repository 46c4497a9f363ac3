//! Printing an error together with its causes. Our errors never print their cause themselves, so this is the one place
//! where the whole story is put on a line.

use std::error::Error;
use std::fmt;

/// `error` and its causes, parted by `: `. For an `anyhow::Error` pass `err.as_ref()`.
#[must_use]
pub fn chain<'a>(error: &'a (dyn Error + 'static)) -> Chain<'a> {
    Chain(error)
}

/// Displays an error with its causes.
#[derive(Debug, Clone, Copy)]
pub struct Chain<'a>(&'a (dyn Error + 'static));

impl fmt::Display for Chain<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0)?;
        let mut said = self.0.to_string();
        let mut cause = self.0.source();
        while let Some(error) = cause {
            let text = error.to_string();
            // Foreign errors often print their cause themselves; nothing is said twice.
            if !said.ends_with(&text) {
                write!(f, ": {text}")?;
            }
            said = text;
            cause = error.source();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug)]
    struct Layer(&'static str, Option<Box<Layer>>);

    impl fmt::Display for Layer {
        fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str(self.0)
        }
    }

    impl Error for Layer {
        fn source(&self) -> Option<&(dyn Error + 'static)> {
            self.1.as_deref().map(|cause| cause as _)
        }
    }

    #[test]
    fn every_cause_is_said_once() {
        let root = Layer("no route to host", None);
        let middle = Layer("connect failed: no route to host", Some(Box::new(root)));
        let top = Layer("could not reach the ledger", Some(Box::new(middle)));
        assert_eq!(
            chain(&top).to_string(),
            "could not reach the ledger: connect failed: no route to host"
        );
    }
}
