//! Which part of the window shows what.

use ratatui::layout::Rect;

/// The smallest window that the view fits into, in columns and rows.
pub const MIN_WIDTH: u16 = 60;
pub const MIN_HEIGHT: u16 = 16;

/// Rates of exchanges, failures and answers of 5xx.
const RATES: u16 = 3;
/// Most rows below the headings of the causes and listeners.
const PANELS: u16 = 10;

/// The first row, the last row, and what is between.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Space {
    pub(super) title: Rect,
    pub(super) body: Rect,
    pub(super) foot: Rect,
}

/// The parts of the body. Each of the last three begins with a row for its heading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Areas {
    pub(super) rates: Rect,
    pub(super) panels: Rect,
    pub(super) list: Rect,
    pub(super) detail: Rect,
}

impl Space {
    /// `None`: the window is too small.
    pub(super) fn of(window: Rect) -> Option<Self> {
        let fits = window.width >= MIN_WIDTH && window.height >= MIN_HEIGHT;
        fits.then(|| Self {
            title: Rect { height: 1, ..window },
            body: Rect { y: window.y + 1, height: window.height - 2, ..window },
            foot: Rect { y: window.y + window.height - 1, height: 1, ..window },
        })
    }
}

impl Areas {
    /// Of a body of at least 14 rows.
    pub(super) fn of(body: Rect) -> Self {
        let rows = body.height.saturating_sub(RATES + 3);
        let panels = (rows / 3).clamp(2, PANELS);
        let list = rows.saturating_sub(panels) * 2 / 5;
        let detail = rows.saturating_sub(panels + list);
        let mut y = body.y;
        let mut next = |height| {
            let area = Rect { y, height, ..body };
            y += height;
            area
        };
        Self { rates: next(RATES), panels: next(panels + 1), list: next(list + 1), detail: next(detail + 1) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_row_of_every_window_is_used_once() {
        for height in MIN_HEIGHT..200 {
            let window = Rect::new(0, 0, MIN_WIDTH, height);
            let space = Space::of(window).unwrap();
            let areas = Areas::of(space.body);
            let mut y = 0;
            for area in [space.title, areas.rates, areas.panels, areas.list, areas.detail, space.foot] {
                assert_eq!((area.y, area.width), (y, MIN_WIDTH));
                assert!(area.height > 0);
                y += area.height;
            }
            assert_eq!(y, height);
            assert!(areas.list.height > 2 && areas.detail.height > 3);
        }
    }

    #[test]
    fn a_window_below_the_minimum_has_no_space() {
        assert_eq!(Space::of(Rect::new(0, 0, MIN_WIDTH - 1, MIN_HEIGHT)), None);
        assert_eq!(Space::of(Rect::new(0, 0, MIN_WIDTH, MIN_HEIGHT - 1)), None);
        assert_eq!(Space::of(Rect::new(0, 0, 0, 0)), None);
    }
}
