//! exp for arguments up to 0, in a form that the compiler turns into vector code where it is called in a plain loop over
//! slices.

/// Adding this to a number of moderate size rounds it to an integer that then stands in the lowest bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// exp(x) is 0 below.
const LEAST: f64 = -745.2;

/// exp(x) and exp(x) - 1 for x <= 0, both within 2 units in the last place.
#[inline(always)]
pub fn exp_and_exp_m1(x: f64) -> (f64, f64) {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x < LEAST { LEAST } else { x };
    let n = (clamped * std::f64::consts::LOG2_E + ROUND) - ROUND;
    let r = (clamped - n * LN_2_HIGH) - n * LN_2_LOW;
    // exp(r) - 1 by the Taylor polynomial of degree 13; |r| <= ln(2) / 2 leaves a remainder below 5e-18.
    let mut sum = 1.0 / 6_227_020_800.0;
    sum = sum * r + 1.0 / 479_001_600.0;
    sum = sum * r + 1.0 / 39_916_800.0;
    sum = sum * r + 1.0 / 3_628_800.0;
    sum = sum * r + 1.0 / 362_880.0;
    sum = sum * r + 1.0 / 40_320.0;
    sum = sum * r + 1.0 / 5_040.0;
    sum = sum * r + 1.0 / 720.0;
    sum = sum * r + 1.0 / 120.0;
    sum = sum * r + 1.0 / 24.0;
    sum = sum * r + 1.0 / 6.0;
    sum = sum * r + 0.5;
    let less_one = (sum * r) * r + r;
    // 2^n as a product of two, because the smallest results are subnormal and 2^n alone would be 0.
    let shifted = n * 0.5 + ROUND;
    let half = shifted - ROUND;
    let power = power_of_two(shifted);
    let other_power = power_of_two((n - half) + ROUND);
    let whole_power = power * other_power;
    let exponential = ((1.0 + less_one) * power) * other_power;
    let exponential_m1 = less_one * whole_power + (whole_power - 1.0);
    if x < LEAST { (0.0, -1.0) } else { (exponential, exponential_m1) }
}

/// 2^x is 0 from here on down as [`rough_exp2`] computes it.
pub(crate) const ROUGH_LEAST: f32 = -126.0;

/// 2^x for x <= 0 in float32, within 2 units in the last place, and 0 from [`ROUGH_LEAST`] down.
#[inline(always)]
#[allow(clippy::approx_constant, reason = "the coefficient near ln(2) belongs to the polynomial of least error")]
pub(crate) fn rough_exp2(x: f32) -> f32 {
    const ROUND: f32 = 12_582_912.0;
    let clamped = if x > ROUGH_LEAST { x } else { ROUGH_LEAST };
    let shifted = clamped + ROUND;
    let fraction = clamped - (shifted - ROUND);
    // The polynomial of degree 5 that has the least relative error on [-1/2, 1/2], 1.1e-7, of those that are 1 at 0.
    let mut sum: f32 = 1.326_465_3e-3;
    sum = sum * fraction + 9.671_511e-3;
    sum = sum * fraction + 5.550_734e-2;
    sum = sum * fraction + 2.402_224_2e-1;
    sum = sum * fraction + 6.931_47e-1;
    sum = sum * fraction + 1.0;
    let power = f32::from_bits(shifted.to_bits().wrapping_add(127) << 23);
    if x > ROUGH_LEAST { sum * power } else { 0.0 }
}

/// 2^n from n + `ROUND`.
#[inline(always)]
fn power_of_two(shifted: f64) -> f64 {
    f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_agrees_with_the_standard_library() {
        let mut x = 0.0;
        while x > -700.0 {
            let (exponential, less_one) = exp_and_exp_m1(x);
            assert!((exponential - x.exp()).abs() <= 4.5e-16 * x.exp(), "exp({x}) is not {exponential:e}");
            assert!((less_one - x.exp_m1()).abs() <= 4.5e-16 * x.exp_m1().abs(), "exp({x}) - 1 is not {less_one:e}");
            x -= 0.013_7;
        }
    }

    #[test]
    fn the_rough_one_has_float32_accuracy() {
        let mut x = 0.0_f32;
        while x > -125.9 {
            let exact = f64::from(x).exp2();
            assert!((f64::from(rough_exp2(x)) - exact).abs() <= 2.4e-7 * exact, "2^{x} is not {:e}", rough_exp2(x));
            x -= 0.003_7;
        }
        assert_eq!([0.0, ROUGH_LEAST, f32::NEG_INFINITY].map(rough_exp2), [1.0, 0.0, 0.0]);
    }

    #[test]
    fn tiny_arguments_keep_their_digits() {
        for x in [-1e-3, -1e-9, -1e-17, -1e-300] {
            let less_one = exp_and_exp_m1(x).1;
            assert!((less_one - x.exp_m1()).abs() <= 4.5e-16 * x.abs(), "exp({x:e}) - 1 is not {less_one:e}");
        }
        assert_eq!(exp_and_exp_m1(0.0), (1.0, 0.0));
    }

    #[test]
    fn results_fade_out_through_the_subnormal_numbers() {
        for x in [-708.5, -720.0, -740.0f64] {
            assert!((exp_and_exp_m1(x).0 / x.exp() - 1.0).abs() < 0.02);
        }
        assert_eq!(exp_and_exp_m1(-746.0).0, 0.0);
        assert_eq!(exp_and_exp_m1(f64::NEG_INFINITY).0, 0.0);
    }
}
