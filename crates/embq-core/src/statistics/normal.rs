//! The normal approximation, for where only standard errors are known.

/// Half of the width of a 95 % interval, in standard errors.
const HALF_WIDTH: f64 = 1.959_963_984_540_054;

/// The 95 % interval around an estimate.
pub fn normal_interval(estimate: f64, standard_error: f64) -> [f64; 2] {
    [estimate - HALF_WIDTH * standard_error, estimate + HALF_WIDTH * standard_error]
}

/// The two-sided p-value of an estimate of something that is 0.
pub fn normal_p_value(estimate: f64, standard_error: f64) -> f64 {
    if standard_error > 0.0 {
        libm::erfc((estimate / standard_error).abs() / std::f64::consts::SQRT_2)
    } else if estimate == 0.0 {
        1.0
    } else {
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_ends_where_p_is_5_percent() {
        let [low, high] = normal_interval(1.0, 2.0);
        assert_eq!(low + high, 2.0);
        assert!((normal_p_value(high - 1.0, 2.0) - 0.05).abs() < 1e-14);
        // scipy.stats.norm.sf(3) * 2
        assert!((normal_p_value(-3.0, 1.0) - 0.002_699_796_063_260_189).abs() < 1e-16);
        assert_eq!([normal_p_value(0.0, 0.0), normal_p_value(1.0, 0.0)], [1.0, 0.0]);
    }
}
