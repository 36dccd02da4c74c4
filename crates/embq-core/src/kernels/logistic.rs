//! Multinomial logistic regression with a penalty on the squared length of the weights, fitted to several overlapping parts
//! of the rows at once.
//!
//! Minimises the sum over rows of -log p(y) plus |W|^2 / (2 C), with an intercept that is not penalised: the objective of
//! scikit-learn's `LogisticRegression`. It takes one vector of weights for two classes, which here have one each: with
//! w = w_1 - w_0 and w_0 = -w_1 the penalty |w|^2 / 2 is |W|^2.
//!
//! Found by L-BFGS (Nocedal 1980). The inverse of a matrix near the Hessian starts its approximation: for every class that
//! of the weights by themselves, p (1 - p) X^T X + I / C, with the p of the start. So directions of little variance, of which
//! embeddings have many, take no more steps than others. Own code and not that of a crate because value and gradient come
//! from one pass over the rows, which all fits share: a general optimiser asks for one after the other, and for one fit.
//!
//! The rows are centred, which changes the intercepts alone; products and sums are float64, added up in a fixed order.

use std::collections::VecDeque;

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::data::{Dataset, Element, Precision};
use crate::error::Result;
use crate::kernels::covariance;
use crate::kernels::exponential::exp_and_exp_m1;
use crate::kernels::gemm::{Packed, multiply_packed, transposed_multiply};
use crate::kernels::in_order::{blocks_at_once, for_each_block};
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::progress::Progress;

/// Rows of a block.
const BLOCK_ROWS: usize = 1024;

/// Steps and differences of gradients that approximate the Hessian.
const MEMORY: usize = 10;

/// Numbers that fits at work hold together.
const HELD: usize = 1 << 27;

/// Dimensions up to which the Hessian of a class is factorised.
const FACTORISED: usize = 4096;

/// A step has to gain this share of what the slope promises.
const GAIN: f64 = 1e-4;

/// How often a step is shortened.
const SHORTENED: usize = 30;

/// How logistic regression is fitted.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogisticOptions {
    /// C, the inverse of the penalty.
    pub c: f64,
    /// A fit ends once its gradient is shorter than this share of that of all weights 0.
    pub tolerance: f64,
    /// Steps of a fit, at most.
    pub steps: usize,
}

impl Default for LogisticOptions {
    fn default() -> Self {
        LogisticOptions { c: 1.0, tolerance: 1e-6, steps: 1000 }
    }
}

/// A fit to some of the rows.
#[derive(Clone, Debug, PartialEq)]
pub struct LogisticFit {
    /// K x d.
    pub weights: Vec<f64>,
    /// For the rows as they are given; minus infinity for a class without rows in the fit.
    pub intercepts: Vec<f64>,
    /// What was minimised.
    pub objective: f64,
    /// Length of the gradient over that at the start.
    pub gradient: f64,
    pub steps: usize,
}

/// Fits to all rows but those of each fold in turn: `folds` holds the number of the fold of each row, and the fit of that
/// number leaves the row out. A number past those of the fits is in all of them.
///
/// # Errors
/// Errors from reading rows.
pub fn fit_logistic(
    dataset: &Dataset,
    folds: &[u32],
    fits: usize,
    options: &LogisticOptions,
    progress: &dyn Progress,
) -> Result<Vec<LogisticFit>> {
    let problem = Problem::new(dataset, folds, fits, *options, progress)?;
    let size = dataset.labels().classes() * (dataset.dimensions() + 1) * (2 * MEMORY + 6);
    let at_once = (HELD / size.max(1)).clamp(1, fits.max(1));
    let mut found = Vec::with_capacity(fits);
    progress.begin("logistic probe", fits as u64);
    for first in (0..fits).step_by(at_once) {
        let numbers = first..(first + at_once).min(fits);
        found.extend(problem.solve(numbers.collect())?);
    }
    progress.end();
    Ok(found)
}

/// For each row the class that each of the fits gives it; of classes that are as likely the first.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn predict_logistic(
    dataset: &Dataset,
    fits: &[LogisticFit],
    progress: &dyn Progress,
) -> Result<Vec<Vec<u32>>> {
    match dataset.embeddings().element_type().precision() {
        Precision::F32 => predict::<f32>(dataset, fits, progress),
        Precision::F64 => predict::<f64>(dataset, fits, progress),
    }
}

fn predict<T: Element>(dataset: &Dataset, fits: &[LogisticFit], progress: &dyn Progress) -> Result<Vec<Vec<u32>>> {
    let d = dataset.dimensions();
    let weights: Vec<Packed<f64>> = fits.iter().map(|fit| Packed::of(&fit.weights, d)).collect();
    let mut predicted: Vec<Vec<u32>> = fits.iter().map(|_| Vec::with_capacity(dataset.len())).collect();
    dataset.selected().for_each_window::<T>(|window| {
        for_each_block(
            window.range(),
            BLOCK_ROWS,
            blocks_at_once(BLOCK_ROWS * fits.len()),
            |(buffer, wide, logits): &mut (Vec<T>, Vec<f64>, Vec<f64>), rows| {
                let block = window.rows(rows.clone(), buffer)?;
                wide.clear();
                wide.extend(block.iter().map(|value| value.to_f64()));
                progress.check()?;
                let of_fit = weights.iter().zip(fits).map(|(weights, fit)| {
                    let classes = fit.intercepts.len();
                    logits.resize(rows.len() * classes, 0.0);
                    multiply_packed(wide, weights, 0..classes, logits);
                    let best = |logits: &[f64]| {
                        let mut best = (0, f64::NEG_INFINITY);
                        for (class, (logit, intercept)) in logits.iter().zip(&fit.intercepts).enumerate() {
                            if logit + intercept > best.1 {
                                best = (class as u32, logit + intercept);
                            }
                        }
                        best.0
                    };
                    logits.chunks_exact(classes).map(best).collect::<Vec<u32>>()
                });
                Ok(of_fit.collect::<Vec<_>>())
            },
            |_, of_block| predicted.iter_mut().zip(of_block).for_each(|(all, part)| all.extend(part)),
        )
    })?;
    Ok(predicted)
}

/// The rows, and what all fits share.
struct Problem<'a> {
    dataset: &'a Dataset<'a>,
    folds: &'a [u32],
    options: LogisticOptions,
    progress: &'a dyn Progress,
    mean: Vec<f64>,
    /// For each fit the intercepts to start from: minus infinity for classes that it has no rows of.
    offsets: Vec<Vec<f64>>,
    /// For each fit the factor of |W|^2 / 2.
    penalties: Vec<f64>,
    start: Start,
}

/// A matrix near the Hessian of the weights of a class.
enum Start {
    Factor(Llt<f64>),
    Diagonal(Vec<f64>),
}

impl<'a> Problem<'a> {
    fn new(
        dataset: &'a Dataset<'a>,
        folds: &'a [u32],
        fits: usize,
        options: LogisticOptions,
        progress: &'a dyn Progress,
    ) -> Result<Self> {
        let (n, d, codes) = (dataset.len(), dataset.dimensions(), dataset.labels().codes());
        let classes = dataset.labels().classes();
        let mut counts = vec![dataset.labels().counts().to_vec(); fits];
        for (&code, &fold) in codes.iter().zip(folds) {
            if let Some(counts) = counts.get_mut(fold as usize) {
                counts[code as usize] -= 1;
            }
        }
        let offsets: Vec<Vec<f64>> = counts
            .iter()
            .map(|counts| counts.iter().map(|&count| if count > 0 { 0.0 } else { f64::NEG_INFINITY }).collect())
            .collect();
        let penalty = |counts: &Vec<usize>| {
            let of_two = counts.iter().filter(|&&count| count > 0).count() == 2;
            (if of_two { 2.0 } else { 1.0 }) / options.c
        };
        let penalties = counts.iter().map(penalty).collect();
        let share = (1.0 / classes as f64) * (1.0 - 1.0 / classes as f64);
        let (mean, start) = if d <= n.min(FACTORISED) {
            let found = covariance(dataset, progress)?;
            let curvature = Mat::from_fn(d, d, |row, column| {
                found.matrix[[row, column]] * n as f64 * share + if row == column { 1.0 / options.c } else { 0.0 }
            });
            let start = match Llt::new(curvature.as_ref(), Side::Lower) {
                Ok(factor) => Start::Factor(factor),
                // Rows of which the squares are beyond float64.
                Err(_) => Start::Diagonal(vec![1.0; d]),
            };
            (found.mean, start)
        } else {
            let (mean, variance) = moments(dataset)?;
            let curvature = variance.iter().map(|variance| variance * n as f64 * share + 1.0 / options.c);
            (mean, Start::Diagonal(curvature.collect()))
        };
        Ok(Problem { dataset, folds, options, progress, mean, offsets, penalties, start })
    }

    /// Fits some of the folds together.
    fn solve(&self, numbers: Vec<usize>) -> Result<Vec<LogisticFit>> {
        let (classes, d) = (self.dataset.labels().classes(), self.dataset.dimensions());
        let mut searches: Vec<Search> = numbers.iter().map(|&fit| Search::new(fit, classes * (d + 1))).collect();
        loop {
            let active: Vec<usize> = (0..searches.len()).filter(|&at| !searches[at].done).collect();
            if active.is_empty() {
                break;
            }
            let points: Vec<(usize, &[f64])> =
                active.iter().map(|&at| (searches[at].fit, &searches[at].trial[..])).collect();
            let values = self.values(&points)?;
            let mut finished = 0;
            for (&at, (value, gradient)) in active.iter().zip(values) {
                searches[at].advance(value, gradient, &self.options, |vector| self.precondition(vector));
                finished += u64::from(searches[at].done);
            }
            self.progress.step(finished)?;
        }
        Ok(searches.into_iter().map(|search| self.finish(search)).collect())
    }

    fn finish(&self, search: Search) -> LogisticFit {
        let (classes, d) = (self.dataset.labels().classes(), self.dataset.dimensions());
        let weights = search.point[..classes * d].to_vec();
        let intercepts = weights.chunks_exact(d).zip(&search.point[classes * d..]).zip(&self.offsets[search.fit]);
        LogisticFit {
            intercepts: intercepts
                .map(|((weights, intercept), offset)| intercept + offset - dot(weights, &self.mean))
                .collect(),
            weights,
            objective: search.value,
            gradient: if search.start > 0.0 { length(&search.gradient) / search.start } else { 0.0 },
            steps: search.steps,
        }
    }

    /// The inverse of the matrix near the Hessian times a vector.
    fn precondition(&self, vector: &[f64]) -> Vec<f64> {
        let (classes, d) = (self.dataset.labels().classes(), self.dataset.dimensions());
        let share = (1.0 / classes as f64) * (1.0 - 1.0 / classes as f64);
        let mut result = vector.to_vec();
        let (weights, intercepts) = result.split_at_mut(classes * d);
        match &self.start {
            Start::Factor(factor) => {
                let columns = faer::MatMut::from_column_major_slice_mut(weights, d, classes);
                factor.solve_in_place(columns);
            }
            Start::Diagonal(diagonal) => {
                for weights in weights.chunks_exact_mut(d) {
                    weights.iter_mut().zip(diagonal).for_each(|(value, curvature)| *value /= curvature);
                }
            }
        }
        let curvature = self.dataset.len() as f64 * share;
        intercepts.iter_mut().for_each(|value| *value /= curvature);
        result
    }

    /// Value and gradient of the objectives of some fits, each at a point: K x d weights, then K intercepts.
    fn values(&self, points: &[(usize, &[f64])]) -> Result<Vec<(f64, Vec<f64>)>> {
        match self.dataset.embeddings().element_type().precision() {
            Precision::F32 => self.values_of::<f32>(points),
            Precision::F64 => self.values_of::<f64>(points),
        }
    }

    fn values_of<T: Element>(&self, points: &[(usize, &[f64])]) -> Result<Vec<(f64, Vec<f64>)>> {
        let (classes, d) = (self.dataset.labels().classes(), self.dataset.dimensions());
        let columns = points.len() * classes;
        let stacked: Vec<f64> = points.iter().flat_map(|(_, point)| &point[..classes * d]).copied().collect();
        let packed = Packed::of(&stacked, d);
        let intercepts: Vec<f64> = points
            .iter()
            .flat_map(|(fit, point)| {
                point[classes * d..].iter().zip(&self.offsets[*fit]).map(|(value, offset)| value + offset)
            })
            .collect();
        let fits: Vec<u32> = points.iter().map(|&(fit, _)| fit as u32).collect();
        let codes = self.dataset.labels().codes();
        let mut losses = vec![0.0; points.len()];
        let mut gradients = vec![0.0; columns * d];
        let mut of_intercepts = vec![0.0; columns];
        self.dataset.selected().for_each_window::<T>(|window| {
            for_each_block(
                window.range(),
                BLOCK_ROWS,
                blocks_at_once(columns * (d + 1)),
                |(buffer, workspace): &mut (Vec<T>, Workspace), rows| {
                    self.progress.check()?;
                    let block = window.rows(rows.clone(), buffer)?;
                    Ok(vectorized(Residuals {
                        block,
                        mean: &self.mean,
                        packed: &packed,
                        intercepts: &intercepts,
                        fits: &fits,
                        classes,
                        codes: &codes[rows.clone()],
                        folds: &self.folds[rows],
                        workspace,
                    }))
                },
                |_, part: Part| {
                    losses.iter_mut().zip(part.losses).for_each(|(sum, value)| *sum += value);
                    of_intercepts.iter_mut().zip(part.intercepts).for_each(|(sum, value)| *sum += value);
                    let parts = gradients.par_chunks_mut(1 << 14).zip(part.gradients.par_chunks(1 << 14));
                    parts.for_each(|(sums, values)| sums.iter_mut().zip(values).for_each(|(sum, value)| *sum += value));
                },
            )
        })?;
        let of_point = points.iter().enumerate().map(|(at, (fit, point))| {
            let weights = &point[..classes * d];
            let penalty = self.penalties[*fit];
            let mut gradient = gradients[at * classes * d..(at + 1) * classes * d].to_vec();
            gradient.iter_mut().zip(weights).for_each(|(value, weight)| *value += penalty * weight);
            gradient.extend_from_slice(&of_intercepts[at * classes..(at + 1) * classes]);
            (losses[at] + 0.5 * penalty * dot(weights, weights), gradient)
        });
        Ok(of_point.collect())
    }
}

/// Mean and variance of each dimension.
fn moments(dataset: &Dataset) -> Result<(Vec<f64>, Vec<f64>)> {
    match dataset.embeddings().element_type().precision() {
        Precision::F32 => moments_of::<f32>(dataset),
        Precision::F64 => moments_of::<f64>(dataset),
    }
}

fn moments_of<T: Element>(dataset: &Dataset) -> Result<(Vec<f64>, Vec<f64>)> {
    let d = dataset.dimensions();
    let (mut sum, mut squares, mut origin) = (vec![0.0; d], vec![0.0; d], Vec::new());
    let mut buffer = Vec::new();
    dataset.selected().for_each_window::<T>(|window| {
        for row in window.rows(window.range(), &mut buffer)?.chunks_exact(d) {
            if origin.is_empty() {
                origin = row.iter().map(|value| value.to_f64()).collect();
            }
            for ((sum, square), (value, origin)) in sum.iter_mut().zip(&mut squares).zip(row.iter().zip(&origin)) {
                let less = value.to_f64() - origin;
                *sum += less;
                *square += less * less;
            }
        }
        Ok(())
    })?;
    let rows = dataset.len() as f64;
    let means: Vec<f64> = sum.iter().map(|sum| sum / rows).collect();
    let variance = squares.iter().zip(&means).map(|(square, mean)| (square / rows - mean * mean).max(0.0)).collect();
    Ok((origin.iter().zip(&means).map(|(origin, mean)| origin + mean).collect(), variance))
}

#[derive(Default)]
struct Workspace {
    centred: Vec<f64>,
    residuals: Vec<f64>,
}

/// What a block of rows adds to the objectives, and to their derivatives.
struct Part {
    losses: Vec<f64>,
    gradients: Vec<f64>,
    intercepts: Vec<f64>,
}

/// The losses of a block of rows in several fits.
struct Residuals<'t, T> {
    block: &'t [T],
    mean: &'t [f64],
    /// The weights and intercepts of all fits, one after the other.
    packed: &'t Packed<f64>,
    intercepts: &'t [f64],
    fits: &'t [u32],
    classes: usize,
    codes: &'t [u32],
    folds: &'t [u32],
    workspace: &'t mut Workspace,
}

impl<T: Element> Vectorized for Residuals<'_, T> {
    type Output = Part;

    #[inline(always)]
    fn run(self) -> Part {
        let Residuals { block, mean, packed, intercepts, fits, classes, codes, folds, workspace } = self;
        let Workspace { centred, residuals } = workspace;
        let (d, columns, rows) = (mean.len(), intercepts.len(), codes.len());
        centred.resize(block.len(), 0.0);
        for (row, centred) in block.chunks_exact(d).zip(centred.chunks_exact_mut(d)) {
            for ((target, value), mean) in centred.iter_mut().zip(row).zip(mean) {
                *target = value.to_f64() - mean;
            }
        }
        residuals.resize(rows * columns, 0.0);
        multiply_packed(centred, packed, 0..columns, residuals);
        let mut part =
            Part { losses: vec![0.0; fits.len()], gradients: vec![0.0; columns * d], intercepts: vec![0.0; columns] };
        for ((row, &code), fold) in residuals.chunks_exact_mut(columns).zip(codes).zip(folds) {
            let of_fit = row.chunks_exact_mut(classes).zip(intercepts.chunks_exact(classes));
            for (((logits, intercepts), fit), loss) in of_fit.zip(fits).zip(&mut part.losses) {
                if fit == fold {
                    logits.fill(0.0);
                    continue;
                }
                let mut largest = f64::NEG_INFINITY;
                for (logit, intercept) in logits.iter_mut().zip(intercepts) {
                    *logit += intercept;
                    largest = if *logit > largest { *logit } else { largest };
                }
                let own = logits[code as usize] - largest;
                let mut sum = 0.0;
                for logit in logits.iter_mut() {
                    *logit = exp_and_exp_m1(*logit - largest).0;
                    sum += *logit;
                }
                *loss += sum.ln() - own;
                let inverse = 1.0 / sum;
                logits.iter_mut().for_each(|value| *value *= inverse);
                logits[code as usize] -= 1.0;
            }
            part.intercepts.iter_mut().zip(&*row).for_each(|(sum, residual)| *sum += residual);
        }
        transposed_multiply(residuals, centred, rows, &mut part.gradients);
        part
    }
}

/// The descent of one fit.
struct Search {
    fit: usize,
    point: Vec<f64>,
    value: f64,
    gradient: Vec<f64>,
    /// Length of the gradient at the start.
    start: f64,
    direction: Vec<f64>,
    /// Derivative of the objective along the direction, and how far along it the trial lies.
    slope: f64,
    step: f64,
    shortened: usize,
    trial: Vec<f64>,
    /// Steps, differences of gradients, and 1 over their product.
    history: VecDeque<(Vec<f64>, Vec<f64>, f64)>,
    steps: usize,
    done: bool,
}

impl Search {
    /// From all weights 0.
    fn new(fit: usize, size: usize) -> Self {
        Search {
            fit,
            point: vec![0.0; size],
            value: f64::INFINITY,
            gradient: Vec::new(),
            start: 0.0,
            direction: Vec::new(),
            slope: 0.0,
            step: 0.0,
            shortened: 0,
            trial: vec![0.0; size],
            history: VecDeque::with_capacity(MEMORY),
            steps: 0,
            done: false,
        }
    }

    /// Takes in value and gradient at the trial, and chooses the next one.
    fn advance(
        &mut self,
        value: f64,
        gradient: Vec<f64>,
        options: &LogisticOptions,
        precondition: impl Fn(&[f64]) -> Vec<f64>,
    ) {
        // Not of a value that is no number.
        let gains = value <= self.value + GAIN * self.step * self.slope + f64::EPSILON * self.value.abs();
        if self.gradient.is_empty() {
            self.start = length(&gradient);
        } else if !gains {
            // The least value of the parabola through the two values and the slope; values that are not numbers have none.
            let curvature = value - self.value - self.step * self.slope;
            let least = -0.5 * self.slope * self.step * self.step / curvature;
            self.step = if least.is_finite() { least.clamp(0.1 * self.step, 0.5 * self.step) } else { 0.1 * self.step };
            self.shortened += 1;
            self.done = self.shortened > SHORTENED;
            self.try_step();
            return;
        } else {
            self.steps += 1;
            let step: Vec<f64> = self.trial.iter().zip(&self.point).map(|(after, before)| after - before).collect();
            let change: Vec<f64> = gradient.iter().zip(&self.gradient).map(|(after, before)| after - before).collect();
            let product = dot(&step, &change);
            if product > f64::EPSILON * length(&step) * length(&change) {
                if self.history.len() == MEMORY {
                    self.history.pop_front();
                }
                self.history.push_back((step, change, 1.0 / product));
            }
        }
        self.point.copy_from_slice(&self.trial);
        (self.value, self.gradient) = (value, gradient);
        if length(&self.gradient) <= options.tolerance * self.start || self.steps >= options.steps {
            self.done = true;
            return;
        }
        self.choose_direction(&precondition);
        if !self.descends() {
            self.history.clear();
            self.choose_direction(&precondition);
        }
        (self.step, self.shortened) = (1.0, 0);
        // Where rounding leaves nothing to gain.
        self.done = !self.descends();
        self.try_step();
    }

    fn descends(&self) -> bool {
        self.slope < 0.0
    }

    fn try_step(&mut self) {
        for ((trial, point), direction) in self.trial.iter_mut().zip(&self.point).zip(&self.direction) {
            *trial = point + self.step * direction;
        }
    }

    /// Minus the approximate inverse Hessian times the gradient.
    fn choose_direction(&mut self, precondition: impl Fn(&[f64]) -> Vec<f64>) {
        let mut vector: Vec<f64> = self.gradient.iter().map(|value| -value).collect();
        let mut shares = Vec::with_capacity(self.history.len());
        for (step, change, inverse) in self.history.iter().rev() {
            let share = inverse * dot(step, &vector);
            vector.iter_mut().zip(change).for_each(|(value, change)| *value -= share * change);
            shares.push(share);
        }
        let mut direction = precondition(&vector);
        if let Some((_, change, inverse)) = self.history.back() {
            let scale = 1.0 / (inverse * dot(change, &precondition(change)));
            direction.iter_mut().for_each(|value| *value *= scale);
        }
        for ((step, change, inverse), share) in self.history.iter().zip(shares.iter().rev()) {
            let other = inverse * dot(change, &direction);
            direction.iter_mut().zip(step).for_each(|(value, step)| *value += (share - other) * step);
        }
        self.slope = dot(&direction, &self.gradient);
        self.direction = direction;
    }
}

fn dot(left: &[f64], right: &[f64]) -> f64 {
    crate::kernels::lane_sum_2(left, right, |x, y| x * y)
}

fn length(vector: &[f64]) -> f64 {
    dot(vector, vector).sqrt()
}

#[cfg(test)]
mod tests {
    use ndarray::Array2;

    use super::*;
    use crate::data::{DatasetOptions, Embeddings, LabelColumn, Origin};
    use crate::distance::Distance;
    use crate::progress::NoProgress;

    fn dataset(values: Array2<f64>, labels: &[usize]) -> Dataset<'static> {
        let embeddings = Embeddings::from_f64(Origin::new("rows"), values);
        let labels = LabelColumn::from_labels(labels);
        Dataset::join(embeddings, &labels, Distance::Euclidean, &DatasetOptions::default()).unwrap()
    }

    fn values(rows: usize, d: usize) -> Array2<f64> {
        Array2::from_shape_fn((rows, d), |(i, j)| {
            ((i * 37 + j * 101 + i * j * 13) % 97) as f64 / 97.0 + ((i * (j + 3)) % 4) as f64 * (j as f64 + 1.0) / 3.0
        })
    }

    fn problem<'a>(dataset: &'a Dataset<'a>, folds: &'a [u32], fits: usize) -> Problem<'a> {
        Problem::new(dataset, folds, fits, LogisticOptions::default(), &NoProgress).unwrap()
    }

    #[test]
    fn the_gradient_is_that_of_the_objective() {
        let labels: Vec<usize> = (0..40).map(|row| (row * row + row / 7) % 3).collect();
        let folds: Vec<u32> = (0..40).map(|row| row % 3).collect();
        let dataset = dataset(values(40, 4), &labels);
        let problem = problem(&dataset, &folds, 2);
        let point: Vec<f64> = (0..15).map(|at| ((at * 7 % 11) as f64 - 5.0) / 10.0).collect();
        for fit in 0..2 {
            let (_, gradient) = problem.values(&[(fit, &point)]).unwrap().remove(0);
            for at in 0..point.len() {
                let value = |apart: f64| {
                    let mut moved = point.clone();
                    moved[at] += apart;
                    problem.values(&[(fit, &moved)]).unwrap()[0].0
                };
                let numeric = (value(1e-5) - value(-1e-5)) / 2e-5;
                assert!((gradient[at] - numeric).abs() < 1e-7, "{at}: {} {numeric}", gradient[at]);
            }
        }
    }

    #[test]
    fn a_row_of_two_classes_as_worked_out_by_hand() {
        // Rows at 1 and -1: the loss of both is log(1 + exp(-w)), and w = 2 / (1 + exp(w)) where its sum with w^2 / 2 is least.
        let dataset = dataset(ndarray::array![[1.0], [-1.0]], &[1, 0]);
        let fit = fit_logistic(&dataset, &[9, 9], 1, &LogisticOptions::default(), &NoProgress).unwrap().remove(0);
        let weight = fit.weights[1] - fit.weights[0];
        assert!((weight - 2.0 / (1.0 + weight.exp())).abs() < 1e-6, "{fit:?}");
        assert!((fit.objective - (2.0 * (-weight).exp().ln_1p() + weight * weight / 2.0)).abs() < 1e-12);
    }

    #[test]
    fn fits_converge_and_leave_their_fold_out() {
        for (rows, d) in [(200, 6), (30, 50), (2500, 3)] {
            let labels: Vec<usize> = (0..rows).map(|row| (row * row + row / 7) % 4).collect();
            let folds: Vec<u32> = (0..rows).map(|row| row as u32 % 3).collect();
            let whole = dataset(values(rows, d), &labels);
            let fits = fit_logistic(&whole, &folds, 3, &LogisticOptions::default(), &NoProgress).unwrap();
            for (fold, fit) in fits.iter().enumerate() {
                assert!(fit.gradient <= 1e-6, "{rows} x {d}: {} after {} steps", fit.gradient, fit.steps);
                let kept: Vec<usize> = (0..rows).filter(|row| row % 3 != fold).collect();
                let part = whole.subset(&kept);
                let none = vec![1; kept.len()];
                let alone = fit_logistic(&part, &none, 1, &LogisticOptions::default(), &NoProgress).unwrap();
                assert!((alone[0].objective / fit.objective - 1.0).abs() < 1e-9, "{rows} x {d}");
            }
        }
    }

    #[test]
    fn a_class_without_rows_is_never_predicted() {
        let labels: Vec<usize> = (0..30).map(|row| if row == 3 { 2 } else { row % 2 }).collect();
        let folds: Vec<u32> = (0..30).map(|row| u32::from(row != 3)).collect();
        let dataset = dataset(values(30, 3), &labels);
        let fits = fit_logistic(&dataset, &folds, 2, &LogisticOptions::default(), &NoProgress).unwrap();
        let predicted = predict_logistic(&dataset, &fits, &NoProgress).unwrap();
        assert!(predicted[0].iter().all(|&class| class < 2));
        // The other fit has seen nothing else.
        assert!(predicted[1].iter().all(|&class| class == 2));
    }

    #[test]
    fn threads_change_no_bit() {
        let labels: Vec<usize> = (0..2500).map(|row| (row * row + row / 7) % 5).collect();
        let folds: Vec<u32> = (0..2500).map(|row| row % 5).collect();
        let dataset = dataset(values(2500, 9), &labels);
        let compute = |threads: usize| {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            pool.install(|| fit_logistic(&dataset, &folds, 5, &LogisticOptions::default(), &NoProgress).unwrap())
        };
        assert_eq!(compute(1), compute(3));
    }
}
