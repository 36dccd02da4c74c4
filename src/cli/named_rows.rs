//! Embeddings and labels, with identifiers and texts of the rows.

use crate::cli::arguments::{NameArguments, ReadArguments};
use embq_core::data::{LabelColumn, RowNames};
use embq_core::error::{Error, Result};
use embq_files::input;

/// One input with identifiers and texts of its rows.
pub(crate) struct NamedRows {
    pub(crate) loaded: input::Loaded,
    pub(crate) labels: LabelColumn,
    pub(crate) names: RowNames,
}

impl NamedRows {
    /// Reads the input.
    ///
    /// # Errors
    /// Errors of [`input::load_with`], and a number of ids or texts that differs from that of rows.
    pub(crate) fn load(
        embeddings: &str,
        labels: &str,
        weights: Option<&str>,
        arguments: &NameArguments,
        reading: &ReadArguments,
    ) -> Result<Self> {
        // Ids and texts are read like labels: one value per row.
        let columns: Vec<&str> =
            std::iter::once(labels).chain(arguments.ids.as_deref()).chain(arguments.text.as_deref()).collect();
        let mut loaded = input::load_with(embeddings, &columns, weights, &reading.options())?;
        let mut columns = std::mem::take(&mut loaded.labels).into_iter();
        let mut next = |given: bool| if given { columns.next() } else { None };
        let Some(labels) = next(true) else {
            return Err(Error::setting("there are no labels", "name one file or column of labels"));
        };
        let ids = next(arguments.ids.is_some());
        let texts = next(arguments.text.is_some());
        for (column, what) in [(&ids, "id"), (&texts, "text")] {
            if let Some(column) = column
                && column.len() != loaded.embeddings.rows()
            {
                return Err(Error::RowCounts {
                    left: loaded.embeddings.origin().to_string(),
                    left_rows: loaded.embeddings.rows(),
                    right: column.origin().to_string(),
                    right_rows: column.len(),
                    what,
                });
            }
        }
        Ok(NamedRows { loaded, labels, names: RowNames { ids, texts } })
    }
}
