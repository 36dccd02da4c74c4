//! The first pass: counts, means and variances of the classes.

use crate::data::{Dataset, Element, Embeddings, Label, Origin, Precision, RowChoice};
use crate::distance::Distance;
use crate::error::{Error, Result};
use crate::evaluation::{RowScores, Settings};
use crate::kernels::{
    Centre, ClassDistanceKernel, ClassMeans, ClassSums, ClosedDistance, ClosedForm, Sample as CentreSample,
};
use crate::metrics::{Measuring, Need, SharedWork, StateKind};
use crate::partial::content::{Sample, SampledRow, shorten};
use crate::partial::header::{Header, Part, StateSettings};
use crate::partial::part::{PartRows, ReadPart};
use crate::partial::table::{Checksum, StateColumn, StateTable, label_of_text, malformed};
use crate::progress::Progress;

/// Counts, means and variances of the classes of a part of the rows, or of several parts.
#[derive(Clone, Debug, PartialEq)]
pub struct Moments {
    pub(crate) header: Header,
    /// In label order.
    pub(crate) labels: Vec<Label>,
    pub(crate) counts: Vec<usize>,
    /// Of the rows as they are compared: of unit vectors for cosine.
    compared: ClassMoments,
    /// Of the rows as they are, where these are others and a metric needs them.
    stored: Option<ClassMoments>,
    sample: Sample,
    /// Of the table.
    checksum: Checksum,
}

/// For each class the mean of its rows, as a reference and an offset from it, and the sum of their squared deviations
/// from it.
#[derive(Clone, Debug, Default, PartialEq)]
struct ClassMoments {
    reference: Vec<f64>,
    offset: Vec<f64>,
    squares: Vec<f64>,
}

impl ClassMoments {
    fn of(dataset: &Dataset, unit: bool, precision: Precision, progress: &dyn Progress) -> Result<Self> {
        if dataset.is_empty() {
            return Ok(ClassMoments::default());
        }
        match precision {
            Precision::F32 => ClassMoments::of_rows::<f32>(dataset, unit, progress),
            Precision::F64 => ClassMoments::of_rows::<f64>(dataset, unit, progress),
        }
    }

    fn of_rows<T: Element>(dataset: &Dataset, unit: bool, progress: &dyn Progress) -> Result<Self> {
        let (sums, _) = ClassSums::with_centre::<T>(dataset, unit, progress)?;
        let squares = sums.variance.iter().zip(&sums.weight).map(|(variance, weight)| variance * weight).collect();
        let (reference, offset) = sums.into_means();
        Ok(ClassMoments { reference, offset, squares })
    }

    /// The same for more classes: `places` are those of the present ones among all.
    fn spread_out(self, places: &[usize], classes: usize, d: usize) -> Self {
        let mut wider = ClassMoments {
            reference: vec![0.0; classes * d],
            offset: vec![0.0; classes * d],
            squares: vec![0.0; classes],
        };
        for (own, &place) in places.iter().enumerate() {
            let (from, to) = (own * d..(own + 1) * d, place * d..(place + 1) * d);
            wider.reference[to.clone()].copy_from_slice(&self.reference[from.clone()]);
            wider.offset[to].copy_from_slice(&self.offset[from]);
            wider.squares[place] = self.squares[own];
        }
        wider
    }

    /// Adds the rows of a class: Chan, Golub and LeVeque (1983). `counts` are the rows here and there.
    fn merge(&mut self, place: usize, other: &ClassMoments, others: usize, counts: [usize; 2], d: usize) {
        let (own, theirs) = (place * d..(place + 1) * d, others * d..(others + 1) * d);
        let (reference, offset) = (&mut self.reference[own.clone()], &mut self.offset[own]);
        let (other_reference, other_offset) = (&other.reference[theirs.clone()], &other.offset[theirs]);
        if counts[0] == 0 {
            reference.copy_from_slice(other_reference);
            offset.copy_from_slice(other_offset);
            self.squares[place] = other.squares[others];
            return;
        }
        let [own, theirs] = counts.map(|count| count as f64);
        let share = theirs / (own + theirs);
        let mut apart = 0.0;
        let values = reference.iter().zip(offset).zip(other_reference.iter().zip(other_offset));
        for ((reference, offset), (other_reference, other_offset)) in values {
            let difference = ((other_reference - *reference) + other_offset) - *offset;
            apart += difference * difference;
            *offset += share * difference;
        }
        self.squares[place] += other.squares[others] + own * share * apart;
    }

    fn sums(&self, counts: &[usize], d: usize, unit: bool) -> ClassSums {
        let weight: Vec<f64> = counts.iter().map(|&count| count as f64).collect();
        let variance = self.squares.iter().zip(&weight).map(|(squares, weight)| squares / weight).collect();
        ClassSums::new(d, unit, weight, self.reference.clone(), self.offset.clone(), variance)
    }
}

impl Moments {
    /// The moments of a part.
    ///
    /// # Errors
    /// Settings and rows that do not merge, values that have no distance, missing labels, and what reading rows reports.
    pub fn of_part(
        part: &PartRows<'_>,
        settings: &Settings,
        choice: &RowChoice,
        progress: &dyn Progress,
    ) -> Result<Self> {
        let settings = StateSettings::of(part, settings, choice)?;
        let (distance, precision) = (settings.distance, settings.precision);
        let read = part.read(distance, choice, precision, true)?;
        let dataset = &read.dataset;
        let unit = distance.is_of_unit_vectors();
        let compared = ClassMoments::of(dataset, unit, precision, progress)?;
        let stored = if unit && settings.needs_means() {
            let precision = dataset.embeddings().element_type().precision();
            Some(ClassMoments::of(dataset, false, precision, progress)?)
        } else {
            None
        };
        let (header, sample) = read.header_and_sample(StateKind::Moments, settings, part)?;
        Ok(Moments {
            header,
            labels: dataset.labels().names().to_vec(),
            counts: dataset.labels().counts().to_vec(),
            compared,
            stored,
            sample,
            checksum: Checksum::default(),
        })
    }

    /// Adds the rows of other parts.
    ///
    /// # Errors
    /// Other settings; a part that is in both.
    pub fn merge(&mut self, other: Moments) -> Result<()> {
        self.header.merge(other.header.clone())?;
        self.add(&other);
        Ok(())
    }

    /// Adds the rows of a piece of the same part: the rows that an engine gives bit by bit, in whatever pieces, are one
    /// part. Nothing tells one piece from another, so whoever joins them sees to it that none comes twice.
    ///
    /// # Errors
    /// Other settings; states of several parts, or of parts of different names.
    pub fn join(&mut self, piece: Moments) -> Result<()> {
        self.header.join(piece.header.clone())?;
        self.add(&piece);
        Ok(())
    }

    /// Adds the rows of a state whose header was added before.
    fn add(&mut self, other: &Moments) {
        let d = self.header.settings.dimensions;
        self.checksum = Checksum::default();
        if !other.labels.iter().all(|label| self.labels.binary_search(label).is_ok()) {
            let mut labels: Vec<Label> = self.labels.iter().chain(&other.labels).cloned().collect();
            labels.sort();
            labels.dedup();
            let places: Vec<usize> = self.labels.iter().filter_map(|label| labels.binary_search(label).ok()).collect();
            let mut counts = vec![0; labels.len()];
            places.iter().zip(&self.counts).for_each(|(&place, &count)| counts[place] = count);
            self.compared = std::mem::take(&mut self.compared).spread_out(&places, labels.len(), d);
            self.stored = self.stored.take().map(|stored| stored.spread_out(&places, labels.len(), d));
            (self.labels, self.counts) = (labels, counts);
        }
        for (theirs, (label, &count)) in other.labels.iter().zip(&other.counts).enumerate() {
            let Ok(place) = self.labels.binary_search(label) else { continue };
            let counts = [self.counts[place], count];
            self.compared.merge(place, &other.compared, theirs, counts, d);
            if let (Some(stored), Some(others)) = (&mut self.stored, &other.stored) {
                stored.merge(place, others, theirs, counts, d);
            }
            self.counts[place] += count;
        }
        self.sample.extend(other.sample.iter().map(|(&hash, row)| (hash, row.clone())));
        shorten(&mut self.sample);
    }

    /// A hash of the labels of all rows.
    pub(crate) fn labels_hash(&self) -> String {
        self.header.labels_hash().unwrap_or_else(|| {
            let mut hasher = blake3::Hasher::new();
            for (label, &count) in self.labels.iter().zip(&self.counts) {
                let text = label.to_string();
                hasher.update(&(text.len() as u64).to_le_bytes());
                hasher.update(text.as_bytes());
                hasher.update(&(count as u64).to_le_bytes());
            }
            hasher.finalize().to_hex().to_string()
        })
    }

    /// The settings of all parts.
    pub fn settings(&self) -> &StateSettings {
        &self.header.settings
    }

    /// The parts, in the order of their ids.
    pub fn parts(&self) -> &[Part] {
        &self.header.parts
    }

    /// The number of rows that take part.
    pub fn rows(&self) -> usize {
        self.counts.iter().sum()
    }

    /// The labels of the classes, in label order.
    pub fn labels(&self) -> &[Label] {
        &self.labels
    }

    /// The number of classes.
    pub fn classes(&self) -> usize {
        self.labels.len()
    }

    /// Checks that silhouettes are defined: 2 <= K <= N - 1.
    pub(crate) fn require_silhouette(&self) -> Result<()> {
        self.whole()?.require_silhouette_of(self.rows())
    }

    /// A data set of all classes and without a row.
    ///
    /// # Errors
    /// None where the moments have dimensions.
    pub(crate) fn whole(&self) -> Result<Dataset<'static>> {
        let StateSettings { distance, dimensions, rows, .. } = &self.header.settings;
        let origin = Origin { path: self.header.path(), selector: self.header.selector.clone() };
        let nothing = Embeddings::from_f64(origin, ndarray::Array2::zeros((0, *dimensions)))
            .with_columns(self.header.columns.clone())
            .with_choice(self.header.chosen, Vec::new());
        let options = crate::data::DatasetOptions { choice: rows.clone(), ..Default::default() };
        let whole = Dataset::join_part(nothing, &self.header.empty_labels(), *distance, &options)?;
        whole.within(&self.labels, &self.counts).map_err(|label| unknown_label(&label, "the states"))
    }

    /// What metrics are computed with for rows of these classes: a part of the rows, or none.
    pub(crate) fn work<'a>(
        &self,
        dataset: &'a Dataset<'a>,
        measuring: Measuring<'a>,
        progress: &'a dyn Progress,
    ) -> Result<SharedWork<'a>> {
        let StateSettings { distance, dimensions, precision, .. } = self.header.settings;
        let unit = distance.is_of_unit_vectors();
        let sums = |unit: bool| match &self.stored {
            Some(stored) if !unit => stored.sums(&self.counts, dimensions, false),
            _ => self.compared.sums(&self.counts, dimensions, unit),
        };
        let centre = |unit| self.centre(unit);
        let kernel = ClassDistanceKernel::of_classes(dataset, distance, precision, progress, sums(unit), centre(unit));
        let kernel = kernel.ok_or_else(|| does_not_merge(distance))?;
        let needs_means = self.header.settings.needs_means();
        let means =
            |unit| needs_means.then(|| ClassMeans::of_classes(dataset, unit, progress, sums(unit), centre(unit)));
        let unit_means = means(true).filter(|_| unit);
        Ok(SharedWork::new(dataset, Default::default(), measuring, progress).of_part(kernel, means(false), unit_means))
    }

    /// The rows of a part, all of whose classes are here.
    ///
    /// # Errors
    /// Rows of another shape or of other classes, missing labels.
    pub(crate) fn read<'e>(&self, part: &PartRows<'e>) -> Result<ReadPart<'e>> {
        let settings = self.settings();
        let part = &part.shaped(settings);
        let name = part.rows().origin().to_string();
        let differing = [
            ("dimensions", part.rows().dimensions().to_string(), settings.dimensions.to_string()),
            ("element type", part.rows().element_type().to_string(), settings.dtype.to_string()),
        ];
        let has_rows = part.rows().rows() > 0;
        if let Some((what, own, wanted)) = differing.into_iter().find(|(_, own, wanted)| has_rows && own != wanted) {
            let problem =
                format!("{name} differs from the parts that the moments are of in {what}: {own}, not {wanted}");
            return Err(Error::setting(problem, "make the moments of all parts again"));
        }
        let ReadPart { dataset, hashes } = part.read(settings.distance, &settings.rows, settings.precision, false)?;
        let dataset = dataset.within(&self.labels, &self.counts).map_err(|label| unknown_label(&label, &name))?;
        Ok(ReadPart { dataset, hashes })
    }

    /// The mean distances of rows of these classes by float64 products.
    ///
    /// # Errors
    /// None for a distance of states.
    pub(crate) fn closed_form<'a>(
        &self,
        dataset: &'a Dataset<'a>,
        progress: &'a dyn Progress,
    ) -> Result<ClosedForm<'a, f64>> {
        let distance = self.settings().distance;
        let unit = distance.is_of_unit_vectors();
        let closed = ClosedDistance::of(distance).ok_or_else(|| does_not_merge(distance))?;
        let sums = self.compared.sums(&self.counts, self.settings().dimensions, unit);
        Ok(ClosedForm::of_classes(dataset, closed, progress, sums, self.centre(unit)))
    }

    /// The rows of smallest hash of all parts, up to 255, with their scores where a metric needs those of rows.
    ///
    /// # Errors
    /// None that rows of states cause.
    pub fn sample(&self, progress: &dyn Progress) -> Result<(Dataset<'static>, RowScores)> {
        let settings = self.settings();
        let rows: Vec<f64> = self.sample.values().flat_map(|row| &row.values).copied().collect();
        let rows = ndarray::Array2::from_shape_vec((self.sample.len(), settings.dimensions), rows).unwrap_or_default();
        let part = PartRows::new(rows, self.sample.values().map(|row| &row.label));
        let dataset = part.read(settings.distance, &RowChoice::default(), settings.precision, false)?.dataset;
        let dataset =
            dataset.within(&self.labels, &self.counts).map_err(|label| unknown_label(&label, "the sample"))?;
        let evaluated = settings.settings();
        if !evaluated.metrics.needs(Need::ClassDistances) {
            return Ok((dataset, RowScores::default()));
        }
        let scores = {
            let work = self.work(&dataset, evaluated.measuring(settings.precision), progress)?;
            RowScores::new(&work.class_distances()?.rows)
        };
        Ok((dataset, scores))
    }

    fn centre(&self, unit: bool) -> Centre {
        let rows: Vec<f64> = self.sample.values().flat_map(|row| &row.values).copied().collect();
        CentreSample::of_rows(&rows, self.settings().dimensions, unit).centre()
    }

    /// The checksum of the table.
    pub(crate) fn checksum(&self) -> Result<String> {
        self.checksum.get(|| Ok(self.to_table()?.checksum()))
    }

    /// As a table: a row for each class, then one for each row of the sample, which has no label.
    pub fn to_table(&self) -> Result<StateTable> {
        let (classes, sampled) = (self.labels.len(), self.sample.len());
        let d = self.header.settings.dimensions;
        let padded = |mut values: Vec<f64>, width: usize| {
            values.resize((classes + sampled) * width, 0.0);
            values
        };
        let labels = self.labels.iter().map(|label| Some(label.to_string()));
        let sampled_labels = self.sample.values().map(|row| Some(row.label.to_string()));
        let counts = self.counts.iter().map(|&count| count as u64);
        let mut columns = vec![
            ("label", StateColumn::Text(labels.chain(std::iter::repeat_n(None, sampled)).collect())),
            ("count", StateColumn::Integers(counts.chain(std::iter::repeat_n(0, sampled)).collect())),
            ("sampled_label", StateColumn::Text(std::iter::repeat_n(None, classes).chain(sampled_labels).collect())),
            (
                "hash",
                StateColumn::Integers(std::iter::repeat_n(0, classes).chain(self.sample.keys().copied()).collect()),
            ),
        ];
        let vectors = |values: Vec<f64>| StateColumn::Vectors { width: d, values };
        let mut reference = self.compared.reference.clone();
        reference.extend(self.sample.values().flat_map(|row| &row.values));
        columns.push(("squares", StateColumn::Numbers(padded(self.compared.squares.clone(), 1))));
        columns.push(("reference", vectors(reference)));
        columns.push(("offset", vectors(padded(self.compared.offset.clone(), d))));
        if let Some(stored) = &self.stored {
            columns.push(("stored_squares", StateColumn::Numbers(padded(stored.squares.clone(), 1))));
            columns.push(("stored_reference", vectors(padded(stored.reference.clone(), d))));
            columns.push(("stored_offset", vectors(padded(stored.offset.clone(), d))));
        }
        StateTable::new(&self.header, columns)
    }

    /// From a table.
    ///
    /// # Errors
    /// A table that is not one of moments, or contradicts itself; `name` is what errors call it.
    pub fn from_table(mut table: StateTable, name: &str) -> Result<Self> {
        let checksum = table.known_checksum();
        let header: Header = table.header(StateKind::Moments, name)?;
        let d = header.settings.dimensions;
        let labels = table.texts("label", name)?;
        let classes = labels.iter().take_while(|label| label.is_some()).count();
        let rows = labels.len();
        let known = |labels: &[Option<String>]| -> Result<Vec<Label>> {
            let labels = labels.iter().flatten().map(|text| label_of_text(text, header.settings.label_type));
            let labels: Option<Vec<Label>> = labels.collect();
            labels.ok_or_else(|| malformed(name, "a label is not of the kind that its header names"))
        };
        let (labels, sampled_labels) = (known(labels)?, known(&table.texts("sampled_label", name)?[classes..])?);
        let counts = table.integers("count", name)?.to_vec();
        let hashes = table.integers("hash", name)?.to_vec();
        let mut moments = |prefix: &str| -> Result<(ClassMoments, Vec<f64>)> {
            let squares = table.numbers(&format!("{prefix}squares"), name)?[..classes].to_vec();
            if squares.iter().any(|squares| *squares < 0.0) {
                return Err(malformed(name, "a sum of squares is negative"));
            }
            let mut vectors = |column: &str| table.take_vectors(&format!("{prefix}{column}"), d, name);
            let (mut reference, mut offset) = (vectors("reference")?, vectors("offset")?);
            let sampled = reference.split_off(classes * d);
            offset.truncate(classes * d);
            Ok((ClassMoments { reference, offset, squares }, sampled))
        };
        let (compared, sampled) = moments("")?;
        let stored = header.settings.needs_means() && header.settings.distance.is_of_unit_vectors();
        let stored = if stored { Some(moments("stored_")?.0) } else { None };
        let is_sorted = labels.windows(2).all(|pair| pair[0] < pair[1]) && hashes[classes..].is_sorted();
        let total = counts.iter().try_fold(0_u64, |total, &count| total.checked_add(count));
        let has_rows = counts[..classes].iter().all(|&count| count > 0);
        let has_sample = sampled_labels.len() == rows - classes
            && sampled_labels.iter().all(|label| labels.binary_search(label).is_ok());
        if labels.len() != classes || !has_sample || !is_sorted || !has_rows || total != Some(header.rows()) || d == 0 {
            return Err(malformed(name, "its classes contradict its header"));
        }
        if total != Some(0) && rows == classes {
            return Err(malformed(name, "it has no sample of rows"));
        }
        Ok(Moments {
            compared,
            stored,
            checksum,
            sample: hashes[classes..]
                .iter()
                .zip(sampled.chunks_exact(d).zip(sampled_labels))
                .map(|(&hash, (values, label))| (hash, SampledRow { label, values: values.to_vec() }))
                .collect(),
            counts: counts[..classes].iter().map(|&count| count as usize).collect(),
            labels,
            header,
        })
    }
}

fn does_not_merge(distance: Distance) -> Error {
    Error::setting(format!("{distance} distances do not merge"), "take cosine")
}

/// A label that rows have and moments lack.
fn unknown_label(label: &Label, of: &str) -> Error {
    Error::setting(format!("{of}: the moments have no class '{label}'"), "make the moments of all parts again")
}
