//! An evaluated input with the details of rows and classes that a page shows.

use std::collections::HashMap;

use indexmap::IndexSet;
use ndarray::Array2;

use crate::data::{Dataset, RowNames, drawn_by_class};
use crate::distance::Distance;
use crate::error::Result;
use crate::evaluation::{Evaluation, PairCurves, RowScores};
use crate::kernels::{Eigen, covariance};
use crate::metrics::class_order;
use crate::metrics::projection::{PROJECTED_DIMENSIONS, Point, Projection, Spectrum, places};
use crate::metrics::suspects::Suspect;
use crate::partial::Scores;
use crate::progress::Progress;
use crate::suspects::{NEIGHBOURS, suspects_of};

/// With at most this many classes, the matrix of class distances is worth its memory.
pub const MATRIX_CLASSES: usize = 2_000;

/// The maximum number of classes in a map.
const MAX_MAP_CLASSES: usize = 48;

/// The maximum number of pairs of confused classes listed.
const MAX_PAIRS: usize = 12;

/// Rows plotted in two dimensions; more if there are more classes.
const POINTS: usize = 4_000;

/// The maximum number of rows for which neighbours are searched, in time quadratic in their number.
const NEIGHBOUR_ROWS: usize = 20_000;

/// The maximum number of suspicious rows listed.
const MAX_SUSPECTS: usize = 50;

/// Pairs of classes with at least this many confused rows are listed before those with fewer.
const OFTEN: usize = 5;

/// An evaluated input: plain data from which a page is drawn.
#[derive(Clone, Debug)]
pub struct Detail<'a> {
    pub evaluation: &'a Evaluation,
    /// The scores of the scored rows; the columns below refer to the same rows.
    pub scores: &'a RowScores,
    /// The class of each scored row, as an index into `evaluation.classes`.
    pub classes: Vec<u32>,
    /// The number of each scored row in the stored embeddings.
    pub numbers: Vec<usize>,
    pub names: RowNames,
    /// `None` if there are too many classes.
    pub map: Option<ClassMap>,
    pub confused: Vec<ConfusedPair>,
    /// `None` for precomputed distances.
    pub projection: Option<Projection>,
    pub spectrum: Option<Spectrum>,
    /// Most suspicious first.
    pub suspects: Vec<Suspect>,
    /// Where pairs are verified.
    pub pair_curves: Option<&'a PairCurves>,
    /// Whether the rows are a sample, which stands for the set where single rows are drawn and nowhere else. They have no
    /// numbers.
    pub is_sample: bool,
}

/// One of several evaluated inputs with the same rows.
#[derive(Clone, Debug)]
pub struct Checkpoint {
    /// The name that distinguishes it from the others.
    pub name: String,
    pub evaluation: Evaluation,
    pub scores: RowScores,
    /// The class of each scored row, as an index into `evaluation.classes`.
    pub classes: Vec<u32>,
}

/// Mean distances between some classes, ordered so that close classes are adjacent.
#[derive(Clone, Debug)]
pub struct ClassMap {
    /// The classes, as indices into `evaluation.classes`.
    pub classes: Vec<usize>,
    /// Their mean distances, in the same order; the diagonal is the distance within the class.
    pub distances: Array2<Option<f64>>,
}

/// Two classes, and the number of rows of each that have a negative silhouette and the other as the nearest class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConfusedPair {
    /// Indices into `evaluation.classes`.
    pub classes: [usize; 2],
    /// Rows of the first that are closer to the second, and vice versa.
    pub rows: [usize; 2],
}

impl ConfusedPair {
    /// Their share of the rows of both classes.
    pub fn share(&self, evaluation: &Evaluation) -> f64 {
        let rows: usize = self.classes.iter().map(|&class| evaluation.classes[class].count).sum();
        self.rows.iter().sum::<usize>() as f64 / rows.max(1) as f64
    }
}

/// Collects the details of an evaluation for a page.
///
/// # Errors
/// Errors from reading rows.
pub fn detail<'a>(
    dataset: &Dataset,
    evaluation: &'a Evaluation,
    scores: &'a RowScores,
    matrix: Option<&Array2<Option<f64>>>,
    names: RowNames,
    progress: &dyn Progress,
) -> Result<Detail<'a>> {
    let classes: Vec<u32> = dataset.scored_members().map(|(code, _)| code).collect();
    let numbers = dataset.scored().positions().map(|position| dataset.source_row(position)).collect();
    let counts = confusion_counts(&classes, scores);
    let confused = confused_pairs(evaluation, &counts);
    let map = matrix.map(|matrix| class_map(evaluation, &confused, matrix));
    let confused = confused.into_iter().take(MAX_PAIRS).collect();
    let components = principal_components(dataset, progress)?;
    let projection = components.as_ref().map(|found| projection(dataset, &classes, found)).transpose()?;
    let spectrum = components.map(|found| found.spectrum);
    let neighbours = if dataset.len() <= NEIGHBOUR_ROWS { NEIGHBOURS } else { 0 };
    let mut suspects = if scores.silhouette.is_empty() {
        Vec::new()
    } else {
        suspects_of(dataset, scores, neighbours, progress)?.rows
    };
    suspects.truncate(MAX_SUSPECTS);
    let pair_curves = None;
    Ok(Detail {
        evaluation,
        scores,
        classes,
        numbers,
        names,
        map,
        confused,
        projection,
        spectrum,
        suspects,
        pair_curves,
        is_sample: false,
    })
}

/// The details of an evaluation of merged states: what is made of all rows is left out, and rows are those of a sample, of
/// which these are the data and the scores. `scores` are the states, where there are any.
///
/// # Errors
/// Errors from reading rows.
pub fn merged_detail<'a>(
    sample: &Dataset,
    evaluation: &'a Evaluation,
    sampled: &'a RowScores,
    scores: Option<&Scores>,
    matrix: Option<&Array2<Option<f64>>>,
    progress: &dyn Progress,
) -> Result<Detail<'a>> {
    let classes = sample.labels().codes().to_vec();
    let confused = confused_pairs(evaluation, &scores.map(Scores::confusions).unwrap_or_default());
    let map = matrix.map(|matrix| class_map(evaluation, &confused, matrix));
    let components = if sample.is_empty() { None } else { principal_components(sample, progress)? };
    let projection = components.as_ref().map(|found| projection(sample, &classes, found)).transpose()?;
    Ok(Detail {
        evaluation,
        scores: sampled,
        classes,
        numbers: Vec::new(),
        names: RowNames::default(),
        map,
        confused: confused.into_iter().take(MAX_PAIRS).collect(),
        projection,
        spectrum: None,
        suspects: Vec::new(),
        pair_curves: None,
        is_sample: true,
    })
}

/// The directions in which the rows vary most.
struct Components {
    mean: Vec<f64>,
    /// One unit vector per row.
    directions: Array2<f64>,
    spectrum: Spectrum,
}

/// `None` if there are no rows to project, or so many dimensions that their eigenvalues would take minutes.
fn principal_components(dataset: &Dataset, progress: &dyn Progress) -> Result<Option<Components>> {
    if dataset.distance() == Distance::Precomputed || dataset.dimensions() > PROJECTED_DIMENSIONS {
        return Ok(None);
    }
    let covariance = covariance(dataset, progress)?;
    // If squares overflow, there is no covariance.
    if !covariance.matrix.iter().all(|value| value.is_finite()) {
        return Ok(None);
    }
    let Eigen { values, vectors } = Eigen::of(&covariance.matrix, 2)?;
    let spectrum = Spectrum::new(values, covariance.rows);
    Ok(Some(Components { mean: covariance.mean, directions: vectors, spectrum }))
}

/// Some rows of every class, projected on the first two directions.
fn projection(dataset: &Dataset, classes: &[u32], components: &Components) -> Result<Projection> {
    let scored = dataset.scored();
    let mut counts = vec![0; dataset.labels().classes()];
    for &class in classes {
        counts[class as usize] += 1;
    }
    let wanted = POINTS.max(counts.len()).min(classes.len());
    let drawn = drawn_by_class(classes, &counts, wanted, 0);
    let mut points = Vec::with_capacity(drawn.len());
    let mut buffer = Vec::new();
    scored.rows().choose(&drawn).for_each_window::<f64>(|window| {
        let range = window.range();
        let block = window.rows(range.clone(), &mut buffer)?;
        let rows = block.chunks_exact(dataset.dimensions());
        let places = places(rows, &components.mean, &components.directions);
        points.extend(drawn[range].iter().zip(places).map(|(&row, [x, y])| Point { row, x, y }));
        Ok(())
    })?;
    let shares = components.spectrum.shares();
    let share = |direction: usize| shares.get(direction).copied().unwrap_or(0.0);
    Ok(Projection { points, shares: [share(0), share(1)] })
}

/// For each class and other class, the number of rows with a negative silhouette whose nearest class is the other.
fn confusion_counts(classes: &[u32], scores: &RowScores) -> HashMap<(u32, u32), usize> {
    let mut counts = HashMap::new();
    for ((&class, &other), &silhouette) in classes.iter().zip(&scores.nearest_other).zip(&scores.silhouette) {
        if silhouette < 0.0 {
            *counts.entry((class, other)).or_insert(0) += 1;
        }
    }
    counts
}

/// All pairs of classes with confused rows: those with several first, by descending share.
fn confused_pairs(evaluation: &Evaluation, counts: &HashMap<(u32, u32), usize>) -> Vec<ConfusedPair> {
    let count = |class: u32, other: u32| counts.get(&(class, other)).copied().unwrap_or(0);
    let mut pairs: Vec<ConfusedPair> = counts
        .keys()
        .filter(|(class, other)| class < other || count(*other, *class) == 0)
        .map(|&(class, other)| ConfusedPair {
            classes: [class as usize, other as usize],
            rows: [count(class, other), count(other, class)],
        })
        .collect();
    let often = |pair: &ConfusedPair| pair.rows.iter().sum::<usize>() >= OFTEN;
    pairs.sort_by(|left, right| {
        let shares = right.share(evaluation).total_cmp(&left.share(evaluation));
        often(right).cmp(&often(left)).then(shares).then(left.classes.cmp(&right.classes))
    });
    pairs
}

/// The map of all classes, or of the most confused ones.
fn class_map(evaluation: &Evaluation, confused: &[ConfusedPair], matrix: &Array2<Option<f64>>) -> ClassMap {
    let all = evaluation.classes.len();
    let mut chosen: Vec<usize> = (0..all).collect();
    if all > MAX_MAP_CLASSES {
        let silhouette = |class: usize| evaluation.classes[class].silhouette.unwrap_or(f64::INFINITY);
        chosen.sort_by(|&left, &right| silhouette(left).total_cmp(&silhouette(right)));
        let by_interest: IndexSet<usize> = confused.iter().flat_map(|pair| pair.classes).chain(chosen).collect();
        chosen = by_interest.into_iter().take(MAX_MAP_CLASSES).collect();
        chosen.sort_unstable();
    }
    let among = |classes: &[usize]| {
        Array2::from_shape_fn((classes.len(), classes.len()), |(row, column)| matrix[[classes[row], classes[column]]])
    };
    let classes: Vec<usize> = class_order(&among(&chosen)).into_iter().map(|place| chosen[place]).collect();
    ClassMap { distances: among(&classes), classes }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pairs_are_counted_in_both_directions() {
        let scores = RowScores {
            silhouette: vec![-0.1, -0.2, 0.3, -0.1, -0.4],
            nearest_other: vec![1, 1, 2, 0, 0],
            ..RowScores::default()
        };
        let counts = confusion_counts(&[0, 0, 0, 1, 2], &scores);
        assert_eq!(counts.get(&(0, 1)), Some(&2));
        assert_eq!(counts.get(&(1, 0)), Some(&1));
        assert_eq!(counts.get(&(2, 0)), Some(&1));
        assert_eq!(counts.len(), 3);
    }
}
