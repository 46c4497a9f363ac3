//! `ticketctl explain CODE`.

use serde::Serialize;
use ticket_core::Code;

use super::Ended;
use crate::cli::Explain;
use crate::exit::{Exit, Failure};
use crate::output::{Document, Output, Table};

pub(crate) fn run(flags: &Explain, output: &mut Output<'_>) -> Ended {
    let Some(wanted) = &flags.code else {
        output.show(&Codes(Code::ALL.iter().copied().map(Page::of).collect()))?;
        return Ok(Exit::Ok);
    };
    let Ok(code) = wanted.parse::<Code>() else {
        let unknown = anyhow::anyhow!("no code is called {wanted:?}");
        let failure = Failure::new(Exit::NotFound, unknown);
        return Err(failure.or_next("`ticketctl explain` lists all codes"));
    };
    output.show(&Page::of(code))?;
    Ok(Exit::Ok)
}

/// What is to be said about a code.
#[derive(Debug, Serialize)]
struct Page {
    code: &'static str,
    reason: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    http_status: Option<u16>,
    title: &'static str,
    next_step: &'static str,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Page {
    fn of(code: Code) -> Self {
        Self {
            code: code.as_str(),
            reason: code.reason(),
            http_status: Some(code.http_status()).filter(|status| *status != 0),
            title: code.title(),
            next_step: code.next_step(),
            kind: code.problem_type(),
        }
    }
}

impl Document for Page {
    type Object = Self;

    fn object(&self) -> &Self {
        self
    }

    fn table(&self, _is_wide: bool) -> String {
        let status = match self.http_status {
            Some(status) => format!(", HTTP {status}"),
            None => String::new(),
        };
        format!(
            "{} (in Kubernetes {}{status})\n\n{}\n\nNext: {}",
            self.code, self.reason, self.title, self.next_step
        )
    }

    fn names(&self) -> Vec<String> {
        vec![self.code.to_owned()]
    }
}

struct Codes(Vec<Page>);

impl Document for Codes {
    type Object = Vec<Page>;

    fn object(&self) -> &Vec<Page> {
        &self.0
    }

    fn table(&self, is_wide: bool) -> String {
        let mut table = if is_wide {
            Table::new(&["CODE", "REASON", "HTTP", "MEANING", "NEXT"])
        } else {
            Table::new(&["CODE", "HTTP", "MEANING"])
        };
        for page in &self.0 {
            let code = page.code.to_owned();
            let status = page
                .http_status
                .map(|status| status.to_string())
                .unwrap_or_default();
            let title = page.title.to_owned();
            if is_wide {
                let (reason, next) = (page.reason.to_owned(), page.next_step.to_owned());
                table.row([code, reason, status, title, next]);
            } else {
                table.row([code, status, title]);
            }
        }
        table.to_string()
    }

    fn names(&self) -> Vec<String> {
        self.0.iter().map(|page| page.code.to_owned()).collect()
    }
}
