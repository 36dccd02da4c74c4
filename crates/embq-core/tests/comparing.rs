//! Verdicts and intervals on data whose truth is known. `examples/verdicts.rs` does the same on a larger scale.

mod common;

use common::random::Random;
use common::simulation::{METRICS, Rows, coverage, differences, expected, mixture, settings};
use common::{real_data, silhouettes};
use embq_core::distance::Distance;

/// Some rows of the digits.
fn digits() -> Rows {
    let (values, labels) = real_data("digits");
    Rows { values: values.slice(ndarray::s![..300, ..]).to_owned(), labels: labels[..300].to_vec() }
}

#[test]
fn two_draws_of_the_same_noise_rarely_differ() {
    let rows = digits();
    let found = differences(0..60, &settings(Distance::Cosine), |random| {
        (rows.with_noise(3.0, random), rows.with_noise(3.0, random))
    });
    for (name, (better, worse)) in METRICS.iter().zip(&found) {
        assert!(better + worse <= 8, "{name}: {better} better and {worse} worse of 60");
    }
}

#[test]
fn less_noise_is_found_to_be_better() {
    let rows = digits();
    let found = differences(0..20, &settings(Distance::Cosine), |random| {
        (rows.with_noise(3.5, random), rows.with_noise(2.5, random))
    });
    for (name, (better, worse)) in METRICS.iter().zip(&found) {
        assert!(*better >= 18 && *worse == 0, "{name}: {better} better and {worse} worse of 20");
    }
}

#[test]
fn intervals_hold_what_they_estimate() {
    let draw = |random: &mut Random| mixture(&[40, 25, 60, 30], 8, 1.5, random);
    for distance in [Distance::Cosine, Distance::Euclidean] {
        let settings = settings(distance);
        let truth = expected(0..150, &settings, draw);
        let held = coverage(0..100, &settings, &truth, draw);
        for (name, held) in METRICS.iter().zip(held) {
            assert!((88..=100).contains(&held), "{name}, {distance}: {held} of 100");
        }
    }
}

#[test]
fn a_silhouette_without_intervals_has_no_terms() {
    let (values, labels) = real_data("digits");
    let matrix = common::Matrix::F32(values);
    let settings = silhouettes(Distance::Cosine, common::SOFT_FORMS[0], 0.1);
    let scored = common::score(&matrix, &labels, None, &settings);
    assert!(scored.terms.is_empty() && scored.rows.influence.is_none() && scored.evaluation.intervals.is_empty());
}
