//! A list of pairs of rows, each of one class or of two: what verification is tested on.

use crate::data::Origin;

/// Two rows, and whether they are of one class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Trial {
    /// The numbers of the rows in the embeddings as stored.
    pub rows: [usize; 2],
    /// Whether they show the same: one person, one speaker, one object.
    pub is_same: bool,
}

/// The pairs of rows that verification looks at, instead of all pairs.
#[derive(Clone, Debug, PartialEq)]
pub struct PairList {
    /// Where the list came from.
    pub origin: Origin,
    /// The pairs, in order.
    pub trials: Vec<Trial>,
}
