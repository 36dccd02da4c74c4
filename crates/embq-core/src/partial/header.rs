//! What a state is of: settings, and the parts whose rows are in it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::data::{Chosen, ElementType, Excluded, Label, LabelColumn, LabelType, Precision, RowChoice};
use crate::distance::Distance;
use crate::error::{Cure, Error, Result};
use crate::evaluation::{Settings, Temperature};
use crate::evaluator::checked;
use crate::metrics::{Metric, Need, Selection, SmoothMaximum, SoftMinimum, StateKind};
use crate::partial::STATE_VERSION;
use crate::partial::part::PartRows;
use crate::partial::table::malformed;

/// What states have to agree in to merge: all that bears on their numbers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct StateSettings {
    pub distance: Distance,
    /// d.
    pub dimensions: usize,
    /// The element type of the rows as they are stored.
    pub dtype: ElementType,
    pub precision: Precision,
    pub label_type: LabelType,
    /// Ids of the metrics that the state is for.
    pub metrics: Vec<String>,
    pub temperature: f64,
    pub softmin: SoftMinimum,
    pub softmax: SmoothMaximum,
    /// Whether the sums that intervals follow from are kept.
    pub intervals: bool,
    /// Which rows take part.
    pub rows: RowChoice,
}

impl StateSettings {
    /// The settings for parts like this one.
    ///
    /// # Errors
    /// A distance, metric or other setting that does not merge.
    pub(crate) fn of(part: &PartRows<'_>, settings: &Settings, choice: &RowChoice) -> Result<Self> {
        let settings = &checked(settings.clone())?;
        check(settings)?;
        let dtype = part.rows().element_type();
        let precision = settings.precision.unwrap_or(dtype.precision());
        if (dtype.precision(), precision) == (Precision::F64, Precision::F32) && part.rows().rows() > 0 {
            let problem = format!("{dtype} rows are not read as float32 in parts");
            return Err(Error::setting(problem, "store them as float32, or compute in float64"));
        }
        let Temperature::Value(temperature) = settings.temperature else {
            let problem = "a temperature cannot be found from parts of the rows";
            return Err(Error::setting(problem, Cure::GiveTemperature));
        };
        Ok(StateSettings {
            distance: settings.distance,
            dimensions: part.rows().dimensions(),
            dtype,
            precision,
            label_type: part.labels().label_type(),
            metrics: computed(settings).map(|metric| metric.id.to_owned()).collect(),
            temperature,
            softmin: settings.softmin,
            softmax: settings.softmax,
            intervals: false,
            rows: choice.clone(),
        })
    }

    /// Whether they are settings that [`StateSettings::of`] makes.
    pub(crate) fn is_sound(&self) -> bool {
        let merges = |id: &String| Metric::find(id).is_some_and(|metric| metric.merges_from().is_some());
        self.dimensions > 0
            && Temperature::RANGE.contains(&self.temperature)
            && matches!(self.distance, Distance::Cosine | Distance::SqEuclidean)
            && !self.metrics.is_empty()
            && self.metrics.iter().all(merges)
    }

    /// As settings of an evaluation.
    pub fn settings(&self) -> Settings {
        Settings {
            distance: self.distance,
            temperature: Temperature::Value(self.temperature),
            softmin: self.softmin,
            softmax: self.softmax,
            precision: Some(self.precision),
            metrics: Selection::from_iter(self.metrics.iter().filter_map(|id| Metric::find(id))),
            rows: false,
            ..Settings::default()
        }
    }

    /// Whether scores hold what the matrix of class distances is made of.
    pub fn holds_matrix(&self) -> bool {
        self.settings().metrics.needs(Need::ClassDistances)
    }

    /// Whether a selected metric is made of the means of the rows as they are.
    pub(crate) fn needs_means(&self) -> bool {
        let of_means =
            [Need::ClassMeans, Need::ClassMeanGram, Need::ClassMeanPairs, Need::RowsByOwnMeans, Need::RowsByClassMeans];
        self.settings().metrics.iter().any(|metric| of_means.iter().any(|&need| metric.needs(need)))
    }

    /// The first thing in which two differ, with both values; without `shape`, what only rows decide does not count.
    fn difference(&self, other: &Self, shape: bool) -> Option<(String, String, String)> {
        const SHAPE: [&str; 4] = ["dimensions", "dtype", "precision", "label_type"];
        let fields = |settings: &Self| match serde_json::to_value(settings) {
            Ok(Value::Object(fields)) => fields,
            _ => serde_json::Map::new(),
        };
        let (left, right) = (fields(self), fields(other));
        let differs =
            |name: &&String| left.get(*name) != right.get(*name) && (shape || !SHAPE.contains(&name.as_str()));
        let name = left.keys().find(differs)?;
        let shown = |fields: &serde_json::Map<String, Value>| match fields.get(name) {
            Some(Value::String(text)) => text.clone(),
            Some(value) => value.to_string(),
            None => "nothing".to_owned(),
        };
        Some((name.replace('_', " "), shown(&left), shown(&right)))
    }
}

/// The metrics that are computed under these settings.
fn computed(settings: &Settings) -> impl Iterator<Item = &'static Metric> {
    settings
        .metrics
        .iter()
        .filter(|metric| metric.names(settings.levels()).next().is_some_and(|name| settings.computes(&name)))
}

/// Checks that everything in settings merges.
fn check(settings: &Settings) -> Result<()> {
    let refuse = |problem: String, cure: &str| Err(Error::setting(problem, cure));
    match settings.distance {
        Distance::Cosine | Distance::SqEuclidean => {}
        Distance::Hamming => {
            return refuse(
                "states of hamming distances do not exist yet".to_owned(),
                "take cosine or sqeuclidean distances, or evaluate all rows at once",
            );
        }
        Distance::Euclidean | Distance::Manhattan | Distance::Precomputed => {
            return refuse(
                format!("{} distances compare all pairs of rows, so they do not merge", settings.distance),
                "cosine and sqeuclidean distances do",
            );
        }
    }
    if settings.intervals {
        return refuse(
            "intervals take no part in the first pass over parts".to_owned(),
            "ask for them in the second one, which scores the rows",
        );
    }
    for metric in computed(settings) {
        if let Err(reason) = metric.state() {
            let merging = computed(settings).filter(|metric| metric.merges_from().is_some());
            return Err(Error::Setting {
                problem: format!("{} {reason}, so it does not merge", metric.id),
                cure: Some(Cure::UseMetrics(merging.map(|metric| metric.id.to_owned()).collect())),
            });
        }
    }
    if computed(settings).next().is_none() {
        return refuse("no metric is selected".to_owned(), "select one that merges, such as silhouette");
    }
    Ok(())
}

/// A part of the rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Part {
    /// What tells it from the others: a name that the user gave, or its content.
    pub id: String,
    /// A hash of the rows that take part and their labels, in which their order does not count.
    pub content: String,
    /// Where the rows came from.
    pub path: String,
    /// Where the labels came from.
    pub labels_path: String,
    /// Its rows as stored.
    pub stored_rows: u64,
    /// Those that take part.
    pub rows: u64,
    /// BLAKE3 of the labels of the rows that take part, in row order. Rows that were joined piece by piece have none.
    pub labels_hash: Option<String>,
}

impl Part {
    /// Whether another is the same part. Parts without rows are all alike, unless they have names.
    fn is(&self, other: &Part) -> bool {
        self.id == other.id && (self.rows > 0 || self.id != self.content)
    }

    /// Adds the rows of a piece of the same part.
    ///
    /// # Errors
    /// A piece of another name; content that is not a hash.
    fn join(&mut self, piece: &Part) -> Result<()> {
        let is_named = |part: &Part| part.id != part.content;
        if (is_named(self) || is_named(piece)) && self.id != piece.id {
            let problem = format!("{} and {} are not pieces of one part", self.shown(), piece.shown());
            return Err(Error::setting(problem, "give the pieces of a part the name of the part"));
        }
        let hash = |part: &Part| {
            u128::from_str_radix(&part.content, 16)
                .map_err(|_| malformed(&part.path, "the content of a part is not a hash"))
        };
        let content = format!("{:032x}", hash(self)?.wrapping_add(hash(piece)?));
        if !is_named(self) {
            self.id.clone_from(&content);
        }
        self.content = content;
        self.stored_rows += piece.stored_rows;
        self.rows += piece.rows;
        self.labels_hash = None;
        Ok(())
    }

    /// How messages call it.
    pub(crate) fn shown(&self) -> String {
        if self.id == self.content { self.path.clone() } else { format!("{} ('{}')", self.path, self.id) }
    }
}

/// What a state is of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub(crate) struct Header {
    pub(crate) format_version: u32,
    pub(crate) kind: StateKind,
    pub(crate) embq_version: String,
    pub(crate) settings: StateSettings,
    /// In the order of their ids.
    pub(crate) parts: Vec<Part>,
    pub(crate) excluded: Excluded,
    /// The labels named by the choice of rows that some part has.
    pub(crate) labels_found: BTreeSet<String>,
    /// What was selected of the files of rows and of labels, which is that of the first part.
    pub(crate) selector: Option<String>,
    pub(crate) labels_selector: Option<String>,
    pub(crate) columns: Vec<String>,
    pub(crate) chosen: Chosen,
    /// Of scores and influence: the checksum of the moments of all rows.
    pub(crate) moments: Option<String>,
    /// Of influence: the checksum of the scores of all rows.
    pub(crate) scores: Option<String>,
}

impl Header {
    /// The header of the state of one part.
    pub(crate) fn of_part(
        kind: StateKind,
        settings: StateSettings,
        part: &PartRows<'_>,
        entry: Part,
        excluded: Excluded,
    ) -> Self {
        let named = [&settings.rows.ignore_labels, &settings.rows.include, &settings.rows.exclude];
        let has = |name: &&String| part.labels().dictionary().iter().any(|label| label.to_string() == **name);
        Header {
            format_version: STATE_VERSION,
            kind,
            embq_version: env!("CARGO_PKG_VERSION").to_owned(),
            labels_found: named.into_iter().flatten().filter(has).cloned().collect(),
            parts: vec![entry],
            excluded,
            selector: part.rows().origin().selector.clone(),
            labels_selector: part.labels().origin().selector.clone(),
            columns: part.rows().columns().to_vec(),
            chosen: part.rows().chosen(),
            moments: None,
            scores: None,
            settings,
        }
    }

    /// Adds the parts of another state.
    ///
    /// # Errors
    /// Another kind or other settings, other moments, a part that is in both.
    pub(crate) fn merge(&mut self, other: Header) -> Result<()> {
        self.require_same_settings(&other)?;
        if let Some((part, again)) =
            self.parts.iter().find_map(|part| Some((part, other.parts.iter().find(|other| part.is(other))?)))
        {
            let both = if part.shown() == again.shown() { String::new() } else { format!(" and {}", again.shown()) };
            let holds = if part.id == part.content { "holds the same rows twice" } else { "has the same name twice" };
            let problem = format!("{}{both}: the same part would count twice", part.shown());
            let cure = format!("leave one of the states out; if the set {holds}, give each part a name of its own");
            return Err(Error::setting(problem, cure));
        }
        self.add(&other);
        self.parts.extend(other.parts);
        self.parts.sort_by(|left, right| left.id.cmp(&right.id));
        Ok(())
    }

    /// Adds the rows of a piece of the same part.
    ///
    /// # Errors
    /// As [`Header::merge`]; states of several parts, pieces of other parts.
    pub(crate) fn join(&mut self, piece: Header) -> Result<()> {
        self.require_same_settings(&piece)?;
        let ([own], [other]) = (&self.parts[..], &piece.parts[..]) else {
            return Err(Error::setting("a state of several parts is not a piece of one", "merge these states"));
        };
        let mut joined = own.clone();
        joined.join(other)?;
        self.add(&piece);
        self.parts = vec![joined];
        Ok(())
    }

    /// # Errors
    /// Another kind or other settings, other moments.
    fn require_same_settings(&self, other: &Header) -> Result<()> {
        let shown = |header: &Header| header.parts.first().map(Part::shown).unwrap_or_default();
        let (left, right) = (shown(self), shown(other));
        if self.kind != other.kind {
            let (own, others) = (self.kind.name(), other.kind.name());
            let problem = format!("{left} and {right} are states of two passes: {own} and {others}");
            return Err(Error::setting(problem, "merge states of one kind"));
        }
        // Parts of which no row takes part say nothing of the shape of rows.
        let both_have_rows = self.rows() > 0 && other.rows() > 0;
        if let Some((name, own, others)) = self.settings.difference(&other.settings, both_have_rows) {
            let problem = format!("{left} and {right} differ in {name}: {own} and {others}");
            return Err(Error::setting(problem, "make all states with the same settings"));
        }
        for (what, own, others) in [("moments", &self.moments, &other.moments), ("scores", &self.scores, &other.scores)]
        {
            if own != others {
                let of = format!("{} of {left} and {right}", self.kind.name());
                let problem = format!("the {of} {} made with different {what}", self.kind.of("was", "were"));
                return Err(Error::setting(problem, format!("make them with the merged {what} of all parts")));
            }
        }
        Ok(())
    }

    /// Adds what is known of other rows, but for their parts.
    fn add(&mut self, other: &Header) {
        if self.rows() == 0 {
            let StateSettings { dimensions, dtype, precision, label_type, .. } = other.settings;
            self.settings = StateSettings { dimensions, dtype, precision, label_type, ..self.settings.clone() };
        }
        if self.stored_rows() == 0 {
            self.selector.clone_from(&other.selector);
            self.labels_selector.clone_from(&other.labels_selector);
            self.columns.clone_from(&other.columns);
            self.chosen = other.chosen;
        }
        self.labels_found.extend(other.labels_found.iter().cloned());
        let Excluded { invalid, ignored_labels, excluded_classes, null_labels, small_classes, small_class_rows } =
            &mut self.excluded;
        *invalid += other.excluded.invalid;
        *ignored_labels += other.excluded.ignored_labels;
        *excluded_classes += other.excluded.excluded_classes;
        *null_labels += other.excluded.null_labels;
        *small_classes += other.excluded.small_classes;
        *small_class_rows += other.excluded.small_class_rows;
    }

    /// The rows that take part.
    pub(crate) fn rows(&self) -> u64 {
        // A header of a file may say anything.
        self.parts.iter().fold(0, |rows, part| rows.saturating_add(part.rows))
    }

    /// All rows of the parts.
    pub(crate) fn stored_rows(&self) -> u64 {
        self.parts.iter().fold(0, |rows, part| rows.saturating_add(part.stored_rows))
    }

    /// Checks that these scores, or this influence, are of the same parts as the moments.
    ///
    /// # Errors
    /// Other moments, parts that are missing or that the moments lack, parts whose rows changed.
    pub(crate) fn require_parts_of(&self, moments: &Header) -> Result<()> {
        let by_id = |header: &Header| -> BTreeMap<String, Part> {
            header.parts.iter().map(|part| (part.id.clone(), part.clone())).collect()
        };
        let (own, all) = (by_id(self), by_id(moments));
        let missing: Vec<String> = all
            .iter()
            .filter(|(id, part)| part.rows > 0 && !own.contains_key(*id))
            .map(|(_, part)| part.shown())
            .collect();
        if let Some(first) = missing.first() {
            let more = if missing.len() > 1 { format!(" and {} more", missing.len() - 1) } else { String::new() };
            let (kind, parts) = (self.kind.name(), format!("{} of {} parts", missing.len(), all.len()));
            let problem = format!("the {kind} of {parts} {} missing: {first}{more}", self.kind.of("is", "are"));
            return Err(Error::setting(problem, format!("make the {kind} of every part that the moments are of")));
        }
        self.require_in(moments)
    }

    /// Checks that the moments are of these parts, and of others perhaps.
    ///
    /// # Errors
    /// A part that the moments lack, or whose rows changed.
    pub(crate) fn require_in(&self, moments: &Header) -> Result<()> {
        self.parts.iter().try_for_each(|part| moments.require_part(part))
    }

    /// Checks that a part is one of those here, with the same rows.
    ///
    /// # Errors
    /// A part that is not here, or whose rows changed.
    fn require_part(&self, part: &Part) -> Result<()> {
        if part.rows == 0 && part.id == part.content {
            return Ok(());
        }
        let shown = part.shown();
        match self.parts.iter().find(|known| known.id == part.id) {
            Some(known) if known.content == part.content => Ok(()),
            Some(_) => Err(Error::setting(
                format!("{shown}: its rows or labels are not those that the moments are of"),
                "make the moments of all parts again",
            )),
            None => Err(Error::setting(
                format!("{shown}: the moments are not of this part, or its rows or labels changed since"),
                "make the moments of all parts again, and give the same names to parts in both passes",
            )),
        }
    }

    /// Checks the labels that the choice of rows names: those included and excluded have to occur.
    ///
    /// # Errors
    /// A label that no part has.
    pub(crate) fn require_named_labels(&self, names: &[Label]) -> Result<Vec<String>> {
        let choice = &self.settings.rows;
        for (included, wanted) in [(true, &choice.include), (false, &choice.exclude)] {
            if let Some(unknown) = wanted.iter().find(|wanted| !self.labels_found.contains(*wanted)) {
                return Err(Error::UnknownClass {
                    name: self.labels_path(),
                    label: unknown.clone(),
                    included,
                    available: names.iter().map(Label::to_string).collect(),
                });
            }
        }
        let unknown = choice.ignore_labels.iter().filter(|ignored| !self.labels_found.contains(*ignored));
        Ok(unknown.map(|label| format!("no row of {} has the ignored label '{label}'", self.labels_path())).collect())
    }

    /// A column without rows, with the kind and the origin of the labels of the parts.
    pub(crate) fn empty_labels(&self) -> LabelColumn {
        let origin = crate::data::Origin { path: self.labels_path(), selector: self.labels_selector.clone() };
        LabelColumn::from_codes(origin, self.settings.label_type, Vec::new(), Vec::new())
    }

    /// The paths of all parts as one pattern.
    pub(crate) fn path(&self) -> String {
        pattern(self.parts.iter().map(|part| part.path.as_str()))
    }

    fn labels_path(&self) -> String {
        pattern(self.parts.iter().map(|part| part.labels_path.as_str()))
    }

    /// A hash of the labels of all parts, whatever their order; of a single part that of its labels in row order. `None`
    /// where the rows of a part have no order.
    pub(crate) fn labels_hash(&self) -> Option<String> {
        let with_rows = self.parts.iter().filter(|part| part.rows > 0);
        let mut hashes: Vec<&str> = with_rows.map(|part| part.labels_hash.as_deref()).collect::<Option<_>>()?;
        hashes.sort_unstable();
        Some(match hashes[..] {
            [only] => only.to_owned(),
            _ => blake3::hash(hashes.join("\n").as_bytes()).to_hex().to_string(),
        })
    }
}

/// What texts have in common at both ends, with an asterisk for the rest.
fn pattern<'t>(texts: impl Iterator<Item = &'t str> + Clone) -> String {
    let mut rest = texts.clone();
    let Some(first) = rest.next() else { return String::new() };
    if texts.clone().all(|text| text == first) {
        return first.to_owned();
    }
    let common = |left: &mut dyn Iterator<Item = char>, right: &mut dyn Iterator<Item = char>| {
        left.zip(right).take_while(|(left, right)| left == right).count()
    };
    let prefix = rest.clone().map(|text| common(&mut first.chars(), &mut text.chars())).min().unwrap_or(0);
    // No character is both in the prefix and in the suffix.
    let rest_of = |text: &'t str| text.chars().skip(prefix).collect::<Vec<char>>();
    let first_rest = rest_of(first);
    let suffix = rest
        .map(|text| common(&mut first_rest.iter().rev().copied(), &mut rest_of(text).into_iter().rev()))
        .min()
        .unwrap_or(0);
    let prefix: String = first.chars().take(prefix).collect();
    let suffix: String = first_rest[first_rest.len() - suffix..].iter().collect();
    format!("{prefix}*{suffix}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_parts_have_a_pattern() {
        let of = |paths: &[&str]| pattern(paths.iter().copied());
        assert_eq!(of(&["p/part-01.npy", "p/part-02.npy"]), "p/part-0*.npy");
        assert_eq!(of(&["a.npy", "a.npy"]), "a.npy");
        assert_eq!(of(&["part-1.npy", "part-11.npy", "part-111.npy"]), "part-1*.npy");
        assert_eq!(of(&["x", "y"]), "*");
        assert_eq!(of(&["aa", "aaa"]), "aa*");
    }
}
