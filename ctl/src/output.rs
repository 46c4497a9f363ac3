//! What a command shows: data on standard output in the wanted format, words on standard error.

mod age;
mod growing;
mod table;

use std::io::{self, Write};

use serde::Serialize;

pub(crate) use age::{age, short_time};
pub(crate) use growing::Growing;
pub(crate) use table::{Table, known};

/// How data is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, clap::ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[default]
    Table,
    /// More columns.
    Wide,
    /// The API's own objects as JSON.
    Json,
    /// The API's own objects as YAML.
    Yaml,
    /// Only names, one per line.
    Name,
}

/// Something that can be shown in every format.
pub(crate) trait Document {
    /// The API's own object.
    type Object: Serialize;

    /// For `json` and `yaml`.
    fn object(&self) -> &Self::Object;

    /// For `table` and `wide`.
    fn table(&self, is_wide: bool) -> String;

    /// For `name`.
    fn names(&self) -> Vec<String>;
}

/// How something stands; shown by a word, a colour only repeats it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Level {
    /// As it should be.
    Ok,
    /// Worth a look.
    Warn,
    /// Not as it should be.
    Fail,
}

impl Level {
    const fn word(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Warn => "warn",
            Self::Fail => "FAIL",
        }
    }

    /// ANSI: green, yellow, red and bold.
    const fn paint(self) -> &'static str {
        match self {
            Self::Ok => "\x1b[32m",
            Self::Warn => "\x1b[33m",
            Self::Fail => "\x1b[1;31m",
        }
    }
}

/// Where a command writes.
pub struct Output<'a> {
    data: &'a mut dyn Write,
    words: &'a mut dyn Write,
    format: Format,
    is_coloured: bool,
}

impl std::fmt::Debug for Output<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Output")
            .field("format", &self.format)
            .finish_non_exhaustive()
    }
}

impl<'a> Output<'a> {
    /// Data goes to `data`, words go to `words`.
    pub fn new(
        data: &'a mut dyn Write,
        words: &'a mut dyn Write,
        format: Format,
        is_coloured: bool,
    ) -> Self {
        Self {
            data,
            words,
            format,
            is_coloured,
        }
    }

    /// `wide` was wanted.
    pub(crate) fn is_wide(&self) -> bool {
        self.format == Format::Wide
    }

    /// Only names were wanted.
    pub(crate) fn is_for_names(&self) -> bool {
        self.format == Format::Name
    }

    /// Is it for people (`table`, `wide`) and not for programs?
    pub(crate) fn is_for_people(&self) -> bool {
        matches!(self.format, Format::Table | Format::Wide)
    }

    /// Shows `document` in the wanted format.
    pub(crate) fn show(&mut self, document: &impl Document) -> io::Result<()> {
        match self.format {
            Format::Table => self.text(&document.table(false)),
            Format::Wide => self.text(&document.table(true)),
            Format::Json => {
                serde_json::to_writer_pretty(&mut *self.data, document.object())?;
                writeln!(self.data)
            }
            Format::Yaml => self.yaml(document.object()),
            Format::Name => self.text(&document.names().join("\n")),
        }
    }

    /// One document of many that come one after the other: JSON on one line, YAML as a document of its own.
    pub(crate) fn stream(&mut self, document: &impl Document) -> io::Result<()> {
        match self.format {
            Format::Table | Format::Wide | Format::Name => self.show(document),
            Format::Json => {
                serde_json::to_writer(&mut *self.data, document.object())?;
                writeln!(self.data)?;
                self.data.flush()
            }
            Format::Yaml => {
                writeln!(self.data, "---")?;
                self.yaml(document.object())
            }
        }
    }

    /// A line of data, or several; nothing for an empty text.
    pub(crate) fn text(&mut self, text: &str) -> io::Result<()> {
        if text.is_empty() {
            return Ok(());
        }
        writeln!(self.data, "{}", text.trim_end_matches('\n'))?;
        self.data.flush()
    }

    /// A line that begins with how something stands.
    pub(crate) fn graded(&mut self, level: Level, text: &str) -> io::Result<()> {
        let word = level.word();
        if self.is_coloured {
            let paint = level.paint();
            return writeln!(self.data, "{paint}{word:<4}\x1b[0m  {text}");
        }
        writeln!(self.data, "{word:<4}  {text}")
    }

    /// A line of words. Nobody is left to tell if it cannot be written.
    pub(crate) fn word(&mut self, text: &str) {
        drop(writeln!(self.words, "{text}"));
    }

    fn yaml(&mut self, object: &impl Serialize) -> io::Result<()> {
        let text = serde_saphyr::to_string(object).map_err(io::Error::other)?;
        self.text(&text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graded(is_coloured: bool) -> String {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        Output::new(&mut data, &mut words, Format::Table, is_coloured)
            .graded(Level::Fail, "ledger")
            .unwrap();
        String::from_utf8(data).unwrap()
    }

    #[test]
    fn colour_only_repeats_what_the_word_says() {
        assert_eq!(graded(false), "FAIL  ledger\n");
        assert_eq!(graded(true), "\x1b[1;31mFAIL\x1b[0m  ledger\n");
    }
}
