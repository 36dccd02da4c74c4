//! The arithmetic: from rows to mean distances between rows and classes.
//!
//! Every route feeds the same interface, [`RowFold`], which receives the mean distances D_ic of a row in class order, a
//! run of classes at a time. Consumers thus work the same for closed forms, which have all K values of a row at once,
//! and for pair tiles, which never store N x K numbers.

mod all_pairs;
mod balls;
mod between_classes;
mod bounded_pairs;
mod by_class;
mod cancellation;
mod centre;
mod centroids;
mod class_distances;
mod class_means;
mod class_sums;
mod closed_form;
mod contrastive;
mod covariance;
mod cross_products;
mod dense;
mod exponential;
mod fold;
mod gemm;
mod in_order;
mod influence;
mod k_means;
mod listed_pairs;
mod logistic;
mod mini_batches;
mod neighbours;
mod pair_geometry;
mod pair_histograms;
mod pairs;
mod pooled_pairs;
mod precomputed;
mod real;
mod ridge;
mod ridge_matrix;
mod rounding;
mod sorted_dimensions;
mod vectorized;
mod workspaces;

pub(crate) use all_pairs::{PairStatistics, PairsWanted};
pub(crate) use balls::Balls;
pub(crate) use bounded_pairs::{BoundedPairs, Neighbour};
pub(crate) use by_class::sort_by_class;
pub(crate) use centre::{Centre, SAMPLE, Sample};
pub use class_distances::{ClassDistanceKernel, gradient};
pub(crate) use class_means::{ClassMeans, NearestMeans};
pub(crate) use class_sums::ClassSums;
pub(crate) use closed_form::{ClosedDistance, ClosedForm, Pulls};
pub(crate) use contrastive::ContrastivePairs;
pub(crate) use covariance::rounding_of;
pub use covariance::{Covariance, Eigen, covariance};
pub(crate) use cross_products::cross_products;
pub(crate) use dense::{LANES, RowScale, lane_sum, lane_sum_2, smallest};
pub use exponential::exp_and_exp_m1;
pub(crate) use exponential::{rough_exponentials, rough_sums};
pub use fold::{ClassDistances, ClassGeometry, DistanceLoss, Nearest, PassOptions, RowFold};
pub(crate) use gemm::{Packed, multiply, multiply_packed, product_speed, transposed_multiply};
pub(crate) use in_order::{blocks_at_once, for_each_block};
pub(crate) use influence::{Influence, InfluencedScore, TakesInfluence, TwoSlopes};
pub use k_means::{KMeans, KMeansOptions, k_means};
pub(crate) use listed_pairs::listed_distances;
pub(crate) use logistic::predict_logistic;
pub use logistic::{LogisticFit, LogisticOptions, fit_logistic};
pub(crate) use mini_batches::mini_batch_k_means;
pub use neighbours::{Neighbours, nearest_neighbours};
pub(crate) use pair_histograms::{DistanceMoments, PairHistograms};
pub(crate) use pooled_pairs::{Divisions, KernelSums, PairKernel, PooledPairs, Split};
pub use real::Real;
pub(crate) use ridge::{Predicted, predict_by_dimensions, predict_by_rows};
pub(crate) use ridge_matrix::{LeverageWorkspace, RidgeMatrix, centre, penalty};
pub(crate) use rounding::Rounding;
pub use sorted_dimensions::ManhattanCost;
pub(crate) use vectorized::{Vectorized, vectorized};
