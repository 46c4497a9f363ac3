//! Numbers as pictures that need no colour.

use ratatui::style::Style;
use ratatui::text::Span;
use ticket_admin::Counts;

/// Signs from nothing to the largest value.
const LEVELS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// Signs for units that are sold, held and available.
pub(super) const STOCK: [char; 3] = ['#', '+', '.'];

/// The last `cells` values as a line; the largest of them fills its cell.
pub(in crate::tui) fn line(values: &[u64], cells: usize) -> String {
    let shown = values
        .get(values.len().saturating_sub(cells)..)
        .unwrap_or(values);
    let largest = shown.iter().copied().max().unwrap_or(0).max(1);
    let top = u128::try_from(LEVELS.len() - 1).unwrap_or(0);
    let level = |value: &u64| {
        let level = (u128::from(*value) * top).div_ceil(u128::from(largest));
        usize::try_from(level)
            .ok()
            .and_then(|level| LEVELS.get(level))
            .copied()
    };
    shown
        .iter()
        .map(|value| level(value).unwrap_or('█'))
        .collect()
}

/// Cells for units that are sold, held and available: `cells` in all, and at least one for what there is any of.
pub(super) fn shares(counts: &Counts, cells: usize) -> [usize; 3] {
    let cells = i128::try_from(cells).unwrap_or(0);
    let all = i128::from(counts.capacity);
    if all <= 0 || cells == 0 {
        return [0, 0, 0];
    }
    let share = |units: i64| {
        let units = i128::from(units.max(0)).min(all);
        if units == 0 {
            0
        } else {
            (units * cells / all).max(1)
        }
    };
    let sold = share(counts.sold);
    let held = share(counts.held).min(cells - sold);
    let mut free = cells - sold - held;
    let (mut sold, mut held) = (sold, held);
    if counts.available > 0 && free == 0 {
        // What is left is the news: it takes its cell from the larger part.
        if sold >= held {
            sold -= 1;
        } else {
            held -= 1;
        }
        free = 1;
    }
    if counts.available <= 0 {
        if held > 0 && counts.sold == 0 {
            held += free;
        } else {
            sold += free;
        }
        free = 0;
    }
    [sold, held, free].map(|cells| usize::try_from(cells).unwrap_or(0))
}

/// A bar of `cells` signs.
pub(super) fn bar(counts: &Counts, cells: usize, styles: [Style; 3]) -> Vec<Span<'static>> {
    let shares = shares(counts, cells);
    let parts = shares.into_iter().zip(STOCK).zip(styles);
    parts
        .map(|((cells, sign), style)| {
            let text: String = std::iter::repeat_n(sign, cells).collect();
            Span::styled(text, style)
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(available: i64, held: i64, sold: i64) -> Counts {
        Counts {
            capacity: available + held + sold,
            available,
            held,
            sold,
        }
    }

    #[test]
    fn a_line_shows_the_newest_and_scales_to_the_largest() {
        assert_eq!(line(&[9, 0, 5, 10], 3), "▁▅█");
        assert_eq!(line(&[0, 0], 5), "▁▁");
        assert_eq!(line(&[], 5), "");
        assert_eq!(line(&[u64::MAX, 1], 2), "█▂");
    }

    #[test]
    fn a_bar_is_full_and_never_hides_what_there_is() {
        assert_eq!(shares(&counts(50, 0, 50), 10), [5, 0, 5]);
        assert_eq!(shares(&counts(1, 0, 999_999), 10), [9, 0, 1]);
        assert_eq!(shares(&counts(999_999, 1, 1), 10), [1, 1, 8]);
        assert_eq!(shares(&counts(0, 0, 7), 10), [10, 0, 0]);
        assert_eq!(shares(&counts(0, 0, 0), 10), [0, 0, 0]);
        for (available, held, sold) in [(3, 4, 5), (0, 1, 9), (1, 9, 0), (0, 9, 0), (7, 0, 0)] {
            for cells in 3..40 {
                let shares = shares(&counts(available, held, sold), cells);
                assert_eq!(shares.iter().sum::<usize>(), cells);
                for (cells, units) in shares.into_iter().zip([sold, held, available]) {
                    assert_eq!(
                        cells > 0,
                        units > 0,
                        "{available} {held} {sold} in {cells:?}"
                    );
                }
            }
        }
    }
}
