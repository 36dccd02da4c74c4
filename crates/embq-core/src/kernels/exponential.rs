//! exp for arguments up to 0, in a form that the compiler vectorises in a plain loop over slices, or in explicit
//! vectors where sums follow.

use std::f64::consts::{LN_2, LOG2_E};

use crate::kernels::vectorized::{Simd, WithSimd, with_simd};

/// Adding this to a number of moderate size rounds it to an integer, which is then in the lowest bits of the sum.
const ROUND: f64 = 6_755_399_441_055_744.0;

/// exp(x) is 0 below this.
const LEAST: f64 = -745.2;

/// exp(x) and exp(x) - 1 for x <= 0, both within 2 units in the last place.
#[inline(always)]
pub fn exp_and_exp_m1(x: f64) -> (f64, f64) {
    const LN_2_HIGH: f64 = 6.931_471_803_691_238e-1;
    const LN_2_LOW: f64 = 1.908_214_929_270_587_7e-10;
    let clamped = if x < LEAST { LEAST } else { x };
    let n = (clamped * LOG2_E + ROUND) - ROUND;
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
    // 2^n as a product of two factors, because the smallest results are subnormal and 2^n alone would be 0.
    let shifted = n * 0.5 + ROUND;
    let half = shifted - ROUND;
    let power = power_of_two(shifted);
    let other_power = power_of_two((n - half) + ROUND);
    let whole_power = power * other_power;
    let exponential = ((1.0 + less_one) * power) * other_power;
    let exponential_m1 = less_one * whole_power + (whole_power - 1.0);
    if x < LEAST { (0.0, -1.0) } else { (exponential, exponential_m1) }
}

/// Exponents whose powers are computed together.
const BLOCK: usize = 128;

/// 2^x as computed by [`rough_exp2`] is 0 from here down.
const ROUGH_LEAST: f32 = -127.0;

/// Returns max(x, [`ROUGH_LEAST`]), so that its product with the power is 0 and not NaN; and 2^x for x <= 0, within 2
/// units in the last place of float32, and 0 below -126.5.
#[inline(always)]
#[allow(clippy::approx_constant, reason = "the coefficient near ln(2) belongs to the polynomial of least error")]
fn rough_exp2<S: Simd>(simd: S, x: S::f32s) -> (S::f32s, S::f32s) {
    let x = simd.max_f32s(x, simd.splat_f32s(ROUGH_LEAST));
    // Leaves the rounded x plus the exponent of 1.0 in the lowest bits.
    let round = simd.splat_f32s(12_582_912.0 + 127.0);
    let shifted = simd.add_f32s(x, round);
    let fraction = simd.sub_f32s(x, simd.sub_f32s(shifted, round));
    // The polynomial of degree 5 with the least relative error on [-1/2, 1/2], 1.1e-7, among those that are 1 at 0.
    let mut sum = simd.splat_f32s(1.326_465_3e-3);
    sum = simd.mul_add_e_f32s(sum, fraction, simd.splat_f32s(9.671_511e-3));
    sum = simd.mul_add_e_f32s(sum, fraction, simd.splat_f32s(5.550_734e-2));
    sum = simd.mul_add_e_f32s(sum, fraction, simd.splat_f32s(2.402_224_2e-1));
    sum = simd.mul_add_e_f32s(sum, fraction, simd.splat_f32s(6.931_47e-1));
    sum = simd.mul_add_e_f32s(sum, fraction, simd.splat_f32s(1.0));
    let bits = simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    (x, simd.mul_f32s(sum, simd.transmute_f32s_u32s(bits)))
}

/// Replaces each x <= 0 by exp(x) with the accuracy of float32, and 0 below -87.69.
pub(crate) fn rough_exponentials(values: &mut [f64]) {
    with_simd(RoughExponentials(values));
}

struct RoughExponentials<'a>(&'a mut [f64]);

impl WithSimd for RoughExponentials<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let mut powers = [0.0; BLOCK];
        for block in self.0.chunks_mut(BLOCK) {
            for (power, value) in powers.iter_mut().zip(&*block) {
                *power = (value * LOG2_E) as f32;
            }
            for vector in S::as_mut_simd_f32s(&mut powers).0 {
                (_, *vector) = rough_exp2(simd, *vector);
            }
            for (value, power) in block.iter_mut().zip(&powers) {
                *value = f64::from(*power);
            }
        }
    }
}

/// Over all distances D except the one at `without`, with x = (smallest - D) / temperature: the sums of exp(x) and of
/// exp(x) (D - smallest). Exponentials have the accuracy of float32, and only few are added before the sum is widened.
pub(crate) fn rough_sums(distances: &[f64], without: Option<usize>, smallest: f64, temperature: f64) -> (f64, f64) {
    let (sum, weighted) = with_simd(RoughSums { distances, without, smallest, rate: -LOG2_E / temperature });
    (sum, -temperature * LN_2 * weighted)
}

/// With exponents to base 2: the sums of powers, and of powers times exponents.
struct RoughSums<'a> {
    distances: &'a [f64],
    without: Option<usize>,
    smallest: f64,
    /// From distances to exponents.
    rate: f64,
}

impl WithSimd for RoughSums<'_> {
    type Output = (f64, f64);

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> (f64, f64) {
        let RoughSums { distances, without, smallest, rate } = self;
        let zero = simd.splat_f32s(0.0);
        let (mut sum, mut weighted) = (0.0, 0.0);
        let mut exponents = [ROUGH_LEAST; BLOCK];
        for (block, start) in distances.chunks(BLOCK).zip((0..).step_by(BLOCK)) {
            for (exponent, distance) in exponents.iter_mut().zip(block) {
                *exponent = ((distance - smallest) * rate) as f32;
            }
            exponents[block.len()..].fill(ROUGH_LEAST);
            if let Some(exponent) = without.and_then(|without| exponents.get_mut(without.checked_sub(start)?)) {
                *exponent = ROUGH_LEAST;
            }
            // Two independent sums, so that additions need not wait for each other.
            let (mut sums, mut weighted_sums) = ([zero; 2], [zero; 2]);
            let filled = block.len().next_multiple_of(BLOCK / 4);
            for [first, second] in S::as_simd_f32s(&exponents[..filled]).0.as_chunks::<2>().0 {
                let ((first, first_power), (second, second_power)) =
                    (rough_exp2(simd, *first), rough_exp2(simd, *second));
                sums = [simd.add_f32s(sums[0], first_power), simd.add_f32s(sums[1], second_power)];
                weighted_sums = [
                    simd.mul_add_e_f32s(first_power, first, weighted_sums[0]),
                    simd.mul_add_e_f32s(second_power, second, weighted_sums[1]),
                ];
            }
            sum += f64::from(simd.reduce_sum_f32s(simd.add_f32s(sums[0], sums[1])));
            weighted += f64::from(simd.reduce_sum_f32s(simd.add_f32s(weighted_sums[0], weighted_sums[1])));
        }
        (sum, weighted)
    }
}

/// 2^n from n + `ROUND`.
#[inline(always)]
fn power_of_two(shifted: f64) -> f64 {
    f64::from_bits(shifted.to_bits().wrapping_add(1023) << 52)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernels::vectorized::in_every_width;

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
        let rough_exp2 = |x: f32| rough_exp2(pulp::Scalar::new(), x).1;
        let mut x = 0.0_f32;
        while x > -126.4 {
            let exact = f64::from(x).exp2();
            assert!((f64::from(rough_exp2(x)) - exact).abs() <= 2.4e-7 * exact, "2^{x} is not {:e}", rough_exp2(x));
            x -= 0.003_7;
        }
        assert_eq!([0.0, ROUGH_LEAST, f32::NEG_INFINITY].map(rough_exp2), [1.0, 0.0, 0.0]);
        assert_eq!(rough_exp2(-126.6), 0.0);
    }

    #[test]
    fn rough_exponentials_of_any_number_of_values() {
        for length in [1, 2, 127, 128, 300] {
            let values: Vec<f64> = (0..length).map(|index| f64::from(index) * -0.37).collect();
            let mut exponentials = values.clone();
            rough_exponentials(&mut exponentials);
            for (x, exponential) in values.iter().zip(&exponentials) {
                let exact = if *x < -87.685 { 0.0 } else { x.exp() };
                assert!((exponential - exact).abs() <= 6e-6 * exact, "exp({x}) is not {exponential:e}");
            }
        }
        let mut far = [-1e300, f64::NEG_INFINITY];
        rough_exponentials(&mut far);
        assert_eq!(far, [0.0, 0.0]);
    }

    #[test]
    fn rough_sums_are_those_of_the_standard_library_in_vectors_of_any_width() {
        let (smallest, temperature) = (0.125, 0.1);
        for length in [1usize, 31, 32, 33, 128, 129, 1000] {
            let distances: Vec<f64> = (0..length).map(|index| smallest + (index * 7 % 97) as f64 * 0.013).collect();
            for without in [None, Some(0), Some(length / 2), Some(length - 1)] {
                let (mut sum, mut weighted) = (0.0, 0.0);
                for (index, distance) in distances.iter().enumerate() {
                    let excess = distance - smallest;
                    let exponential = if Some(index) == without { 0.0 } else { (-excess / temperature).exp() };
                    sum += exponential;
                    weighted += exponential * excess;
                }
                let rate = -LOG2_E / temperature;
                for (rough, exponents) in
                    in_every_width(|| RoughSums { distances: &distances, without, smallest, rate })
                {
                    let rough_weighted = -temperature * LN_2 * exponents;
                    assert!((rough - sum).abs() <= 1e-6 * sum, "{length} {without:?}: {rough} is not {sum}");
                    assert!((rough_weighted - weighted).abs() <= 1e-6 * temperature * sum);
                }
            }
        }
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
