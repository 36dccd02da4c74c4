//! The soft silhouette.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// The differentiable stand-in for the minimum over competing classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SoftMinimum {
    /// The mean of the D_ic weighted by softmax(-D_ic / tau).
    #[default]
    Weighted,
    /// -tau log of the mean of exp(-D_ic / tau).
    Lse,
}

/// The differentiable stand-in for max(a, b).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SmoothMaximum {
    /// tau log(exp(a / tau) + exp(b / tau)).
    #[default]
    Lse,
    /// max(a, b) itself.
    Hard,
}
