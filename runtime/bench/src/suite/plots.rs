//! Draws plots as SVG. Text stays text in the picture, so that no fonts are needed where it is drawn.

use anyhow::Context as _;
use plotters::coord::Shift;
use plotters::coord::ranged1d::ValueFormatter;
use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

use super::section::Plot;
use crate::stats::Spread;

/// Size of a picture, points.
const SIZE: (u32, u32) = (860, 480);

/// Family of all text.
const FONT: &str = "sans-serif";

/// Sizes of the title and of everything else, points.
const TITLE_POINTS: u32 = 18;
const TEXT_POINTS: u32 = 13;

/// Space for numbers beside the picture, for words under it, and for names of columns, points.
const LEFT_POINTS: u32 = 80;
const BELOW_POINTS: u32 = 45;
const NAMES_POINTS: u32 = 70;

/// Numbers along an axis.
const LABELS: usize = 10;

/// Air above the highest value, where the legend is.
const ABOVE: f64 = 1.2;

/// Air to the right of the last value, and on both sides where an axis is logarithmic.
const BESIDE: f64 = 1.05;

/// A curve with more points than this has no dots.
const DOTS_MAX: usize = 20;

/// Share of its place that a column takes.
const COLUMN_SHARE: f64 = 0.6;

/// Width of all columns together with the legend beside them, in widths of the columns.
const LEGEND_SPACE: f64 = 1.2;

/// Height of a line of a column's name, points.
const LINE_POINTS: i32 = 15;

/// Roughly the width of a letter, points.
const LETTER_POINTS: usize = 7;

/// Colours that people with any kind of colour vision tell apart.
const COLOURS: [RGBColor; 8] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(213, 94, 0),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(120, 120, 120),
    RGBColor(120, 80, 40),
];

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

/// The picture of `plot`.
pub(super) fn svg(plot: &Plot) -> anyhow::Result<String> {
    let mut text = String::new();
    {
        let area = SVGBackend::with_string(&mut text, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        match plot {
            Plot::Lines {
                title,
                x_label,
                y_label,
                log_x,
                log_y,
                series,
                ..
            } => {
                let lines = Lines {
                    title,
                    x_label,
                    y_label,
                    series,
                };
                lines.draw(&area, *log_x, *log_y)?;
            }
            Plot::Stacked {
                title,
                y_label,
                groups,
                series,
                ..
            } => stacked(&area, title, y_label, groups, series)?,
        }
        area.present().context("the picture is not complete")?;
    }
    Ok(text)
}

fn colour(at: usize) -> RGBColor {
    COLOURS[at % COLOURS.len()]
}

struct Lines<'a> {
    title: &'a str,
    x_label: &'a str,
    y_label: &'a str,
    series: &'a [(String, Vec<(f64, f64)>)],
}

impl Lines<'_> {
    fn draw(&self, area: &Area<'_>, log_x: bool, log_y: bool) -> anyhow::Result<()> {
        let of = |pick: fn(&(f64, f64)) -> f64| {
            let points = self.series.iter().flat_map(|(_, points)| points);
            points.map(pick).collect::<Vec<_>>()
        };
        let x = range(&of(|it| it.0), log_x, BESIDE);
        let y = range(&of(|it| it.1), log_y, ABOVE);
        let (x_lin, y_lin) = (x.0..x.1, y.0..y.1);
        match (log_x, log_y) {
            (false, false) => self.on(area, x_lin, y_lin),
            (true, false) => self.on(area, x_lin.log_scale(), y_lin),
            (false, true) => self.on(area, x_lin, y_lin.log_scale()),
            (true, true) => self.on(area, x_lin.log_scale(), y_lin.log_scale()),
        }
    }

    fn on<X, Y>(&self, area: &Area<'_>, x: X, y: Y) -> anyhow::Result<()>
    where
        X: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        Y: plotters::coord::ranged1d::AsRangedCoord<Value = f64>,
        X::CoordDescType: ValueFormatter<f64>,
        Y::CoordDescType: ValueFormatter<f64>,
    {
        let mut chart = ChartBuilder::on(area)
            .caption(self.title, (FONT, TITLE_POINTS))
            .margin(12)
            .x_label_area_size(BELOW_POINTS)
            .y_label_area_size(LEFT_POINTS)
            .build_cartesian_2d(x, y)?;
        chart
            .configure_mesh()
            .x_desc(self.x_label)
            .y_desc(self.y_label)
            .x_labels(LABELS)
            .y_labels(LABELS)
            .x_label_formatter(&|value| axis_number(*value))
            .y_label_formatter(&|value| axis_number(*value))
            .label_style((FONT, TEXT_POINTS))
            .max_light_lines(1)
            .draw()?;
        for (at, (name, points)) in self.series.iter().enumerate() {
            let style = colour(at).stroke_width(2);
            chart
                .draw_series(LineSeries::new(points.iter().copied(), style))?
                .label(name.as_str())
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], style));
            if points.len() > DOTS_MAX {
                continue;
            }
            let dots = points
                .iter()
                .map(|point| Circle::new(*point, 3, style.filled()));
            chart.draw_series(dots)?;
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::UpperLeft)
            .background_style(WHITE.mix(0.8))
            .border_style(BLACK.mix(0.3))
            .label_font((FONT, TEXT_POINTS))
            .draw()?;
        Ok(())
    }
}

/// From where to where an axis goes: from 0, or around the values where it is logarithmic.
fn range(values: &[f64], is_log: bool, air: f64) -> (f64, f64) {
    let positive = values.iter().copied().filter(|value| *value > 0.0);
    let most = positive.clone().max_by(f64::total_cmp).unwrap_or(1.0);
    let least = if is_log {
        positive.min_by(f64::total_cmp).unwrap_or(most) / BESIDE
    } else {
        0.0
    };
    (least, most * air)
}

fn axis_number(value: f64) -> String {
    Spread::number(value)
}

fn stacked(
    area: &Area<'_>,
    title: &str,
    y_label: &str,
    groups: &[String],
    series: &[(String, Vec<f64>)],
) -> anyhow::Result<()> {
    let height = |group: usize| -> f64 {
        let pieces = series.iter().filter_map(|(_, pieces)| pieces.get(group));
        pieces.sum()
    };
    let heights: Vec<_> = (0..groups.len()).map(height).collect();
    let (_, most) = range(&heights, false, BESIDE);
    let places = f64::from(u32::try_from(groups.len())?);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, TITLE_POINTS))
        .margin(12)
        .x_label_area_size(NAMES_POINTS)
        .y_label_area_size(LEFT_POINTS)
        .build_cartesian_2d(0.0..places * LEGEND_SPACE, 0.0..most)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .disable_x_axis()
        .y_desc(y_label)
        .y_labels(LABELS)
        .y_label_formatter(&|value| axis_number(*value))
        .label_style((FONT, TEXT_POINTS))
        .max_light_lines(1)
        .draw()?;
    let mut below = vec![0.0; groups.len()];
    for (at, (name, pieces)) in series.iter().enumerate() {
        let style = colour(at).filled();
        let mut boxes = Vec::new();
        for ((place, piece), below) in (0_u32..).zip(pieces).zip(&mut below) {
            let left = f64::from(place) + (1.0 - COLUMN_SHARE) / 2.0;
            boxes.push(Rectangle::new(
                [(left, *below), (left + COLUMN_SHARE, *below + piece)],
                style,
            ));
            *below += piece;
        }
        chart
            .draw_series(boxes)?
            .label(name.as_str())
            .legend(move |(x, y)| Rectangle::new([(x, y - 5), (x + 14, y + 5)], style));
    }
    names_below(area, &chart, groups)?;
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperRight)
        .background_style(WHITE.mix(0.8))
        .border_style(BLACK.mix(0.3))
        .label_font((FONT, TEXT_POINTS))
        .draw()?;
    Ok(())
}

/// The name of each column under it, over as many lines as it needs.
fn names_below(
    area: &Area<'_>,
    chart: &ChartContext<'_, SVGBackend<'_>, Cartesian2d<RangedCoordf64, RangedCoordf64>>,
    groups: &[String],
) -> anyhow::Result<()> {
    let style = (FONT, TEXT_POINTS)
        .into_text_style(area)
        .pos(Pos::new(HPos::Center, VPos::Top));
    let (width, _) = chart.plotting_area().dim_in_pixel();
    let letters = usize::try_from(width)? / groups.len().max(1) / LETTER_POINTS;
    for (place, name) in (0_u32..).zip(groups) {
        let (x, y) = chart.backend_coord(&(f64::from(place) + 0.5, 0.0));
        for (line, words) in (0_i32..).zip(wrapped(name, letters)) {
            area.draw(&Text::new(
                words,
                (x, y + 6 + line * LINE_POINTS),
                style.clone(),
            ))?;
        }
    }
    Ok(())
}

/// `text` in lines of at most `letters` letters; a word that is longer stays whole.
fn wrapped(text: &str, letters: usize) -> Vec<String> {
    let mut lines: Vec<String> = Vec::new();
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.chars().count() + 1 + word.chars().count() <= letters => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn lines(log: bool, points: Vec<(f64, f64)>) -> Plot {
        Plot::Lines {
            file: "batch-size".to_owned(),
            title: "Throughput against batch size".to_owned(),
            x_label: "orders in a batch".to_owned(),
            y_label: "orders per second".to_owned(),
            log_x: log,
            log_y: log,
            series: vec![("one stock shard".to_owned(), points)],
        }
    }

    #[test]
    fn curves_have_a_title_names_and_a_line() {
        let points = vec![(1.0, 680.0), (10.0, 6_700.0), (1_000.0, 115_000.0)];
        for log in [false, true] {
            let svg = svg(&lines(log, points.clone())).unwrap();
            for part in [
                "<svg",
                "Throughput against batch size",
                "orders per second",
                "one stock shard",
                "<polyline",
                "</svg>",
            ] {
                assert!(svg.contains(part), "{part}\n{svg}");
            }
        }
    }

    #[test]
    fn a_plot_without_points_is_still_a_picture() {
        for log in [false, true] {
            assert!(svg(&lines(log, Vec::new())).unwrap().contains("</svg>"));
        }
        let empty = Plot::cpu_per_order("nothing", &[]);
        assert!(svg(&empty).unwrap().contains("nothing"));
    }

    #[test]
    fn columns_have_their_names_and_pieces() {
        let mut plot = Plot::cpu_per_order(
            "one hot stock shard",
            &[("PostgreSQL", 8.0), ("Kafka", 2.0)],
        );
        plot.join(Plot::cpu_per_order(
            "accepted",
            &[("Kafka", 8.0), ("api", 29.0)],
        ));
        let svg = svg(&plot).unwrap();
        for part in ["one hot stock shard", "accepted", "PostgreSQL", "api"] {
            assert!(svg.contains(part), "{part}\n{svg}");
        }
    }

    #[test]
    fn names_are_wrapped_between_words() {
        assert_eq!(wrapped("four stock shards", 11), ["four stock", "shards"]);
        assert_eq!(wrapped("incomprehensible", 4), ["incomprehensible"]);
    }
}
