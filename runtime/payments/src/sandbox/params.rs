//! Parameters of a request, read strictly: what is missing, unknown or out of range is one of Stripe's errors.

use axum::http::StatusCode;

use crate::sandbox::archive::PageWish;
use crate::sandbox::fault::Fault;
use crate::stripe::form;
use crate::stripe::objects::Metadata;

/// Parameters in one request.
const PARAMS_MAX: usize = 100;
/// Stripe's limits of metadata: entries, and characters of a key and of a value.
const METADATA_MAX: usize = 50;
const METADATA_KEY_CHARS_MAX: usize = 40;
const METADATA_VALUE_CHARS_MAX: usize = 500;
/// Objects on a page: Stripe's default and maximum.
const PAGE_DEFAULT: i64 = 10;
const PAGE_MAX: i64 = 100;

/// Parameters that nobody has taken yet.
#[derive(Debug)]
pub(super) struct Params(Vec<(String, String)>);

impl Params {
    /// Of a form-encoded body or query.
    pub(super) fn read(encoded: &[u8]) -> Result<Self, Fault> {
        let params: Vec<_> = form::pairs(encoded).take(PARAMS_MAX + 1).collect();
        if params.len() > PARAMS_MAX {
            let message = format!("More than {PARAMS_MAX} parameters.");
            return Err(Fault::request(StatusCode::BAD_REQUEST, message));
        }
        Ok(Self(params))
    }

    /// The parameter, if it is there; the last one if there are several.
    pub(super) fn take(&mut self, name: &str) -> Option<String> {
        let mut found = None;
        self.0.retain_mut(|(key, value)| {
            let is_it = key == name;
            if is_it {
                found = Some(std::mem::take(value));
            }
            !is_it
        });
        found
    }

    /// The parameter, which must be there and not empty.
    pub(super) fn require(&mut self, name: &str) -> Result<String, Fault> {
        match self.take(name) {
            None => Err(Fault::parameter_missing(name)),
            Some(value) if value.is_empty() => Err(Fault::parameter_empty(name)),
            Some(value) => Ok(value),
        }
    }

    /// `true` or `false`, if it is there.
    pub(super) fn take_bool(&mut self, name: &str) -> Result<Option<bool>, Fault> {
        match self.take(name).as_deref() {
            None => Ok(None),
            Some("true") => Ok(Some(true)),
            Some("false") => Ok(Some(false)),
            Some(other) => {
                let message = format!("Invalid boolean: {}", other.escape_default());
                Err(Fault::parameter(name, message))
            }
        }
    }

    /// `metadata[key]=value`; an empty value unsets its key.
    pub(super) fn take_metadata(&mut self) -> Result<Metadata, Fault> {
        let mut metadata = Metadata::new();
        let mut fault = None;
        self.0
            .retain_mut(|(name, value)| match form::bracketed(name) {
                Some(("metadata", key)) => {
                    let value = std::mem::take(value);
                    if key.is_empty() || key.chars().count() > METADATA_KEY_CHARS_MAX {
                        let message =
                            format!("A metadata key has 1 to {METADATA_KEY_CHARS_MAX} characters.");
                        fault = Some(Fault::parameter("metadata", message));
                    } else if value.chars().count() > METADATA_VALUE_CHARS_MAX {
                        let message = format!(
                            "A metadata value has at most {METADATA_VALUE_CHARS_MAX} characters."
                        );
                        fault = Some(Fault::parameter(&format!("metadata[{key}]"), message));
                    } else if value.is_empty() {
                        metadata.remove(key);
                    } else {
                        metadata.insert(key.to_owned(), value);
                    }
                    false
                }
                Some(_) | None => true,
            });
        if metadata.len() > METADATA_MAX {
            let message = format!("Metadata has at most {METADATA_MAX} keys.");
            fault = Some(Fault::parameter("metadata", message));
        }
        fault.map_or(Ok(metadata), Err)
    }

    /// `limit` and `starting_after`.
    pub(super) fn take_page(&mut self) -> Result<PageWish, Fault> {
        let limit = match self.take("limit") {
            None => PAGE_DEFAULT,
            Some(text) => integer("limit", &text)?,
        };
        if !(1..=PAGE_MAX).contains(&limit) {
            let message = format!("This value must be from 1 to {PAGE_MAX}.");
            return Err(Fault::parameter_integer("limit", message));
        }
        let limit = usize::try_from(limit).unwrap_or(1);
        Ok(PageWish {
            limit,
            starting_after: self.take("starting_after"),
        })
    }

    /// Nothing may be left.
    pub(super) fn finish(self) -> Result<(), Fault> {
        match self.0.first() {
            None => Ok(()),
            Some((name, _)) => {
                let name = name.split_once('[').map_or(name.as_str(), |(name, _)| name);
                Err(Fault::parameter_unknown(&name.escape_default().to_string()))
            }
        }
    }
}

/// A whole number.
pub(super) fn integer(param: &str, text: &str) -> Result<i64, Fault> {
    text.parse().map_err(|_| {
        Fault::parameter_integer(param, format!("Invalid integer: {}", text.escape_default()))
    })
}
