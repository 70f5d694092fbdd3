//! Line charts in SVG, each drawn twice: for a wide page and for a phone.

use std::fmt::Write as _;

use super::{axis::Axis, numbers::escape};

/// A chart.
pub(super) struct Chart {
    /// What it shows, for who can't see it.
    pub(super) title: &'static str,
    pub(super) x: Axis,
    pub(super) y: Axis,
    pub(super) lines: Vec<Line>,
}

/// One line with its name at its end.
pub(super) struct Line {
    /// The target's name, which chooses the colour.
    pub(super) target: String,
    /// What stands at its end.
    pub(super) label: String,
    /// In the axes' coordinates, from left to right.
    pub(super) points: Vec<Point>,
}

/// A median and its spread.
#[derive(Debug, Clone, Copy)]
pub(super) struct Point {
    pub(super) x: f64,
    pub(super) y: f64,
    pub(super) low: f64,
    pub(super) high: f64,
}

/// Sizes in pixels, if the drawing is not scaled.
struct Sizes {
    class: &'static str,
    width: f64,
    height: f64,
    left: f64,
    right: f64,
}

const SIZES: [Sizes; 2] = [
    Sizes { class: "wide", width: 860.0, height: 430.0, left: 78.0, right: 140.0 },
    Sizes { class: "narrow", width: 380.0, height: 380.0, left: 56.0, right: 114.0 },
];
const TOP: f64 = 26.0;
const BOTTOM: f64 = 46.0;
/// From one name to the next.
const LABEL_HEIGHT: f64 = 16.0;

impl Chart {
    pub(super) fn svg(&self) -> String {
        SIZES.iter().map(|sizes| self.drawn(sizes)).collect()
    }

    fn drawn(&self, sizes: &Sizes) -> String {
        let Sizes { class, width, height, left, right } = sizes;
        let mut svg = format!(
            "<svg class=\"{class}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{}\">",
            escape(self.title)
        );
        let place = Place { left: *left, width: width - left - right, height: height - TOP - BOTTOM, chart: self };
        place.axes(&mut svg, width - right);
        place.lines(&mut svg);
        svg.push_str("</svg>\n");
        svg
    }
}

struct Place<'a> {
    left: f64,
    width: f64,
    height: f64,
    chart: &'a Chart,
}

impl Place<'_> {
    fn x(&self, at: f64) -> f64 {
        self.left + self.chart.x.part(at) * self.width
    }

    fn y(&self, at: f64) -> f64 {
        TOP + (1.0 - self.chart.y.part(at)) * self.height
    }

    fn axes(&self, svg: &mut String, end: f64) {
        let (left, bottom) = (self.left, TOP + self.height);
        for (at, text) in &self.chart.y.ticks {
            let (y, text) = (self.y(*at), escape(text));
            let _ = write!(
                svg,
                "<path class=\"grid\" d=\"M{left:.1} {y:.1}H{end:.1}\"/><text x=\"{:.1}\" y=\"{:.1}\" class=\"tick \
                 end\">{text}</text>",
                left - 8.0,
                y + 4.0
            );
        }
        let mut free_from = f64::MIN;
        for (at, text) in &self.chart.x.ticks {
            let x = self.x(*at);
            let _ = write!(svg, "<path class=\"grid\" d=\"M{x:.1} {TOP}V{:.1}\"/>", bottom + 4.0);
            // A word that would touch the one before is left out; its line stays.
            let half = 3.6 * text.chars().count() as f64;
            if x - half > free_from {
                free_from = x + half + 4.0;
                let _ = write!(
                    svg,
                    "<text x=\"{x:.1}\" y=\"{:.1}\" class=\"tick middle\">{}</text>",
                    bottom + 18.0,
                    escape(text)
                );
            }
        }
        let _ = write!(
            svg,
            "<text x=\"4\" y=\"13\" class=\"axis\">{}</text><text x=\"{end:.1}\" y=\"{:.1}\" class=\"axis \
             end\">{}</text>",
            escape(self.chart.y.label),
            bottom + 38.0,
            escape(self.chart.x.label)
        );
    }

    fn lines(&self, svg: &mut String) {
        let mut ends = Vec::new();
        for line in &self.chart.lines {
            let Some(last) = line.points.last() else { continue };
            let _ = write!(svg, "<g class=\"c-{}\">", escape(&line.target));
            for Point { x, low, high, .. } in &line.points {
                let _ = write!(
                    svg,
                    "<path class=\"spread\" d=\"M{:.1} {:.1}V{:.1}\"/>",
                    self.x(*x),
                    self.y(*low),
                    self.y(*high)
                );
            }
            let path: Vec<_> =
                line.points.iter().map(|point| format!("{:.1} {:.1}", self.x(point.x), self.y(point.y))).collect();
            let _ = write!(svg, "<path class=\"line\" d=\"M{}\"/>", path.join("L"));
            for Point { x, y, .. } in &line.points {
                let _ = write!(svg, "<circle cx=\"{:.1}\" cy=\"{:.1}\" r=\"2.5\"/>", self.x(*x), self.y(*y));
            }
            svg.push_str("</g>");
            ends.push((line, self.x(last.x), self.y(last.y)));
        }
        let wanted: Vec<f64> = ends.iter().map(|(.., y)| *y).collect();
        let label_x = self.left + self.width + 14.0;
        for ((line, x, y), label_y) in ends.iter().zip(apart(&wanted, TOP, TOP + self.height, LABEL_HEIGHT)) {
            let _ = write!(
                svg,
                "<g class=\"c-{}\"><path class=\"leader\" d=\"M{:.1} {y:.1}L{:.1} {label_y:.1}\"/>\
                 <text x=\"{label_x:.1}\" y=\"{:.1}\" class=\"name\">{}</text></g>",
                escape(&line.target),
                x + 3.0,
                label_x - 2.0,
                label_y + 4.0,
                escape(&line.label)
            );
        }
    }
}

/// Moves places apart until each is `distance` from the next, within `top` and `bottom` if there is room for all.
fn apart(wanted: &[f64], top: f64, bottom: f64, distance: f64) -> Vec<f64> {
    let mut order: Vec<usize> = (0..wanted.len()).collect();
    order.sort_by(|a, b| wanted[*a].total_cmp(&wanted[*b]));
    let mut places = wanted.to_vec();
    let mut least = top;
    for &at in &order {
        places[at] = places[at].max(least);
        least = places[at] + distance;
    }
    let mut most = bottom;
    for &at in order.iter().rev() {
        places[at] = places[at].min(most);
        most = places[at] - distance;
    }
    places
}

#[cfg(test)]
mod tests {
    use super::apart;

    #[test]
    fn names_do_not_overlap() {
        let bottom = 100.0;
        for wanted in [vec![50.0, 50.0, 50.0], vec![99.0, 100.0, 98.0, 10.0], vec![0.0, 1.0, 2.0], vec![]] {
            let mut places = apart(&wanted, 0.0, bottom, 10.0);
            places.sort_by(f64::total_cmp);
            assert!(places.windows(2).all(|pair| pair[1] - pair[0] >= 10.0 - 1e-9), "{wanted:?}: {places:?}");
            assert!(places.iter().all(|place| (0.0..=bottom).contains(place)), "{wanted:?}: {places:?}");
        }
        assert_eq!(apart(&[20.0, 80.0], 0.0, bottom, 10.0), [20.0, 80.0], "what has room stays");
    }
}
