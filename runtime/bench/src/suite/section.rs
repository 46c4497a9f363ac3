//! The parts of a report: what a measure says, without a word on how it is drawn or written.

use crate::stats::Spread;

/// A part of the report. Sections with the same title become one: paragraphs that are equal stand there once, tables with
/// the same columns are one table, plots of the same file are one plot.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Section {
    /// Its heading.
    pub title: String,
    /// What was measured and how, in paragraphs.
    pub intro: Vec<String>,
    /// The figures.
    pub tables: Vec<Table>,
    /// The pictures.
    pub plots: Vec<Plot>,
    /// What had to be reached.
    pub bars: Vec<Bar>,
    /// What a reader should know of these figures: causes, doubts.
    pub notes: Vec<String>,
}

impl Section {
    /// Takes in another section with the same title.
    pub(super) fn join(&mut self, other: Self) {
        add_missing(&mut self.intro, other.intro);
        for table in other.tables {
            match self
                .tables
                .iter_mut()
                .find(|it| it.columns == table.columns)
            {
                Some(same) => same.rows.extend(table.rows),
                None => self.tables.push(table),
            }
        }
        for plot in other.plots {
            match self.plots.iter_mut().find(|it| it.file() == plot.file()) {
                Some(same) => same.join(plot),
                None => self.plots.push(plot),
            }
        }
        self.bars.extend(other.bars);
        add_missing(&mut self.notes, other.notes);
    }
}

fn add_missing(lines: &mut Vec<String>, more: Vec<String>) {
    for line in more {
        if !lines.contains(&line) {
            lines.push(line);
        }
    }
}

/// Rows under headings. The first column holds words, the others numbers.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Table {
    /// Headings.
    pub columns: Vec<String>,
    /// As many cells per row as there are headings.
    pub rows: Vec<Vec<String>>,
}

impl Table {
    /// A table without rows.
    #[must_use]
    pub fn new<S: Into<String>>(columns: impl IntoIterator<Item = S>) -> Self {
        Self {
            columns: columns.into_iter().map(Into::into).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row<S: Into<String>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(Into::into).collect());
    }
}

/// Something that had to be reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Bar {
    /// "one hot stock shard".
    pub what: String,
    /// "at least x40 naive".
    pub wanted: String,
    /// "x45 (43-51)".
    pub reached: String,
    /// Was it?
    pub holds: bool,
}

impl Bar {
    /// The median must be at least `least`. `unit` goes before the figures if it is `x`, else behind: `x`, ` us`, `/s`.
    #[must_use]
    pub fn at_least(what: &str, least: f64, unit: &str, reached: &Spread) -> Self {
        let holds = !reached.values.is_empty() && reached.median >= least;
        Self::of(what, "at least", least, unit, reached, holds)
    }

    /// The median must be at most `most`.
    #[must_use]
    pub fn at_most(what: &str, most: f64, unit: &str, reached: &Spread) -> Self {
        let holds = !reached.values.is_empty() && reached.median <= most;
        Self::of(what, "at most", most, unit, reached, holds)
    }

    fn of(what: &str, word: &str, limit: f64, unit: &str, reached: &Spread, holds: bool) -> Self {
        let limit = Spread::number(limit);
        let (wanted, with_unit) = match unit.strip_prefix('x') {
            Some(of) => (format!("{word} x{limit}{of}"), format!("x{reached}")),
            None => (format!("{word} {limit}{unit}"), format!("{reached}{unit}")),
        };
        let reached = if reached.values.is_empty() {
            "nothing".to_owned()
        } else {
            with_unit
        };
        Self {
            what: what.to_owned(),
            wanted,
            reached,
            holds,
        }
    }
}

/// A picture, written as `<file>.svg` beside the report.
#[derive(Debug, Clone, PartialEq)]
pub enum Plot {
    /// Curves.
    Lines {
        /// Its name without `.svg`: `kebab-case`, unique in the report.
        file: String,
        /// Above it.
        title: String,
        /// Under it, with the unit.
        x_label: String,
        /// Beside it, with the unit.
        y_label: String,
        /// Logarithmic; all x must be above 0.
        log_x: bool,
        /// Logarithmic; all y must be above 0.
        log_y: bool,
        /// Name and points of each curve.
        series: Vec<(String, Vec<(f64, f64)>)>,
    },
    /// One column per group, with a piece per series.
    Stacked {
        /// Its name without `.svg`: `kebab-case`, unique in the report.
        file: String,
        /// Above it.
        title: String,
        /// Beside it, with the unit.
        y_label: String,
        /// Names of the columns.
        groups: Vec<String>,
        /// Name of each piece, and its height in each column.
        series: Vec<(String, Vec<f64>)>,
    },
}

/// File of the plot to which every measure adds a column: CPU per order by process.
const CPU_FILE: &str = "cpu-per-order";

impl Plot {
    /// One column of the plot that shows what an order costs, in CPU microseconds by process.
    #[must_use]
    pub fn cpu_per_order(column: &str, us: &[(&str, f64)]) -> Self {
        let piece = |(process, us): &(&str, f64)| ((*process).to_owned(), vec![*us]);
        Self::Stacked {
            file: CPU_FILE.to_owned(),
            title: "CPU per order by process".to_owned(),
            y_label: "CPU microseconds per order".to_owned(),
            groups: vec![column.to_owned()],
            series: us.iter().map(piece).collect(),
        }
    }

    /// Takes in the curves or columns of a plot with the same file. One of another kind has no place here and is left out.
    pub(super) fn join(&mut self, other: Self) {
        match (self, other) {
            (Self::Lines { series, .. }, Self::Lines { series: more, .. }) => series.extend(more),
            (
                Self::Stacked { groups, series, .. },
                Self::Stacked {
                    groups: more_groups,
                    series: more,
                    ..
                },
            ) => {
                let before = groups.len();
                groups.extend(more_groups);
                for (name, heights) in more {
                    if let Some((_, mine)) = series.iter_mut().find(|(it, _)| *it == name) {
                        mine.resize(before, 0.0);
                        mine.extend(heights);
                    } else {
                        let mut mine = vec![0.0; before];
                        mine.extend(heights);
                        series.push((name, mine));
                    }
                }
                for (_, heights) in series {
                    heights.resize(groups.len(), 0.0);
                }
            }
            (Self::Lines { .. }, Self::Stacked { .. })
            | (Self::Stacked { .. }, Self::Lines { .. }) => {}
        }
    }

    /// Its name without `.svg`.
    #[must_use]
    pub fn file(&self) -> &str {
        match self {
            Self::Lines { file, .. } | Self::Stacked { file, .. } => file,
        }
    }

    /// What stands above it.
    #[must_use]
    pub fn title(&self) -> &str {
        match self {
            Self::Lines { title, .. } | Self::Stacked { title, .. } => title,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bar_holds_by_its_median() {
        let reached = Spread::of(vec![39.0, 45.0, 51.0]);
        let bar = Bar::at_least("one hot stock shard", 40.0, "x naive", &reached);
        assert_eq!(bar.wanted, "at least x40 naive");
        assert_eq!(bar.reached, "x45.0 (39.0-51.0)");
        assert!(bar.holds);
        assert!(!Bar::at_least("it", 46.0, "x", &reached).holds);
        let bar = Bar::at_most("CPU", 16.0, " us", &reached);
        assert_eq!((bar.wanted.as_str(), bar.holds), ("at most 16 us", false));
        assert_eq!(bar.reached, "45.0 (39.0-51.0) us");
    }

    #[test]
    fn what_was_not_measured_was_not_reached() {
        let nothing = Spread::of(Vec::new());
        let bar = Bar::at_most("CPU", 16.0, " us", &nothing);
        assert_eq!((bar.reached.as_str(), bar.holds), ("nothing", false));
    }

    #[test]
    fn sections_with_one_title_become_one() {
        let part = |name: &str, us: &[(&str, f64)]| {
            let mut table = Table::new(["path", "orders/s"]);
            table.row([name, "1"]);
            Section {
                title: "Ledger path".to_owned(),
                intro: vec!["A full log.".to_owned()],
                tables: vec![table],
                plots: vec![Plot::cpu_per_order(name, us)],
                ..Section::default()
            }
        };
        let mut all = part("one", &[("Kafka", 1.0), ("api", 2.0)]);
        all.join(part("two", &[("Redis", 3.0), ("Kafka", 4.0)]));
        assert_eq!(all.intro, ["A full log."]);
        assert_eq!(all.tables.len(), 1);
        assert_eq!(all.tables[0].rows, [["one", "1"], ["two", "1"]]);
        let [Plot::Stacked { groups, series, .. }] = all.plots.as_slice() else {
            panic!("one plot: {:?}", all.plots);
        };
        assert_eq!(groups, &["one", "two"]);
        let of = |name: &str| &series.iter().find(|(it, _)| it == name).unwrap().1;
        assert_eq!(of("Kafka"), &[1.0, 4.0]);
        assert_eq!(of("api"), &[2.0, 0.0]);
        assert_eq!(of("Redis"), &[0.0, 3.0]);
    }
}
