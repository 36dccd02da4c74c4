//! What a number of a drift result is.

/// A number that tells how far two sets of rows are apart. The formulas are in `docs/drift.md`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct DriftMetric {
    /// The stable name in JSON, CSV, gates and documentation.
    pub id: &'static str,
    /// One line for people.
    pub title: &'static str,
    /// The range of its values.
    pub range: &'static str,
    /// Whether higher is better; `None` where neither direction is.
    pub higher_is_better: Option<bool>,
    /// Where the definition comes from.
    pub source: &'static str,
    /// Whether it is also given for each class.
    pub is_by_class: bool,
}

/// The entry of a number that is given for all rows together.
pub(super) const fn entry(
    id: &'static str,
    title: &'static str,
    range: &'static str,
    higher_is_better: Option<bool>,
    source: &'static str,
) -> DriftMetric {
    DriftMetric { id, title, range, higher_is_better, source, is_by_class: false }
}

impl DriftMetric {
    /// The same, also given for each class.
    pub(super) const fn by_class(self) -> Self {
        DriftMetric { is_by_class: true, ..self }
    }
}

pub(super) const UP: Option<bool> = Some(true);
pub(super) const DOWN: Option<bool> = Some(false);

/// The range of what is not negative.
pub(super) const FROM_0: &str = "[0, inf)";

/// The range of a share.
pub(super) const SHARE: &str = "[0, 1]";

/// The source of what is defined in embq's own documentation.
pub(super) const OURS: &str = "docs/drift.md";

/// A number, or why it is undefined.
pub(super) type Measured = Result<f64, String>;
