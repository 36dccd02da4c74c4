//! A series of numbers in one line of text.

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

/// A bar for each value, scaled from the smallest to the largest: a middle bar if all are equal, a dot if undefined. More
/// than `width` values are sampled evenly, always including the last.
pub(crate) fn sparkline(values: &[Option<f64>], width: usize) -> String {
    let finite = || values.iter().flatten().copied();
    let (low, high) = (finite().fold(f64::INFINITY, f64::min), finite().fold(f64::NEG_INFINITY, f64::max));
    let bar = |value: &Option<f64>| match value {
        None => '·',
        Some(_) if high <= low => BARS[3],
        Some(value) => BARS[(((value - low) / (high - low) * 8.0) as usize).min(7)],
    };
    let shown = values.len().min(width.max(1));
    let place = |index: usize| if shown < 2 { 0 } else { index * (values.len() - 1) / (shown - 1) };
    (0..shown).filter_map(|index| values.get(place(index))).map(bar).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bars_go_from_the_smallest_to_the_largest() {
        assert_eq!(sparkline(&[Some(0.0), Some(0.5), None, Some(1.0)], 10), "▁▅·█");
        assert_eq!(sparkline(&[Some(2.0), Some(2.0)], 10), "▄▄");
        assert_eq!(sparkline(&[], 10), "");
        let many: Vec<Option<f64>> = (0..100).map(|value| Some(f64::from(value))).collect();
        let line = sparkline(&many, 20);
        assert_eq!(line.chars().count(), 20);
        assert!(line.starts_with('▁') && line.ends_with('█'));
    }
}
