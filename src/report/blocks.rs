//! Bars of block characters.

/// Parts of a column, in eighths.
const PARTS: [char; 8] = [' ', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/// A bar that is so many columns long, to an eighth.
pub(crate) fn bar(columns: f64) -> String {
    let eighths = (columns.max(0.0) * 8.0).round() as usize;
    let mut bar = "█".repeat(eighths / 8);
    if !eighths.is_multiple_of(8) {
        bar.push(PARTS[eighths % 8]);
    }
    bar
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_are_long_to_an_eighth() {
        assert_eq!([0.0, 0.06, 0.125, 2.5, 3.0, -1.0].map(bar), ["", "", "▏", "██▌", "███", ""]);
    }
}
