//! Of a list only the lines that differ are shown again.

use crate::exit::Failure;
use crate::output::{Document, Growing, Output, Table};

/// A list that can be watched.
pub(crate) trait Lines: Document {
    /// What [`Document::table`] consists of. The rows of the first, when not wide, are those of [`Document::names`].
    fn tables(&self, is_wide: bool) -> Vec<Table>;
}

/// What was shown of a list.
#[derive(Debug)]
pub(crate) struct Rows<D> {
    before: Option<D>,
    tables: Vec<Growing>,
    /// The table that the last line belongs to.
    last: Option<usize>,
}

impl<D: Lines> Rows<D>
where
    D::Object: PartialEq,
{
    pub(crate) const fn new() -> Self {
        Self {
            before: None,
            tables: Vec::new(),
            last: None,
        }
    }

    /// The lines that differ for people, their names for `name`, the whole list for other programs; nothing when it is as
    /// before.
    pub(crate) fn show(&mut self, now: D, output: &mut Output<'_>) -> Result<(), Failure> {
        if let Some(before) = &self.before
            && before.object() == now.object()
        {
            return Ok(());
        }
        if output.is_for_people() {
            self.lines(&now, output)?;
        } else if output.is_for_names() {
            let names = now.names();
            let changed = self.news(&now, false).into_iter().next();
            for number in changed.into_iter().flat_map(|(_, numbers)| numbers) {
                output.text(names.get(number).map_or("", String::as_str))?;
            }
        } else {
            output.stream(&now)?;
        }
        self.before = Some(now);
        Ok(())
    }

    /// The tables of `now`, each with the numbers of its rows that were not there before.
    fn news(&self, now: &D, is_wide: bool) -> Vec<(Table, Vec<usize>)> {
        let before = self.before.as_ref().map(|it| it.tables(is_wide));
        let before = before.unwrap_or_default();
        let tables = now.tables(is_wide).into_iter().enumerate();
        tables
            .map(|(place, table)| {
                let nothing = table.only(&[]);
                let news = table.news(before.get(place).unwrap_or(&nothing));
                (table, news)
            })
            .collect()
    }

    fn lines(&mut self, now: &D, output: &mut Output<'_>) -> Result<(), Failure> {
        let news = self.news(now, output.is_wide());
        self.tables.resize_with(news.len(), Growing::default);
        for (place, (growing, (table, news))) in self.tables.iter_mut().zip(news).enumerate() {
            if news.is_empty() {
                continue;
            }
            let mut gap = "";
            if let Some(last) = self.last.replace(place)
                && last != place
            {
                growing.interrupt();
                gap = "\n";
            }
            output.text(&format!("{gap}{}", growing.lines(&table.only(&news))))?;
        }
        let before = self.before.as_ref().map(Document::names);
        let names = now.names();
        for name in before.unwrap_or_default() {
            if !names.contains(&name) {
                output.word(&format!("{name} is gone from the list"));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::output::Format;

    /// Nodes with their shards, and the shards with their sizes.
    struct Places(Vec<(&'static str, Vec<u32>)>);

    impl Document for Places {
        type Object = Vec<(&'static str, Vec<u32>)>;

        fn object(&self) -> &Self::Object {
            &self.0
        }

        fn table(&self, is_wide: bool) -> String {
            let tables = self.tables(is_wide);
            tables.iter().map(Table::to_string).collect()
        }

        fn names(&self) -> Vec<String> {
            self.0.iter().map(|(node, _)| (*node).to_owned()).collect()
        }
    }

    impl Lines for Places {
        fn tables(&self, _is_wide: bool) -> Vec<Table> {
            let mut nodes = Table::new(&["NODE", "SHARDS"]);
            let mut shards = Table::new(&["NODE", "BYTES"]);
            for (node, sizes) in &self.0 {
                nodes.row([(*node).to_owned(), sizes.len().to_string()]);
                for size in sizes {
                    shards.row([(*node).to_owned(), size.to_string()]);
                }
            }
            vec![nodes, shards]
        }
    }

    fn watched(format: Format) -> (String, String) {
        let (mut data, mut words) = (Vec::new(), Vec::new());
        let mut output = Output::new(&mut data, &mut words, format, false);
        let mut rows = Rows::new();
        for places in [
            vec![("a", vec![5]), ("b", vec![])],
            vec![("a", vec![5]), ("b", vec![])],
            vec![("a", vec![5]), ("b", vec![7])],
            vec![("a", vec![5]), ("b", vec![8])],
            vec![("b", vec![8])],
        ] {
            rows.show(Places(places), &mut output).unwrap();
        }
        let text = |bytes| String::from_utf8(bytes).unwrap();
        (text(data), text(words))
    }

    #[test]
    fn people_see_the_lines_that_differ_under_their_own_header() {
        let (data, words) = watched(Format::Table);
        insta::assert_snapshot!(data, @r"
        NODE   SHARDS
        a      1
        b      0

        NODE   BYTES
        a      5

        NODE   SHARDS
        b      1

        NODE   BYTES
        b      7
        b      8
        ");
        assert_eq!(words, "a is gone from the list\n");
    }

    #[test]
    fn programs_see_each_list_that_differs_or_the_names_of_what_does() {
        let (data, words) = watched(Format::Json);
        assert_eq!(data.lines().count(), 4, "{data}");
        assert!(data.ends_with("[[\"b\",[8]]]\n"), "{data}");
        assert_eq!(words, "");
        assert_eq!(watched(Format::Name).0, "a\nb\nb\n");
    }
}
