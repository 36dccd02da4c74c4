//! The similarity of spaces against golden values from the definitions and from other software
//! (`fixtures/make_similarity.py`), and its invariances.

mod common;

use common::fixture;
use embq_core::Dataset;
use embq_core::distance::Distance;
use embq_core::progress::NoProgress;
use embq_core::similarity::{Similarity, Space, similarity};
use ndarray::Array2;
use proptest::prelude::*;
use serde_json::Value;

fn matrix(name: &str) -> Array2<f32> {
    ndarray_npy::read_npy(fixture(name)).unwrap()
}

fn compared(x: &Array2<f32>, y: &Array2<f32>, distance: Distance) -> [Similarity; 2] {
    let build = |x, labels| Dataset::builder(x, labels).distance(distance).build().unwrap();
    let (left, right) = (build(x, vec![0; x.nrows()]), build(y, vec![0; y.nrows()]));
    let space = |dataset| Space::of(dataset, 0, &NoProgress).unwrap();
    similarity((&left, &space(&left)), (&right, &space(&right)), &NoProgress).unwrap()
}

fn assert_golden(found: &Similarity, expected: &Value, place: &str) {
    for (name, expected) in expected.as_object().unwrap() {
        let (found, expected) = (found[name].unwrap(), expected.as_f64().unwrap());
        // Rows at the same distance may be ordered differently there.
        let tolerance = if name.starts_with("neighbour") { 1e-3 } else { 1e-9 };
        assert!((found - expected).abs() <= tolerance, "{place} {name}: {found} instead of {expected}");
    }
}

#[test]
fn numbers_agree_with_the_definitions_and_other_software() {
    let golden: Value =
        serde_json::from_str(&std::fs::read_to_string(fixture("golden/similarity.json")).unwrap()).unwrap();
    let (glove, minilm) = (matrix("glosses1k_glove/embeddings.npy"), matrix("glosses1k_minilm/embeddings.npy"));
    let (digits, reduced) = (matrix("digits/embeddings.npy"), matrix("golden/digits_reduced.npy"));
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let expected = &golden[distance.name()];
        let [forth, back] = compared(&glove, &minilm, distance);
        assert_golden(&forth, &expected["glosses1k"], "glosses1k");
        assert_golden(&back, &expected["glosses1k back"], "glosses1k back");
        assert_golden(&compared(&digits, &reduced, distance)[0], &expected["digits"], "digits");
    }
}

#[test]
fn results_have_the_same_bits_on_any_number_of_threads() {
    let (x, y) = (matrix("glosses1k_glove/embeddings.npy"), matrix("glosses1k_minilm/embeddings.npy"));
    let on = |threads| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| compared(&x, &y, Distance::Cosine))
    };
    assert_eq!(on(1), on(5));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn order_offset_scale_and_rotation_do_not_matter(seed in 0_u32..1000, angle in 0.0_f32..6.0, scale in 0.5_f32..4.0) {
        let value = |row: usize, k: usize| (((row * 131 + k * 71 + seed as usize) * 7919) % 1009) as f32 / 100.0;
        let x = Array2::from_shape_fn((40, 3), |(row, k)| value(row, k));
        let y = Array2::from_shape_fn((40, 2), |(row, k)| value(row + 1, k) + x[[row, k]]);
        let expected = compared(&x, &y, Distance::Euclidean);
        let (sine, cosine) = angle.sin_cos();
        let rotation = ndarray::array![[cosine, sine], [-sine, cosine]];
        let moved = y.dot(&rotation) * scale + 5.0;
        let order: Vec<usize> = (0..40).map(|row| (row * 7 + 3) % 40).collect();
        let taken = |x: &Array2<f32>| x.select(ndarray::Axis(0), &order);
        let found = compared(&taken(&x), &taken(&moved), Distance::Euclidean);
        for (found, expected) in found.iter().zip(&expected) {
            for name in ["linear_cka", "debiased_cka", "procrustes", "linear_regression_r2"] {
                let (found, expected) = (found[name].unwrap(), expected[name].unwrap());
                prop_assert!((found - expected).abs() < 1e-4, "{name}: {found} {expected}");
            }
        }
    }
}
