use std::fmt;
use std::str::FromStr;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::error::{Error, Result, choices};

/// The distance d(i, j) between two rows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Distance {
    /// 1 - x.y / (|x| |y|), in [0, 2].
    #[default]
    Cosine,
    /// |x - y|.
    Euclidean,
    /// |x - y|^2.
    SqEuclidean,
    /// The sum over dimensions of |x_k - y_k|.
    Manhattan,
    /// The share of bits that differ, for rows of bits.
    Hamming,
    /// The input is itself an N x N matrix of distances.
    Precomputed,
}

impl Distance {
    /// Every distance, in the order of help texts.
    pub const ALL: [Distance; 6] = [
        Distance::Cosine,
        Distance::Euclidean,
        Distance::SqEuclidean,
        Distance::Manhattan,
        Distance::Hamming,
        Distance::Precomputed,
    ];

    /// The name used in options, JSON and tables.
    pub fn name(self) -> &'static str {
        match self {
            Distance::Cosine => "cosine",
            Distance::Euclidean => "euclidean",
            Distance::SqEuclidean => "sqeuclidean",
            Distance::Manhattan => "manhattan",
            Distance::Hamming => "hamming",
            Distance::Precomputed => "precomputed",
        }
    }

    /// Whether mean distances to classes follow from class sums alone, without computing pairs.
    pub fn has_closed_form(self) -> bool {
        match self {
            Distance::Cosine | Distance::SqEuclidean | Distance::Hamming => true,
            Distance::Euclidean | Distance::Manhattan | Distance::Precomputed => false,
        }
    }

    /// Whether rows are compared as unit vectors, so that a zero vector has no distance.
    pub(crate) fn is_of_unit_vectors(self) -> bool {
        match self {
            Distance::Cosine => true,
            Distance::Euclidean
            | Distance::SqEuclidean
            | Distance::Manhattan
            | Distance::Hamming
            | Distance::Precomputed => false,
        }
    }

    /// The distance actually computed: the Hamming distance is the squared Euclidean distance of rows whose bits are
    /// scaled to 1/sqrt(bits), which a data set does.
    pub fn computed(self) -> Self {
        match self {
            Distance::Hamming => Distance::SqEuclidean,
            Distance::Cosine
            | Distance::Euclidean
            | Distance::SqEuclidean
            | Distance::Manhattan
            | Distance::Precomputed => self,
        }
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.pad(self.name())
    }
}

impl FromStr for Distance {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        Distance::ALL.into_iter().find(|distance| distance.name() == text).ok_or_else(|| {
            let names: Vec<String> = Distance::ALL.iter().map(|distance| distance.name().to_owned()).collect();
            Error::setting(format!("unknown distance '{text}'"), choices(Some(text), &names))
        })
    }
}
