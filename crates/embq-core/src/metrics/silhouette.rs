//! The hard silhouette (Rousseeuw 1987).

/// (b - a) / m, and 0 where m is 0.
pub fn silhouette(a: f64, b: f64, m: f64) -> f64 {
    if m > 0.0 { (b - a) / m } else { 0.0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_at_distance_0_of_everything_scores_0() {
        assert_eq!(silhouette(0.0, 0.0, 0.0), 0.0);
        assert_eq!(silhouette(1.0, 4.0, 4.0), 0.75);
        assert_eq!(silhouette(4.0, 1.0, 4.0), -0.75);
    }
}
