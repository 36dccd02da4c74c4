//! Names of rows.

use crate::data::LabelColumn;

/// Ids and texts of rows, by row number in the stored embeddings.
#[derive(Clone, Debug, Default)]
pub struct RowNames {
    pub ids: Option<LabelColumn>,
    pub texts: Option<LabelColumn>,
}

impl RowNames {
    /// The id of a row.
    pub fn id(&self, row: usize) -> Option<String> {
        self.ids.as_ref()?.get(row).map(ToString::to_string)
    }

    /// The text of a row.
    pub fn text(&self, row: usize) -> Option<String> {
        self.texts.as_ref()?.get(row).map(ToString::to_string)
    }
}
