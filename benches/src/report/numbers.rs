//! Figures for people: three digits, and a unit.

use crate::summary::Figure;

/// Three digits, with commas between thousands: `87,600`.
pub(super) fn count(value: f64) -> String {
    if !value.is_finite() {
        return "–".to_owned();
    }
    let size = value.abs();
    if size < 10.0 && size.fract() != 0.0 {
        return format!("{value:.2}");
    }
    if size < 100.0 && size.fract() != 0.0 {
        return format!("{value:.1}");
    }
    let digits = size.max(1.0).log10().floor();
    let unit = 10_f64.powf((digits - 2.0).max(0.0));
    let digits = format!("{:.0}", (value / unit).round() * unit);
    let (sign, digits) = digits.strip_prefix('-').map_or(("", &*digits), |rest| ("-", rest));
    let mut grouped = String::new();
    for (at, digit) in digits.char_indices() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    format!("{sign}{grouped}")
}

/// A time: `850 ns`, `8.2 µs`, `110 µs`, `1.3 ms`, `2 s`.
pub(super) fn time(micros: f64) -> String {
    let (value, unit) = match micros {
        micros if !micros.is_finite() => return "–".to_owned(),
        0.0 => return "0".to_owned(),
        micros if micros < 0.9995 => (micros * 1e3, "ns"),
        micros if micros < 999.5 => (micros, "µs"),
        micros if micros < 999_500.0 => (micros / 1e3, "ms"),
        micros => (micros / 1e6, "s"),
    };
    let text = if value < 9.95 { format!("{value:.1}") } else { format!("{value:.0}") };
    format!("{} {unit}", text.strip_suffix(".0").unwrap_or(&text))
}

/// Two decimals, or as many digits as a large one needs: `0.82`, `41`.
pub(super) fn ratio(value: f64) -> String {
    match value {
        value if !value.is_finite() => "–".to_owned(),
        value if value < 9.995 => format!("{value:.2}"),
        value if value < 99.5 => format!("{value:.1}"),
        value => count(value),
    }
}

/// The median, and the spread in small print.
pub(super) fn spread(figure: Option<Figure>, write: fn(f64) -> String) -> String {
    let Some(Figure { median, low, high }) = figure else { return "–".to_owned() };
    format!("{}<small>{} to {}</small>", write(median), write(low), write(high))
}

/// The median alone.
pub(super) fn median(figure: Option<Figure>, write: fn(f64) -> String) -> String {
    figure.map_or_else(|| "–".to_owned(), |figure| write(figure.median))
}

/// Text in HTML.
pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits() {
        let cases = [
            (0.0, "0"),
            (7.0, "7"),
            (7.256, "7.26"),
            (64.0, "64"),
            (64.25, "64.2"),
            (999.6, "1,000"),
            (87_654.0, "87,700"),
            (1_234_567.0, "1,230,000"),
            (-1234.0, "-1,230"),
            (f64::NAN, "–"),
        ];
        for (value, expected) in cases {
            assert_eq!(count(value), expected);
        }
        let cases = [
            (0.0, "0"),
            (0.85, "850 ns"),
            (0.0041, "4.1 ns"),
            (8.24, "8.2 µs"),
            (110.4, "110 µs"),
            (1_000.0, "1 ms"),
            (1_340.0, "1.3 ms"),
            (999.7, "1 ms"),
            (2e6, "2 s"),
        ];
        for (micros, expected) in cases {
            assert_eq!(time(micros), expected, "{micros}");
        }
        assert_eq!([0.823, 9.996, 41.26, 640.4].map(ratio), ["0.82", "10.0", "41.3", "640"]);
    }
}
