//! Horizontal bars, stacked or single, as HTML: they fit any width without a second drawing.

use std::fmt::Write as _;

use super::numbers::escape;

/// A bar with its name, its parts and a text behind it.
pub(super) struct Bar {
    pub(super) label: String,
    /// Class and length of each part.
    pub(super) parts: Vec<(String, f64)>,
    pub(super) text: String,
}

/// The bars, all in relation to the longest.
pub(super) fn bars(bars: &[Bar]) -> String {
    let length = |bar: &Bar| bar.parts.iter().map(|part| part.1).sum::<f64>();
    let longest = bars.iter().map(length).fold(f64::MIN_POSITIVE, f64::max);
    let mut html = String::from("<div class=\"bars\">\n");
    for bar in bars {
        let _ = write!(html, "<span class=\"of\">{}</span><span class=\"bar\">", escape(&bar.label));
        for (class, part) in &bar.parts {
            // The text behind the longest bar needs room too.
            let _ = write!(html, "<i class=\"{}\" style=\"width:{:.2}%\"></i>", escape(class), 72.0 * part / longest);
        }
        let _ = writeln!(html, "<b>{}</b></span>", escape(&bar.text));
    }
    html.push_str("</div>\n");
    html
}
