//! One run: a split, training, and its evaluation on held-out rows.

use std::error::Error;
use std::time::Instant;

use embq_core::data::{Dataset, DatasetOptions, Embeddings, LabelColumnBuilder, LabelType, Origin};
use embq_core::evaluation::{Settings, evaluate};
use embq_core::losses::{CrossEntropy, SoftSilhouette, SupervisedContrastive};
use embq_core::metrics::Selection;
use embq_core::progress::NoProgress;
use ndarray::{Array1, Array2, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;

use crate::encoder::{Adam, Encoder, uniform};

const HIDDEN: usize = 128;
const DIMENSIONS: usize = 32;
const RATE: f32 = 1e-3;
const TEMPERATURE: f64 = 0.1;
const NEIGHBOURS: usize = 5;

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Objective {
    CrossEntropy,
    WithSilhouette,
    WithSupcon,
    WithBoth,
    Silhouette,
    Supcon,
}

impl Objective {
    pub const ALL: [Objective; 6] = [
        Objective::CrossEntropy,
        Objective::WithSilhouette,
        Objective::WithSupcon,
        Objective::WithBoth,
        Objective::Silhouette,
        Objective::Supcon,
    ];

    pub fn name(self) -> &'static str {
        match self {
            Objective::CrossEntropy => "CE",
            Objective::WithSilhouette => "CE + Sil",
            Objective::WithSupcon => "CE + SupCon",
            Objective::WithBoth => "CE + Sil + SupCon",
            Objective::Silhouette => "Sil",
            Objective::Supcon => "SupCon",
        }
    }

    fn has_head(self) -> bool {
        !matches!(self, Objective::Silhouette | Objective::Supcon)
    }

    fn has_silhouette(self) -> bool {
        matches!(self, Objective::WithSilhouette | Objective::WithBoth | Objective::Silhouette)
    }

    fn has_supcon(self) -> bool {
        matches!(self, Objective::WithSupcon | Objective::WithBoth | Objective::Supcon)
    }
}

/// The settings shared by all runs of a table.
pub struct Setting {
    pub per_class: usize,
    pub noise: f64,
    pub steps: usize,
    pub batch_size: usize,
    pub test_rows: usize,
    pub silhouette_weight: f64,
    pub supcon_weight: f64,
}

/// Rows for training, some with wrong labels, and rows for testing.
pub struct Split {
    train: Array2<f32>,
    train_labels: Vec<usize>,
    test: Array2<f32>,
    test_labels: Vec<usize>,
    classes: usize,
}

/// The results of a run; shares are from 0 to 1.
#[derive(Clone, Copy)]
pub struct Outcome {
    /// The accuracy of the linear head, or without one, of the nearest class mean of the training rows by cosine.
    pub accuracy: f64,
    /// The accuracy of the 5 nearest training rows by cosine, with the labels used in training.
    pub knn_accuracy: f64,
    /// The hard silhouette of the held-out rows by cosine distance.
    pub silhouette: f64,
    /// The time of one training step.
    pub milliseconds: f64,
}

impl Split {
    pub fn new(rows: &Array2<f32>, labels: &[usize], setting: &Setting, seed: u64) -> Result<Self, Box<dyn Error>> {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        let classes = labels.iter().max().map_or(0, |last| last + 1);
        let order = shuffled(rows.nrows(), &mut random);
        let (mut taken, mut train, mut test) = (vec![0; classes], Vec::new(), Vec::new());
        for row in order {
            let count = &mut taken[labels[row]];
            if *count < setting.per_class {
                *count += 1;
                train.push(row);
            } else if test.len() < setting.test_rows {
                test.push(row);
            }
        }
        if test.len() < 2 * classes || classes < 2 {
            return Err(format!("{} rows are too few for {} of each class", rows.nrows(), setting.per_class).into());
        }
        let mut train_labels: Vec<usize> = train.iter().map(|&row| labels[row]).collect();
        for label in &mut train_labels {
            if uniform(&mut random) < setting.noise {
                let other = (uniform(&mut random) * (classes - 1) as f64) as usize;
                *label = if other >= *label { other + 1 } else { other };
            }
        }
        Ok(Split {
            train: rows.select(Axis(0), &train),
            train_labels,
            test: rows.select(Axis(0), &test),
            test_labels: test.iter().map(|&row| labels[row]).collect(),
            classes,
        })
    }
}

fn shuffled(n: usize, random: &mut ChaCha8Rng) -> Vec<usize> {
    let mut order: Vec<usize> = (0..n).collect();
    for last in (1..n).rev() {
        order.swap(last, (uniform(random) * (last + 1) as f64) as usize);
    }
    order
}

/// Trains with an objective and evaluates the result.
pub fn run(objective: Objective, split: &Split, setting: &Setting, seed: u64) -> Result<Outcome, Box<dyn Error>> {
    let mut random = ChaCha8Rng::seed_from_u64(1000 + seed);
    let mut encoder = Encoder::new(split.train.ncols(), HIDDEN, DIMENSIONS, split.classes, &mut random);
    let mut adam = Adam::new(&encoder, RATE);
    let mut waiting: Vec<usize> = Vec::new();
    let started = Instant::now();
    for _ in 0..setting.steps {
        if waiting.is_empty() {
            waiting = shuffled(split.train.nrows(), &mut random);
        }
        let left = waiting.split_off(waiting.len().min(setting.batch_size));
        let batch = std::mem::replace(&mut waiting, left);
        step(objective, split, setting, &batch, &mut encoder, &mut adam)?;
    }
    let milliseconds = 1e3 * started.elapsed().as_secs_f64() / setting.steps as f64;
    let gallery = unit(encoder.forward(split.train.view()).embeddings);
    let embeddings = encoder.forward(split.test.view()).embeddings;
    let queries = unit(embeddings.clone());
    let predicted = if objective.has_head() {
        let (weights, bias) = encoder.head();
        largest(&(embeddings.dot(&weights.t()) + bias))
    } else {
        let mut sums = Array2::<f32>::zeros((split.classes, DIMENSIONS));
        for (row, &label) in gallery.rows().into_iter().zip(&split.train_labels) {
            sums.row_mut(label).scaled_add(1.0, &row);
        }
        largest(&queries.dot(&unit(sums).t()))
    };
    Ok(Outcome {
        accuracy: agreement(&predicted, &split.test_labels),
        knn_accuracy: agreement(&nearest(&queries, &gallery, split), &split.test_labels),
        silhouette: silhouette(embeddings, &split.test_labels)?,
        milliseconds,
    })
}

fn step(
    objective: Objective,
    split: &Split,
    setting: &Setting,
    batch: &[usize],
    encoder: &mut Encoder,
    adam: &mut Adam,
) -> Result<(), Box<dyn Error>> {
    let rows = split.train.select(Axis(0), batch);
    let labels: Vec<usize> = batch.iter().map(|&row| split.train_labels[row]).collect();
    let forward = encoder.forward(rows.view());
    let embeddings = forward.embeddings.view();
    let (mut slopes, by_head, by_bias) = if objective.has_head() {
        let (weights, bias) = encoder.head();
        let found = CrossEntropy.with_head(embeddings, weights, bias, &labels)?;
        (found.embeddings.gradient, found.weights, found.bias)
    } else {
        let head = Array2::zeros((split.classes, DIMENSIONS));
        (Array2::zeros(embeddings.raw_dim()), head, Array1::zeros(split.classes))
    };
    if objective.has_silhouette() {
        let found = SoftSilhouette::new(TEMPERATURE).loss_and_gradient(embeddings, &labels)?;
        slopes.scaled_add(setting.silhouette_weight as f32, &found.gradient);
    }
    if objective.has_supcon() {
        let loss = SupervisedContrastive { temperature: TEMPERATURE };
        let found = loss.loss_and_gradient(embeddings, &labels)?;
        slopes.scaled_add(setting.supcon_weight as f32, &found.gradient);
    }
    let gradients = encoder.backward(rows.view(), &forward, &slopes, by_head, by_bias);
    adam.update(encoder, &gradients);
    Ok(())
}

/// Rows scaled to length 1.
fn unit(mut rows: Array2<f32>) -> Array2<f32> {
    for mut row in rows.rows_mut() {
        let length = row.dot(&row).sqrt().max(f32::MIN_POSITIVE);
        row /= length;
    }
    rows
}

/// The column of the largest number in each row.
fn largest(scores: &Array2<f32>) -> Vec<usize> {
    let best = |row: ndarray::ArrayView1<'_, f32>| {
        let mut best = (0, f32::NEG_INFINITY);
        row.iter().enumerate().for_each(|(column, &value)| {
            if value > best.1 {
                best = (column, value);
            }
        });
        best.0
    };
    scores.rows().into_iter().map(best).collect()
}

/// The majority class of the nearest training rows; on a tie, the class of the nearest one.
fn nearest(queries: &Array2<f32>, gallery: &Array2<f32>, split: &Split) -> Vec<usize> {
    let similarities = queries.dot(&gallery.t());
    let classify = |row: ndarray::ArrayView1<'_, f32>| {
        let mut order: Vec<usize> = (0..row.len()).collect();
        order.sort_by(|&left, &right| row[right].total_cmp(&row[left]));
        let votes =
            |class: usize| order.iter().take(NEIGHBOURS).filter(|&&row| split.train_labels[row] == class).count();
        let candidates = order.iter().take(NEIGHBOURS).map(|&row| split.train_labels[row]);
        candidates.rev().max_by_key(|&class| votes(class)).unwrap_or(0)
    };
    similarities.rows().into_iter().map(classify).collect()
}

fn agreement(predicted: &[usize], labels: &[usize]) -> f64 {
    let right = predicted.iter().zip(labels).filter(|(predicted, label)| predicted == label).count();
    right as f64 / labels.len() as f64
}

fn silhouette(embeddings: Array2<f32>, labels: &[usize]) -> Result<f64, Box<dyn Error>> {
    let mut column = LabelColumnBuilder::new(LabelType::Integer);
    labels.iter().for_each(|&label| column.push_integer(label as i128));
    let settings = Settings { metrics: Selection::parse(["silhouette"])?, ..Settings::default() };
    let dataset = Dataset::join(
        Embeddings::from_f32(Origin::new("held-out rows"), embeddings),
        &column.finish(Origin::new("labels")),
        settings.distance,
        &DatasetOptions::default(),
    )?;
    let scored = evaluate(&dataset, &settings, &NoProgress)?;
    Ok(scored.evaluation.metrics.get("silhouette").copied().flatten().ok_or("the silhouette is undefined")?)
}
