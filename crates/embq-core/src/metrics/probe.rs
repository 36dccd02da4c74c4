//! What linear classifiers read out of the rows: each row is predicted by a classifier that has not seen it.

use crate::data::{Dataset, shuffled};
use crate::error::Result;
use crate::kernels::{
    LogisticFit, LogisticOptions, Predicted, fit_logistic, predict_by_dimensions, predict_by_rows, predict_logistic,
};
use crate::metrics::metric::{FROM_0, Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::{mean, standard_deviation};

const OF_RIDGE: &[Need] = &[Need::Labels, Need::Classes, Need::Ridge];
const OF_FITS: &[Need] = &[Need::Labels, Need::Classes, Need::Fits];
const ALAIN: &str = "Alain & Bengio 2016";
const MTEB: &str = "Muennighoff et al. 2023";
const ALLEN: &str = "Allen 1974";
const SHARE: &str = "[0, 1]";

/// Draws of a few rows a class.
const DRAWS: usize = 10;

const NO_COORDINATES: &str = "a distance matrix has no coordinates to fit";

pub(super) static FAMILY: Family = Family {
    name: "probe",
    question: Question::Classifier,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "ridge_probe_accuracy", "rows that ridge without them gets right", SHARE, UP, ALLEN, OF_RIDGE)
            .with_interval(),
        metric(&FAMILY, "ridge_probe_macro_f1", "mean F1 of the classes there", SHARE, UP, ALLEN, OF_RIDGE),
        metric(&FAMILY, "linear_probe_accuracy", "rows right by folds", SHARE, UP, ALAIN, OF_FITS)
            .not_in_all()
            .with_interval(),
        metric(&FAMILY, "linear_probe_macro_f1", "mean F1 of the classes there", SHARE, UP, ALAIN, OF_FITS)
            .not_in_all(),
        metric(&FAMILY, "few_shot_accuracy@8", "rows right from 8 a class", SHARE, UP, MTEB, OF_FITS).not_in_all(),
        metric(&FAMILY, "few_shot_std@8", "its deviation over draws", FROM_0, None, MTEB, OF_FITS).not_in_all(),
        metric(&FAMILY, "few_shot_accuracy@16", "rows right from 16 a class", SHARE, UP, MTEB, OF_FITS).not_in_all(),
        metric(&FAMILY, "few_shot_std@16", "its deviation over draws", FROM_0, None, MTEB, OF_FITS).not_in_all(),
    ],
};

/// How probes are fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct ProbeSettings {
    /// The penalty of the ridge probe on the squared length of its weights; above 0. A penalty is in units of squared
    /// rows: rows of ten times the length take a hundred times the penalty to the same fit.
    pub alpha: f64,
    /// Folds of the linear probe; at least 2.
    pub folds: usize,
}

impl Default for ProbeSettings {
    fn default() -> Self {
        ProbeSettings { alpha: 1.0, folds: 5 }
    }
}

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    if ["ridge_probe_accuracy", "ridge_probe_macro_f1"].into_iter().any(|id| work.is_selected(id)) {
        let scores = scores(work, ridge(work)?);
        measures.add_mean("ridge_probe_accuracy", scores.as_ref().map(|scores| &scores.right[..]));
        measures.add("ridge_probe_macro_f1", || Ok(scores.map(|scores| scores.macro_f1)))?;
    }
    if ["linear_probe_accuracy", "linear_probe_macro_f1"].into_iter().any(|id| work.is_selected(id)) {
        let scores = scores(work, linear(work, measures)?);
        measures.add_mean("linear_probe_accuracy", scores.as_ref().map(|scores| &scores.right[..]));
        measures.add("linear_probe_macro_f1", || Ok(scores.map(|scores| scores.macro_f1)))?;
    }
    for (shots, accuracy, deviation) in
        [(8, "few_shot_accuracy@8", "few_shot_std@8"), (16, "few_shot_accuracy@16", "few_shot_std@16")]
    {
        if [accuracy, deviation].into_iter().any(|id| work.is_selected(id)) {
            let accuracies = few_shot(work, shots, measures)?;
            measures.add(accuracy, || Ok(accuracies.clone().and_then(mean)))?;
            measures
                .add(deviation, || Ok(accuracies.clone().and_then(|accuracies| standard_deviation(&accuracies))))?;
        }
    }
    Ok(())
}

/// What ridge regression without the row predicts for each row, from the smaller of the two matrices.
fn ridge(work: &SharedWork<'_>) -> Result<Predicted> {
    let (dataset, alpha) = (work.dataset, work.measuring.probe.alpha);
    if work.is_precomputed() {
        Ok(Err(NO_COORDINATES))
    } else if dataset.len() <= dataset.dimensions() {
        predict_by_rows(dataset, alpha, work.progress)
    } else {
        predict_by_dimensions(dataset, work.covariance()?, work.means()?, alpha, work.progress)
    }
}

/// What logistic regression on the other folds predicts for each row.
fn linear(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<Predicted> {
    if let Some(reason) = no_fit(work)? {
        return Ok(Err(reason));
    }
    let (dataset, labels) = (work.dataset, work.dataset.labels());
    let folds = stratified_folds(labels.codes(), work.measuring.probe.folds, work.measuring.seed);
    let count = folds.iter().max().map_or(0, |&last| last as usize + 1);
    let fits = fit_logistic(dataset, &folds, count, &LogisticOptions::default(), work.progress)?;
    warn_of_steps(&fits, "linear_probe_accuracy", measures);
    let predicted = predict_logistic(dataset, &fits, work.progress)?;
    Ok(Ok(folds.iter().enumerate().map(|(row, &fold)| predicted[fold as usize][row]).collect()))
}

/// Why there is nothing to fit.
fn no_fit(work: &SharedWork<'_>) -> Result<Option<&'static str>> {
    if work.is_precomputed() {
        return Ok(Some(NO_COORDINATES));
    }
    Ok(work.means()?.collapsed().then_some("the rows do not vary"))
}

fn warn_of_steps(fits: &[LogisticFit], name: &str, measures: &mut Measures<'_>) {
    let options = LogisticOptions::default();
    let open = fits.iter().filter(|fit| fit.gradient > options.tolerance).count();
    if open > 0 {
        measures.warn(format!(
            "{name}: {open} of {} fits did not converge to a gradient of {} of its start",
            fits.len(),
            options.tolerance
        ));
    }
}

/// The fold of each row: the rows of every class are spread over all folds, in an order drawn by the seed, and all folds
/// have the same number of rows but for one.
pub fn stratified_folds(codes: &[u32], folds: usize, seed: u64) -> Vec<u32> {
    let mut order = shuffled(codes.len(), seed);
    order.sort_by_key(|&row| codes[row]);
    let mut found = vec![0; codes.len()];
    for (place, row) in order.into_iter().enumerate() {
        found[row] = (place % folds) as u32;
    }
    found
}

/// The accuracy, in each draw, of logistic regression on `shots` rows a class on all other rows.
fn few_shot(
    work: &SharedWork<'_>,
    shots: usize,
    measures: &mut Measures<'_>,
) -> Result<std::result::Result<Vec<f64>, String>> {
    if let Some(reason) = no_fit(work)? {
        return Ok(Err(reason.to_owned()));
    }
    let (dataset, labels) = (work.dataset, work.dataset.labels());
    // The classes that have rows in every draw, as the fits number them.
    let trained: Vec<u32> =
        labels.counts().iter().zip(0..).filter(|&(&count, _)| count > 1).map(|(_, class)| class).collect();
    let short = labels.counts().iter().filter(|&&count| count <= shots).count();
    if short > 0 {
        measures.warn(format!(
            "few_shot_accuracy@{shots}: {short} of {} classes have no more than {shots} rows, and train all of them but one",
            labels.classes()
        ));
    }
    let mut draws = Vec::with_capacity(DRAWS);
    let mut fits = Vec::with_capacity(DRAWS);
    for draw in 0..DRAWS as u64 {
        let rows = drawn(dataset, shots, work.measuring.seed.wrapping_add(draw));
        let part = dataset.subset(&rows);
        let all = vec![u32::MAX; rows.len()];
        fits.extend(fit_logistic(&part, &all, 1, &LogisticOptions::default(), work.progress)?);
        let mut tested = vec![true; dataset.len()];
        rows.iter().for_each(|&row| tested[row] = false);
        draws.push(tested);
    }
    warn_of_steps(&fits, &format!("few_shot_accuracy@{shots}"), measures);
    let predicted = predict_logistic(dataset, &fits, work.progress)?;
    let accuracies = predicted.iter().zip(&draws).map(|(predicted, tested)| {
        let rows = predicted.iter().zip(labels.codes()).zip(tested).filter(|(_, tested)| **tested);
        mean(rows.map(|((&class, &code), _)| f64::from(u8::from(trained[class as usize] == code))))
    });
    Ok(accuracies.collect())
}

/// Rows drawn to train from: `shots` of each class, of classes with no more all but one; in order.
fn drawn(dataset: &Dataset, shots: usize, seed: u64) -> Vec<usize> {
    let labels = dataset.labels();
    let mut left: Vec<usize> = labels.counts().iter().map(|&count| shots.min(count - 1)).collect();
    let mut rows: Vec<usize> = shuffled(dataset.len(), seed)
        .into_iter()
        .filter(|&row| {
            let left = &mut left[labels.codes()[row] as usize];
            let is_drawn = *left > 0;
            *left -= usize::from(is_drawn);
            is_drawn
        })
        .collect();
    rows.sort_unstable();
    rows
}

/// How well predictions fit the labels.
struct Scores {
    /// For each row 1 if its class was predicted, else 0.
    right: Vec<f64>,
    macro_f1: f64,
}

fn scores(work: &SharedWork<'_>, predicted: Predicted) -> std::result::Result<Scores, String> {
    let labels = work.dataset.labels();
    let predicted = predicted?;
    let pairs = labels.codes().iter().copied().zip(predicted);
    Ok(Scores {
        right: pairs.clone().map(|(code, predicted)| f64::from(u8::from(code == predicted))).collect(),
        macro_f1: macro_f1(labels.counts(), pairs)?,
    })
}

/// The mean over classes of 2 TP / (2 TP + FP + FN), from pairs of class and prediction; every class has rows.
fn macro_f1(counts: &[usize], pairs: impl IntoIterator<Item = (u32, u32)>) -> Measured {
    let (mut right, mut predictions) = (vec![0usize; counts.len()], vec![0usize; counts.len()]);
    for (code, predicted) in pairs {
        predictions[predicted as usize] += 1;
        right[code as usize] += usize::from(code == predicted);
    }
    let sizes = counts.iter().zip(&predictions);
    mean(
        right
            .iter()
            .zip(sizes)
            .map(|(&right, (&count, &predictions))| 2.0 * right as f64 / (count + predictions) as f64),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn folds_hold_as_many_rows_of_each_class() {
        let codes: Vec<u32> = (0..103).map(|row| u32::from(row % 10 == 0) + u32::from(row % 4 == 0)).collect();
        let folds = stratified_folds(&codes, 5, 3);
        for class in 0..3 {
            let of_fold = |fold| codes.iter().zip(&folds).filter(|&(&code, &own)| (code, own) == (class, fold)).count();
            let sizes: Vec<usize> = (0..5).map(of_fold).collect();
            assert!(sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1, "{sizes:?}");
        }
        let sizes: Vec<usize> = (0..5).map(|fold| folds.iter().filter(|&&own| own == fold).count()).collect();
        assert_eq!(sizes.iter().sum::<usize>(), 103);
        assert!(sizes.iter().all(|size| (20..=21).contains(size)));
        assert_eq!(folds, stratified_folds(&codes, 5, 3));
        assert_ne!(folds, stratified_folds(&codes, 5, 4));
    }

    #[test]
    fn macro_f1_of_a_hand_worked_table() {
        // Class 0: 2 of 3 right and one more predicted, F1 = 4/6. Class 1: 1 of 2, F1 = 2/4. Class 2: never predicted, 0.
        let pairs = [(0, 0), (0, 0), (0, 1), (1, 1), (1, 0), (2, 1)];
        let expected = (4.0 / 6.0 + 2.0 / 5.0) / 3.0;
        assert!((macro_f1(&[3, 2, 1], pairs).unwrap() - expected).abs() < 1e-15);
    }
}
