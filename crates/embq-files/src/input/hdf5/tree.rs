//! Finds the arrays in a file and groups those that belong together.

use std::collections::HashSet;

use hdf5_reader::error::Error;
use hdf5_reader::group::Group;
use hdf5_reader::{Attribute, Dataset};

use super::values::{Number, Stored, Values};
use crate::input::array::{POOLING, rows_of_vectors};
use crate::input::table::{Column, Kind, Unreadable, common_element_type};
use embq_core::data::ElementType;

/// The deepest nesting of groups that is followed; links may form cycles.
const DEEPEST: usize = 32;

/// The maximum number of arrays listed.
const MOST: usize = 100_000;

/// A column and its content.
pub(super) struct Entry {
    pub column: Column,
    pub item: Item,
}

pub(super) enum Item {
    /// Rows of this many numbers.
    Matrix {
        dataset: Box<Dataset>,
        dimensions: usize,
        element_type: ElementType,
    },
    Sparse(Box<Sparse>),
    /// A data frame used as a matrix: its columns with their names.
    Frame(Vec<(String, Dataset)>),
    /// One value per row.
    Series(Box<Series>),
    /// Nothing usable.
    Other,
}

/// A matrix that stores only its nonzero values.
pub(super) struct Sparse {
    pub rows: usize,
    pub dimensions: usize,
    pub element_type: ElementType,
    /// Whether rows, rather than columns, are contiguous.
    pub by_row: bool,
    pub starts: Dataset,
    pub indices: Dataset,
    pub values: Dataset,
}

pub(super) enum Series {
    Plain(Dataset),
    /// Each code is the index of a category.
    Categories {
        codes: Dataset,
        categories: Dataset,
    },
    /// Some values are missing.
    Nullable {
        values: Dataset,
        missing: Dataset,
    },
}

/// Everything in a group and its subgroups.
///
/// # Errors
/// The root cannot be read. Anything unreadable below it becomes an entry that says so.
pub(super) fn entries(root: &Group) -> Result<Vec<Entry>, Error> {
    let mut walk = Walk { seen: HashSet::from([root.address()]), entries: Vec::new() };
    walk.group(root.members()?, "", 0);
    walk.entries.sort_by(|left, right| natord::compare(&left.column.name, &right.column.name));
    Ok(walk.entries)
}

struct Walk {
    seen: HashSet<u64>,
    entries: Vec<Entry>,
}

impl Walk {
    fn push(&mut self, name: &str, kind: Kind, dtype: impl Into<String>, item: Item) {
        if self.entries.len() < MOST {
            let is_index = name.ends_with("/_index");
            let column = Column { is_index, is_array: true, ..Column::new(name, kind, dtype) };
            self.entries.push(Entry { column, item });
        }
    }

    fn group(&mut self, (groups, datasets): (Vec<Group>, Vec<Dataset>), prefix: &str, depth: usize) {
        // Before version 0.8, anndata stored category names here.
        const NAMES: &str = "__categories";
        let names = groups.iter().find(|group| group.name() == NAMES).and_then(|group| group.members().ok());
        let mut categories = names.map(|(_, datasets)| datasets).unwrap_or_default();
        for dataset in datasets {
            let path = format!("{prefix}{}", dataset.name());
            let named = categories.iter().position(|names| names.name() == dataset.name() && names.ndim() == 1);
            match named {
                Some(place) if dataset.ndim() == 1 => {
                    let categories = categories.swap_remove(place);
                    self.categories(&path, dataset, categories);
                }
                _ => self.dataset(&path, dataset),
            }
        }
        for group in groups {
            if group.name() == NAMES || depth >= DEEPEST || !self.seen.insert(group.address()) {
                continue;
            }
            let path = format!("{prefix}{}", group.name());
            match group.members() {
                Ok(members) => match self.composed(&path, &group, members) {
                    Some(members) => self.group(members, &format!("{path}/"), depth + 1),
                    None => continue,
                },
                Err(error) => self.push(&path, Kind::Other, format!("group that cannot be read: {error}"), Item::Other),
            }
        }
    }

    fn dataset(&mut self, path: &str, dataset: Dataset) {
        let values = Values::of(&dataset);
        let shape = shape_of(&dataset);
        match (&values, &shape[..], rows_of_vectors(&shape)) {
            // Scalars are settings, not data.
            (_, [], _) => {}
            // A column of single numbers is more often a label than a one-dimensional vector.
            (_, [_] | [_, 1], _) => {
                self.push(path, values.kind(), values.name(), Item::Series(Box::new(Series::Plain(dataset))));
            }
            (&Values::Number(element_type), _, Some((_, dimensions))) => {
                let dtype = format!("list of {dimensions} {}", element_type.name());
                let item = Item::Matrix { dataset: Box::new(dataset), dimensions, element_type };
                self.push(path, Kind::List(element_type), dtype, item);
            }
            (_, shape, _) => {
                let axes: Vec<String> = shape.iter().map(ToString::to_string).collect();
                let (count, axes) = (shape.len(), axes.join(" x "));
                let dtype = format!("{} of {count} axes ({axes})", values.name());
                self.push(path, Kind::Other, dtype, Item::Other);
                // AnnData's `uns` does not belong to rows; it has images of tissue, for example.
                if let (Values::Number(element_type), Some(entry)) = (&values, self.entries.last_mut())
                    && !path.starts_with("uns/")
                {
                    entry.column.unreadable = Some(Unreadable {
                        why: format!("has {count} axes ({axes})"),
                        tip: POOLING.to_owned(),
                        integers: !element_type.is_float(),
                    });
                }
            }
        }
    }

    fn categories(&mut self, path: &str, codes: Dataset, categories: Dataset) {
        let values = Values::of(&categories);
        let dtype = format!("categorical ({})", values.name());
        if !is_integers(&codes) {
            self.push(path, Kind::Other, "categorical whose codes are not integers", Item::Other);
            return;
        }
        self.push(path, values.kind(), dtype, Item::Series(Box::new(Series::Categories { codes, categories })));
    }

    /// Handles a group that is a single column; returns the members of any other.
    fn composed(
        &mut self,
        path: &str,
        group: &Group,
        members: (Vec<Group>, Vec<Dataset>),
    ) -> Option<(Vec<Group>, Vec<Dataset>)> {
        let has = |names: &[&str]| {
            members.0.is_empty()
                && members.1.len() == names.len()
                && names
                    .iter()
                    .all(|name| members.1.iter().any(|dataset| dataset.name() == *name && dataset.ndim() == 1))
        };
        let take = |names: &[&str]| -> Option<Vec<Dataset>> {
            names.iter().map(|name| members.1.iter().find(|dataset| dataset.name() == *name).cloned()).collect()
        };
        let encoding = text_of(group, "encoding-type").unwrap_or_default();
        if has(&["codes", "categories"])
            && let Some(Ok([codes, categories])) = take(&["codes", "categories"]).map(<[Dataset; 2]>::try_from)
        {
            self.categories(path, codes, categories);
            return None;
        }
        if has(&["values", "mask"])
            && let Some(Ok([values, missing])) = take(&["values", "mask"]).map(<[Dataset; 2]>::try_from)
        {
            let kind = Values::of(&values);
            let dtype = format!("{} (nullable)", kind.name());
            self.push(path, kind.kind(), dtype, Item::Series(Box::new(Series::Nullable { values, missing })));
            return None;
        }
        if has(&["data", "indices", "indptr"])
            && let Some(Ok([values, indices, starts])) =
                take(&["data", "indices", "indptr"]).map(<[Dataset; 3]>::try_from)
        {
            let form =
                if encoding.is_empty() { text_of(group, "h5sparse_format").unwrap_or_default() } else { encoding };
            self.sparse(path, group, &form, values, indices, starts);
            return None;
        }
        // Only data frames among AnnData's matrices; the columns of `obs` and `var` are labels and stay separate.
        if encoding == "dataframe" && path.contains('/') {
            let index = text_of(group, "_index").unwrap_or_default();
            let number = |dataset: &Dataset| match Values::of(dataset).kind() {
                kind @ (Kind::Float(_) | Kind::Integer(_)) => Some(kind),
                _ => None,
            };
            let order =
                attribute(group, "column-order").and_then(|names| names.read_strings().ok()).unwrap_or_default();
            let mut columns: Vec<&Dataset> = members.1.iter().filter(|dataset| dataset.name() != index).collect();
            columns.sort_by_key(|dataset| order.iter().position(|name| name == dataset.name()));
            let kinds: Option<Vec<Kind>> = columns.iter().map(|dataset| number(dataset)).collect();
            if let Some(kinds) = kinds.filter(|kinds| !kinds.is_empty() && members.0.is_empty()) {
                let dtype = format!("data frame of {} numbers", columns.len());
                let kind = Kind::List(common_element_type(kinds));
                let columns = columns.into_iter().map(|dataset| (dataset.name().to_owned(), dataset.clone())).collect();
                self.push(path, kind, dtype, Item::Frame(columns));
                return None;
            }
        }
        Some(members)
    }

    fn sparse(&mut self, path: &str, group: &Group, form: &str, values: Dataset, indices: Dataset, starts: Dataset) {
        let shape = ["shape", "h5sparse_shape"].iter().find_map(|name| {
            let numbers = attribute(group, name)?.read_1d::<Stored<Number>>().ok()?;
            let lengths = numbers.iter().map(|Stored(number)| match number {
                Number::Integer(length) => usize::try_from(*length).ok(),
                Number::Float(_) => None,
            });
            lengths.collect::<Option<Vec<usize>>>()
        });
        let by_row = match form {
            "csr_matrix" | "csr" => Some(true),
            "csc_matrix" | "csc" => Some(false),
            _ => None,
        };
        let element_type = match Values::of(&values) {
            Values::Number(element_type) => Some(element_type),
            _ => None,
        };
        match (shape.as_deref(), by_row, element_type) {
            (Some(&[rows, dimensions]), Some(by_row), Some(element_type))
                if is_integers(&indices) && is_integers(&starts) =>
            {
                let dtype = format!("list of {dimensions} {} (sparse)", element_type.name());
                let item = Sparse { rows, dimensions, element_type, by_row, starts, indices, values };
                self.push(path, Kind::List(element_type), dtype, Item::Sparse(Box::new(item)));
            }
            _ => self.push(path, Kind::Other, "sparse matrix of an unknown form", Item::Other),
        }
    }
}

fn is_integers(dataset: &Dataset) -> bool {
    matches!(Values::of(dataset).kind(), Kind::Integer(_))
}

fn attribute(group: &Group, name: &str) -> Option<Attribute> {
    group.attribute(name).ok()
}

fn text_of(group: &Group, name: &str) -> Option<String> {
    attribute(group, name)?.read_string().ok()
}

/// The axis lengths.
pub(super) fn shape_of(dataset: &Dataset) -> Vec<usize> {
    dataset.shape().iter().map(|&length| usize::try_from(length).unwrap_or(usize::MAX)).collect()
}

/// The length of the first axis.
pub(super) fn rows_of(dataset: &Dataset) -> usize {
    shape_of(dataset).first().copied().unwrap_or(0)
}
