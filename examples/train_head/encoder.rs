//! A network with one hidden layer and a linear head, and the Adam optimiser.

use ndarray::{Array1, Array2, ArrayView2, Axis};
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::Rng;

/// A uniform number in [0, 1).
pub fn uniform(random: &mut ChaCha8Rng) -> f64 {
    (random.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}

/// A standard normal number (Box and Muller).
fn normal(random: &mut ChaCha8Rng) -> f64 {
    let (radius, angle) = (1.0 - uniform(random), uniform(random));
    (-2.0 * radius.ln()).sqrt() * (std::f64::consts::TAU * angle).cos()
}

/// embeddings = max(x A + a, 0) B + b, logits = embeddings W^T + w.
#[derive(Clone)]
pub struct Encoder {
    /// A, B and W, then a, b and w as single rows.
    parameters: [Array2<f32>; 6],
}

/// The values that the backward pass needs from the forward pass.
pub struct Forward {
    hidden: Array2<f32>,
    pub embeddings: Array2<f32>,
}

impl Encoder {
    pub fn new(inputs: usize, hidden: usize, dimensions: usize, classes: usize, random: &mut ChaCha8Rng) -> Self {
        let mut layer = |rows: usize, columns: usize, fan_in: usize| {
            let scale = (2.0 / fan_in as f64).sqrt();
            Array2::from_shape_simple_fn((rows, columns), || (scale * normal(random)) as f32)
        };
        Encoder {
            parameters: [
                layer(inputs, hidden, inputs),
                layer(hidden, dimensions, hidden),
                layer(classes, dimensions, dimensions),
                Array2::zeros((1, hidden)),
                Array2::zeros((1, dimensions)),
                Array2::zeros((1, classes)),
            ],
        }
    }

    pub fn forward(&self, rows: ArrayView2<'_, f32>) -> Forward {
        let [first, second, _, first_bias, second_bias, _] = &self.parameters;
        let hidden = (rows.dot(first) + first_bias).mapv_into(|value| value.max(0.0));
        let embeddings = hidden.dot(second) + second_bias;
        Forward { hidden, embeddings }
    }

    pub fn head(&self) -> (ArrayView2<'_, f32>, ndarray::ArrayView1<'_, f32>) {
        (self.parameters[2].view(), self.parameters[5].row(0))
    }

    /// The gradients of all parameters from those of the embeddings and the head.
    pub fn backward(
        &self,
        rows: ArrayView2<'_, f32>,
        forward: &Forward,
        by_embeddings: &Array2<f32>,
        by_head: Array2<f32>,
        by_head_bias: Array1<f32>,
    ) -> [Array2<f32>; 6] {
        let mut by_hidden = by_embeddings.dot(&self.parameters[1].t());
        by_hidden.zip_mut_with(&forward.hidden, |slope, value| {
            if *value <= 0.0 {
                *slope = 0.0;
            }
        });
        let sums = |matrix: &Array2<f32>| matrix.sum_axis(Axis(0)).insert_axis(Axis(0));
        [
            rows.t().dot(&by_hidden),
            forward.hidden.t().dot(by_embeddings),
            by_head,
            sums(&by_hidden),
            sums(by_embeddings),
            by_head_bias.insert_axis(Axis(0)),
        ]
    }
}

/// Adam with its usual constants (Kingma and Ba 2015).
pub struct Adam {
    rate: f32,
    step: i32,
    means: [Array2<f32>; 6],
    squares: [Array2<f32>; 6],
}

impl Adam {
    pub fn new(encoder: &Encoder, rate: f32) -> Self {
        let zeros = || encoder.parameters.each_ref().map(|parameter| Array2::zeros(parameter.raw_dim()));
        Adam { rate, step: 0, means: zeros(), squares: zeros() }
    }

    pub fn update(&mut self, encoder: &mut Encoder, gradients: &[Array2<f32>; 6]) {
        const MEAN: f32 = 0.9;
        const SQUARE: f32 = 0.999;
        self.step += 1;
        let (mean_bias, square_bias) = (1.0 - MEAN.powi(self.step), 1.0 - SQUARE.powi(self.step));
        let moments = self.means.iter_mut().zip(&mut self.squares);
        for ((parameter, gradient), (means, squares)) in encoder.parameters.iter_mut().zip(gradients).zip(moments) {
            ndarray::Zip::from(parameter).and(gradient).and(means).and(squares).for_each(
                |value, slope, mean, square| {
                    *mean = MEAN * *mean + (1.0 - MEAN) * slope;
                    *square = SQUARE * *square + (1.0 - SQUARE) * slope * slope;
                    *value -= self.rate * (*mean / mean_bias) / ((*square / square_bias).sqrt() + 1e-8);
                },
            );
        }
    }
}
