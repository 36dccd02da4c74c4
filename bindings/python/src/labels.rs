//! Labels from Python objects.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::Arc;

use embq_core::data::{Label, LabelColumn, LabelType, Origin};
use numpy::{PyReadonlyArray1, PyReadonlyArray2};
use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyFloat, PyInt, PyString};

use crate::errors::input_error;

const MISSING: u32 = u32::MAX;

/// Labels, one per row, as converted from Python.
#[pyclass(frozen, module = "embq._embq")]
pub(crate) struct Labels(pub(crate) Arc<LabelColumn>);

/// Assigns codes to values in order of appearance.
struct Codes<K> {
    by_value: HashMap<K, u32, foldhash::fast::RandomState>,
    dictionary: Vec<Label>,
}

impl<K: Eq + Hash> Codes<K> {
    fn new() -> Self {
        Codes { by_value: HashMap::default(), dictionary: Vec::new() }
    }

    fn code(&mut self, value: K, label: impl FnOnce() -> Label) -> u32 {
        let next = self.dictionary.len() as u32;
        let code = *self.by_value.entry(value).or_insert(next);
        if code == next {
            self.dictionary.push(label());
        }
        code
    }
}

#[pymethods]
impl Labels {
    /// The codes of a categorical column and its categories; a negative code is a missing label.
    #[staticmethod]
    fn from_codes(name: &str, codes: PyReadonlyArray1<'_, i64>, categories: &Bound<'_, PyAny>) -> PyResult<Self> {
        let Labels(categories) = Labels::from_objects(name, categories)?;
        let values = codes.as_array();
        // Categories with the same text are the same label.
        let codes = values.iter().map(|&code| {
            let category = usize::try_from(code).ok().and_then(|code| categories.code(code));
            category.map_or(MISSING, |code| code as u32)
        });
        let column = LabelColumn::from_codes(
            Origin::new(name),
            categories.label_type(),
            categories.dictionary().to_vec(),
            codes.collect(),
        );
        Ok(Labels(Arc::new(column)))
    }

    /// Integers.
    #[staticmethod]
    fn from_integers(name: &str, values: PyReadonlyArray1<'_, i64>) -> Self {
        /// A lookup table has at most this many entries per row.
        const PLACES: u64 = 4;

        let values = values.as_array();
        let least = values.iter().copied().min().unwrap_or(0);
        let span = values.iter().copied().max().unwrap_or(0).abs_diff(least);
        let (codes, dictionary) = if span < PLACES * values.len() as u64 {
            let mut table = vec![MISSING; span as usize + 1];
            let mut dictionary = Vec::new();
            let codes = values.iter().map(|&value| {
                let code = &mut table[value.abs_diff(least) as usize];
                if *code == MISSING {
                    *code = dictionary.len() as u32;
                    dictionary.push(Label::Integer(value.into()));
                }
                *code
            });
            (codes.collect(), dictionary)
        } else {
            let mut known = Codes::new();
            let codes = values.iter().map(|&value| known.code(value, || Label::Integer(value.into())));
            (codes.collect(), known.dictionary)
        };
        Labels(Arc::new(LabelColumn::from_codes(Origin::new(name), LabelType::Integer, dictionary, codes)))
    }

    /// Booleans.
    #[staticmethod]
    fn from_booleans(name: &str, values: PyReadonlyArray1<'_, bool>) -> Self {
        let dictionary = vec![Label::Boolean(false), Label::Boolean(true)];
        let codes = values.as_array().iter().map(|&value| u32::from(value)).collect();
        Labels(Arc::new(LabelColumn::from_codes(Origin::new(name), LabelType::Boolean, dictionary, codes)))
    }

    /// Text of fixed width, as zero-padded code points. Empty text is a missing label.
    #[staticmethod]
    fn from_text(name: &str, values: PyReadonlyArray2<'_, u32>) -> PyResult<Self> {
        let values = values.as_array();
        let mut known = Codes::new();
        let mut codes = Vec::with_capacity(values.nrows());
        for points in values.rows() {
            let Some(points) = points.to_slice() else {
                return Err(PyTypeError::new_err("text has its characters one after another"));
            };
            let length = points.iter().rposition(|&point| point != 0).map_or(0, |last| last + 1);
            codes.push(match length {
                0 => MISSING,
                _ => known.code(&points[..length], || {
                    let character = |&point: &u32| char::from_u32(point).unwrap_or(char::REPLACEMENT_CHARACTER);
                    Label::Text(points[..length].iter().map(character).collect())
                }),
            });
        }
        Ok(Labels(Arc::new(LabelColumn::from_codes(Origin::new(name), LabelType::Text, known.dictionary, codes))))
    }

    /// Any sequence of strings, integers or booleans; `None`, NaN, and objects called NA or NaT are missing.
    #[staticmethod]
    fn from_objects(name: &str, values: &Bound<'_, PyAny>) -> PyResult<Self> {
        let mut known: Codes<Label> = Codes::new();
        let mut label_type = None;
        // An object that was seen before has the same code; the sequence keeps all of them alive.
        let mut seen: HashMap<usize, u32, foldhash::fast::RandomState> = HashMap::default();
        let mut codes = Vec::with_capacity(values.len()?);
        let sequence = values.try_iter()?;
        let mut kept = Vec::new();
        for (row, value) in sequence.enumerate() {
            let value = value?;
            let address = value.as_ptr() as usize;
            let code = match seen.get(&address) {
                Some(&code) => code,
                None => {
                    let code = match label(&value, name, row)? {
                        None => MISSING,
                        Some(label) => {
                            check_type(&mut label_type, &label, name, row)?;
                            known.code(label.clone(), || label)
                        }
                    };
                    // Objects made by an iterator must be kept alive, so that their addresses are not reused.
                    kept.push(value);
                    seen.insert(address, code);
                    code
                }
            };
            codes.push(code);
        }
        let label_type = label_type.unwrap_or(LabelType::Text);
        Ok(Labels(Arc::new(LabelColumn::from_codes(Origin::new(name), label_type, known.dictionary, codes))))
    }

    /// The number of distinct labels.
    fn classes(&self) -> usize {
        let mut used = vec![false; self.0.dictionary().len()];
        (0..self.0.len()).filter_map(|row| self.0.code(row)).for_each(|code| used[code] = true);
        used.into_iter().filter(|used| *used).count()
    }

    fn __len__(&self) -> usize {
        self.0.len()
    }
}

fn type_of(label: &Label) -> LabelType {
    match label {
        Label::Integer(_) => LabelType::Integer,
        Label::Text(_) => LabelType::Text,
        Label::Boolean(_) => LabelType::Boolean,
    }
}

/// Checks that all labels have the same type as the first.
fn check_type(known: &mut Option<LabelType>, label: &Label, name: &str, row: usize) -> PyResult<()> {
    let own = type_of(label);
    let first = *known.get_or_insert(own);
    if own == first {
        return Ok(());
    }
    Err(input_error(
        &format!("{name}: row {row} has the {} label {label}, and the first label is {}", own.name(), first.name()),
        Some(&format!("make all labels text: [str(label) for label in {name}]")),
    ))
}

/// The label in an object; `None` if it is missing.
fn label(value: &Bound<'_, PyAny>, name: &str, row: usize) -> PyResult<Option<Label>> {
    if let Ok(text) = value.cast::<PyString>() {
        let text = text.to_cow()?;
        return Ok((!text.is_empty()).then(|| Label::Text(text.into_owned())));
    }
    if let Ok(truth) = value.cast::<PyBool>() {
        return Ok(Some(Label::Boolean(truth.is_true())));
    }
    let wide = |number: &Bound<'_, PyAny>| -> PyResult<Label> {
        let number = number.str()?.to_cow()?.parse::<i128>();
        number
            .map(Label::Integer)
            .map_err(|_| input_error(&format!("{name}: row {row}: the label is a number of more than 38 digits"), None))
    };
    if value.is_instance_of::<PyInt>() {
        return match value.extract::<i64>() {
            Ok(number) => Ok(Some(Label::Integer(number.into()))),
            Err(_) => wide(value).map(Some),
        };
    }
    if value.is_none() {
        return Ok(None);
    }
    let kind = value.get_type().name()?.to_cow()?.into_owned();
    if kind == "NAType" || kind == "NaTType" {
        return Ok(None);
    }
    // A NumPy scalar, or an array without dimensions.
    if let Ok(item) = value.getattr("item")
        && let Ok(plain) = item.call0()
        && !plain.get_type().is(value.get_type())
    {
        return label(&plain, name, row);
    }
    if let Ok(number) = value.cast::<PyFloat>() {
        let number = number.value();
        return match number {
            _ if number.is_nan() => Ok(None),
            _ if number.fract() == 0.0 && number.abs() < 9e15 => Ok(Some(Label::Integer(number as i128))),
            _ => Err(input_error(
                &format!("{name}: row {row} has the label {number}, which is not a class"),
                Some("labels are text, integers or booleans"),
            )),
        };
    }
    if value.hasattr("__index__")? {
        return wide(&value.call_method0("__index__")?).map(Some);
    }
    Err(input_error(
        &format!("{name}: row {row} has a label of type {kind}"),
        Some("labels are text, integers or booleans"),
    ))
}
