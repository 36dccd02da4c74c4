//! The arithmetic: from rows to mean distances between rows and classes.
//!
//! Every route ends in the same fold, [`RowFold`], which sees the mean distances D_ic of a row in class order, a run of
//! classes at a time. So a consumer works alike for closed forms, which have all K values of a row at once, and for pair
//! tiles, which never hold N x K numbers.

mod all_pairs;
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
mod dense;
mod exponential;
mod fold;
mod gemm;
mod in_order;
mod influence;
mod listed_pairs;
mod neighbours;
mod pair_geometry;
mod pair_histograms;
mod pairs;
mod precomputed;
mod real;
mod rounding;
mod sorted_dimensions;
mod vectorized;
mod workspaces;

pub(crate) use all_pairs::{PairStatistics, PairsWanted};
pub(crate) use bounded_pairs::{BoundedPairs, Neighbour};
pub(crate) use by_class::sort_by_class;
pub use class_distances::{ClassDistanceKernel, gradient};
pub(crate) use class_means::{ClassMeans, NearestMeans};
pub(crate) use contrastive::ContrastivePairs;
pub use covariance::{Covariance, Eigen, covariance};
pub(crate) use dense::{LANES, RowScale, lane_sum, lane_sum_2, smallest};
pub use exponential::exp_and_exp_m1;
pub(crate) use exponential::{rough_exponentials, rough_sums};
pub use fold::{ClassDistances, ClassGeometry, DistanceLoss, Nearest, RowFold, Wanted};
pub(crate) use gemm::{Packed, multiply, multiply_packed, transposed_multiply};
pub(crate) use in_order::{blocks_at_once, for_each_block};
pub(crate) use influence::Influence;
pub(crate) use listed_pairs::listed_distances;
pub use neighbours::{Neighbours, nearest_neighbours};
pub(crate) use pair_histograms::{DistanceMoments, PairHistograms};
pub use real::Real;
pub(crate) use rounding::Rounding;
pub use sorted_dimensions::ManhattanCost;
pub(crate) use vectorized::{Vectorized, vectorized};
