//! The intervals of subsamples: how often they hold what all rows have, over many draws.

mod common;

use common::random::Random;
use common::simulation::mixture;
use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin, RowChoice};
use embq_core::distance::Distance;
use embq_core::evaluation::{Evaluation, Settings, evaluate, evaluate_within};
use embq_core::metrics::{Auxiliary, Selection};
use embq_core::progress::NoProgress;
use rayon::prelude::*;

/// Draws of each simulation: a coverage of 95 % is found within 0.7 %, as a standard error.
const DRAWS: u64 = 1000;

/// How many of the draws hold the value of all rows, for each metric with an error.
fn coverage(sizes: &[usize], spread: f64, drawn: usize) -> Vec<(String, f64)> {
    let rows = mixture(sizes, 6, spread, &mut Random::new(17));
    let evaluated = |subsample: Option<usize>, seed: u64| -> Evaluation {
        let mut labels = LabelColumnBuilder::new(LabelType::Integer);
        rows.labels.iter().for_each(|&label| labels.push_integer(label.into()));
        let embeddings = Embeddings::from_f32(Origin::new("rows"), rows.values.clone());
        let choice = RowChoice { subsample, ..RowChoice::default() };
        let options = DatasetOptions { choice, seed, ..DatasetOptions::default() };
        let data =
            Dataset::join(embeddings, &labels.finish(Origin::new("labels")), Distance::Cosine, &options).unwrap();
        let metrics = Selection::parse(["silhouette", "soft_silhouette", "intra_mean"]).unwrap();
        evaluate(&data, &Settings { metrics, rows: false, ..Settings::default() }, &NoProgress).unwrap().evaluation
    };
    let all = evaluated(None, 0);
    assert!(all.intervals.is_empty());
    let draws: Vec<Evaluation> = (0..DRAWS).into_par_iter().map(|seed| evaluated(Some(drawn), seed)).collect();
    let names = draws[0].intervals.keys().cloned();
    names
        .map(|name| {
            let truth = all.metrics[&name].unwrap();
            let holds = |draw: &&Evaluation| {
                let [low, high] = draw.intervals[&name];
                (low..=high).contains(&truth)
            };
            let share = draws.iter().filter(holds).count() as f64 / DRAWS as f64;
            (name, share)
        })
        .collect()
}

#[test]
fn intervals_of_draws_hold_all_rows_as_often_as_they_say() {
    for (sizes, spread, drawn) in [
        (&[400, 300, 200, 60, 40][..], 1.2, 150),
        (&[100; 10], 2.0, 200),
        // More than half of all rows.
        (&[150, 150, 100], 1.5, 250),
    ] {
        let found = coverage(sizes, spread, drawn);
        assert!(found.len() >= 8, "{found:?}");
        for (name, share) in found {
            // Six rows are drawn of the smallest classes, which count in a mean over classes as much as the others.
            let least = if name.ends_with("_macro") { 0.92 } else { 0.93 };
            assert!((least..=0.97).contains(&share), "{name} of {drawn} of {sizes:?}: {share}");
        }
    }
}

#[test]
fn as_many_rows_are_scored_as_the_half_width_takes() {
    let rows = mixture(&[9000, 6000, 3000], 4, 1.5, &mut Random::new(3));
    let mut labels = LabelColumnBuilder::new(LabelType::Integer);
    rows.labels.iter().for_each(|&label| labels.push_integer(label.into()));
    let labels = labels.finish(Origin::new("labels"));
    let dataset = |seed| {
        let embeddings = Embeddings::from_f32(Origin::new("rows"), rows.values.clone());
        let options = DatasetOptions { seed, ..DatasetOptions::default() };
        Dataset::join(embeddings, &labels, Distance::Cosine, &options).unwrap()
    };
    let settings = |seed| Settings { seed, ..Settings::default() };
    let within = |half_width: f64, seed: u64| {
        let (drawn, scored) =
            evaluate_within(&dataset(seed), Auxiliary::default(), &settings(seed), half_width, &NoProgress).unwrap();
        assert_eq!(drawn.scored().len(), scored.rows.silhouette.len());
        assert_eq!(scored.evaluation.settings.within, Some(half_width));
        (drawn.scored().len(), scored.evaluation)
    };
    let all = evaluate(&dataset(0), &settings(0), &NoProgress).unwrap().evaluation;
    let truth = all.metrics["silhouette"].unwrap();
    let draws = 300;
    let holds = (0..draws).into_par_iter().filter(|&seed| {
        let (count, found) = within(0.02, seed);
        let [low, high] = found.intervals["silhouette"];
        assert!(high - low <= 0.04 && count < 9000, "{count} rows: {low} to {high}");
        (low..=high).contains(&truth)
    });
    let share = holds.count() as f64 / f64::from(draws as u32);
    assert!((0.92..=0.98).contains(&share), "{share}");
    // Where half of the rows would be drawn, all are.
    let (count, found) = within(1e-4, 0);
    assert_eq!(count, 18_000);
    assert_eq!(found.metrics["silhouette"], Some(truth));
    assert!(found.intervals.is_empty());
}
