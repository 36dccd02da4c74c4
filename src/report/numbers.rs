//! Numbers formatted for people.

use embq_core::evaluation::SettingsUsed;

pub(crate) use embq_files::output::exact;

/// About four significant digits in at most 9 characters; `-` for an undefined number.
pub(crate) fn short(value: Option<f64>) -> String {
    let Some(value) = value else {
        return "-".to_owned();
    };
    let size = value.abs();
    if value == 0.0 {
        "0".to_owned()
    } else if !(1e-3..1e6).contains(&size) {
        format!("{value:.2e}")
    } else if size >= 1e3 {
        format!("{value:.1}")
    } else if size >= 10.0 {
        format!("{value:.2}")
    } else {
        format!("{value:.4}")
    }
}

/// A share as a percentage.
pub(crate) fn percent(share: Option<f64>) -> String {
    share.map_or_else(|| "-".to_owned(), |share| format!("{:.1} %", 100.0 * share))
}

/// A count with thousands separators.
pub(crate) fn count(value: usize) -> String {
    let digits = value.to_string();
    let mut text = String::new();
    for (position, digit) in digits.chars().enumerate() {
        if position > 0 && (digits.len() - position).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A temperature as given; one found by `auto` is rounded.
pub(crate) fn temperature(settings: &SettingsUsed) -> String {
    if settings.temperature_auto { short(Some(settings.temperature)) } else { settings.temperature.to_string() }
}

/// A number with its sign.
pub(crate) fn signed(value: Option<f64>) -> String {
    match value {
        Some(value) if value > 0.0 => format!("+{}", short(Some(value))),
        other => short(other),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_has_its_digits() {
        let shown = [0.0, 0.26654, -1.5, 12.3456, 1234.56, 4.2e-5, -3.7e12].map(|value| short(Some(value)));
        assert_eq!(shown, ["0", "0.2665", "-1.5000", "12.35", "1234.6", "4.20e-5", "-3.70e12"]);
        assert_eq!(short(None), "-");
        assert_eq!(percent(Some(0.1429)), "14.3 %");
        assert_eq!([7, 1797, 1_000_000].map(count), ["7", "1,797", "1,000,000"]);
    }
}
