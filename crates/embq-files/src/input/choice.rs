//! Chooses which column or array is the embeddings, in one place for every format.
//!
//! A format describes its columns or arrays ([`Candidate`]); [`choose`] takes one of them, or several side by side, or
//! refuses. It never guesses silently: the choice is part of the result, and where a reader might have expected
//! something else there is a note or an error. The rules are those of `docs/formats.md`.

use crate::input::pasted::quoted;
use crate::input::table;
use embq_core::data::Chosen;
use embq_core::error::{Error, Result};

/// A column or an array, as far as the choice depends on it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Candidate {
    pub name: String,
    pub nature: Nature,
    /// Type and shape as users write them, such as `list of 8 f32`.
    pub shape: String,
    /// Whether the file declares it an index of rows, whatever its name.
    pub is_index: bool,
}

/// What the values of a column or an array are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Nature {
    /// A vector of numbers per row.
    Vectors(Form),
    /// One number per row of a table.
    Number {
        /// Whether all of them are integers: more often an id, a count or a code than a dimension.
        whole: bool,
    },
    /// Text, categories, booleans, dates, and one-dimensional arrays: possible labels and weights.
    Values,
    /// Looks like vectors but cannot be read as such.
    Unreadable {
        /// The reason, worded to follow the name.
        why: String,
        /// What to do about it.
        tip: String,
        /// Whether it contains only integers: token ids and masks rather than embeddings.
        integers: bool,
    },
    /// Anything else.
    Other,
}

/// How vectors are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    Floats,
    Integers,
    /// Bytes, or base64 of bytes, that are little-endian float32.
    Bytes,
}

/// The chosen embeddings.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Choice {
    /// Positions among the candidates: one of vectors, or several numbers in the order of the dimensions.
    pub columns: Vec<usize>,
    pub chosen: Chosen,
    /// The choice as written after a path; `None` if no selector expresses it.
    pub selector: Option<String>,
    /// Notes for the user.
    pub notes: Vec<String>,
}

/// Where the candidates are.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place<'a> {
    /// The path as the user wrote it.
    pub path: &'a str,
    /// What the format calls a candidate: column, array, tensor, dataset.
    pub noun: &'static str,
    /// Whether the names are only positions, because the file has no header.
    pub positional: bool,
}

/// Names that mark a column as a label or a model's result rather than a dimension.
const LABEL_NAMES: [&str; 10] =
    ["label", "target", "class", "category", "cluster", "split", "fold", "pred", "prediction", "score"];

/// Chooses the embeddings among candidates: those named by the selector, or else those found by the rules. `taken` are
/// positions used by other options of the command; they are embeddings only if selected.
///
/// # Errors
/// No candidate for the embeddings, several, or a selection that cannot be read.
pub(crate) fn choose(
    place: Place<'_>,
    candidates: &[Candidate],
    selector: Option<&str>,
    taken: &[usize],
) -> Result<Choice> {
    let room = Room { place, candidates, taken };
    match selector {
        Some(selector) => room.selected(selector),
        None => room.found(),
    }
}

/// Why a candidate is not chosen by itself, worded for `embq inspect`; `None` if it could be.
pub(crate) fn left_out(candidate: &Candidate, position: usize) -> Option<&'static str> {
    match &candidate.nature {
        Nature::Number { .. } if is_index(candidate, position) => Some("an index of rows"),
        Nature::Number { .. } if is_label_name(&candidate.name) => Some("named like a label or a result"),
        _ => None,
    }
}

struct Room<'a> {
    place: Place<'a>,
    candidates: &'a [Candidate],
    taken: &'a [usize],
}

/// Numbered columns with a common prefix: `f0`, `f1`, ...
#[derive(Debug)]
struct Series {
    /// Number and position, by number.
    members: Vec<(u64, usize)>,
}

impl Room<'_> {
    fn selected(&self, selector: &str) -> Result<Choice> {
        let columns = match self.position(selector) {
            Some(position) => vec![position],
            None => match self.range(selector)? {
                Some(columns) => columns,
                None => return Err(self.unknown(selector)),
            },
        };
        for &position in &columns {
            match &self.candidates[position].nature {
                Nature::Vectors(_) if columns.len() == 1 => {}
                Nature::Number { .. } => {}
                _ => return Err(self.unusable(position)),
            }
        }
        // Short names are expanded, so that the same choice is always written alike.
        let whole = self.position(selector).map_or(selector, |position| self.candidates[position].name.as_str());
        Ok(Choice { columns, chosen: Chosen::Selector, selector: Some(whole.to_owned()), notes: Vec::new() })
    }

    fn found(&self) -> Result<Choice> {
        let vectors = self.free(|nature| matches!(nature, Nature::Vectors(Form::Floats | Form::Integers)));
        let encoded = self.free(|nature| matches!(nature, Nature::Vectors(Form::Bytes)));
        let unreadable = self.free(|nature| matches!(nature, Nature::Unreadable { .. }));
        match (&vectors[..], &encoded[..]) {
            (&[only], _) => self.only(only, &unreadable),
            ([], &[only]) => {
                let mut choice = self.only(only, &unreadable)?;
                let name = &self.candidates[only].name;
                choice.notes.push(format!("{}: '{name}' is read as bytes of float32", self.place.path));
                Ok(choice)
            }
            ([], []) => match unreadable.first() {
                Some(&first) => Err(self.unusable(first)),
                None => self.numbers(),
            },
            ([], several) | (several, _) => Err(self.several(several)),
        }
    }

    /// The only candidate with readable vectors.
    fn only(&self, only: usize, unreadable: &[usize]) -> Result<Choice> {
        let candidate = &self.candidates[only];
        // With a mask or token ids beside hidden states, the readable candidate is probably not the one meant.
        let meant = unreadable
            .iter()
            .find(|&&other| matches!(self.candidates[other].nature, Nature::Unreadable { integers: false, .. }));
        if let (Nature::Vectors(Form::Integers), Some(&meant)) = (&candidate.nature, meant) {
            return Err(self.which(only, meant));
        }
        let notes = unreadable.iter().map(|&other| {
            let other = &self.candidates[other];
            let Nature::Unreadable { why, .. } = &other.nature else { return String::new() };
            format!("{}: read '{}'; '{}' {why}", self.place.path, candidate.name, other.name)
        });
        Ok(Choice {
            columns: vec![only],
            chosen: Chosen::Only,
            selector: Some(candidate.name.clone()),
            notes: notes.collect(),
        })
    }

    /// Columns of single numbers: the longest series, or else all floats.
    fn numbers(&self) -> Result<Choice> {
        let free = self.free_numbers();
        if self.place.positional {
            return self.by_position(&free);
        }
        let mut all = self.series(&free);
        all.sort_by_key(|series| std::cmp::Reverse(series.members.len()));
        let longest = all.first().map_or(0, |series| series.members.len());
        let ties: Vec<&Series> = all.iter().take_while(|series| series.members.len() == longest).collect();
        match ties[..] {
            [] => self.floats(&free),
            [series] => self.whole_series(series, &free),
            _ => {
                let names: Vec<String> = ties.iter().map(|series| self.written(series)).collect();
                Err(self.needed(
                    format!("several series of numbered columns could be the embeddings: {}", names.join(", ")),
                    &format!("write {}:{}", self.place.path, names[0]),
                ))
            }
        }
    }

    /// A series with no gap in its numbers.
    fn whole_series(&self, series: &Series, free: &[usize]) -> Result<Choice> {
        let written = self.written(series);
        self.check_gaps(series, &written)?;
        let columns: Vec<usize> = series.members.iter().map(|&(_, position)| position).collect();
        let others: Vec<usize> = free.iter().copied().filter(|position| !columns.contains(position)).collect();
        let notes = self.told_left_out(&written, &others);
        Ok(Choice { columns, chosen: Chosen::Series, selector: Some(written), notes })
    }

    fn check_gaps(&self, series: &Series, written: &str) -> Result<()> {
        let (Some(&(first, position)), Some(&(last, _))) = (series.members.first(), series.members.last()) else {
            return Ok(());
        };
        let Some((prefix, ..)) = numbered(&self.candidates[position].name) else { return Ok(()) };
        let path = self.place.path;
        let mut expected = first;
        for &(number, position) in &series.members {
            if number < expected {
                let name = &self.candidates[position].name;
                let problem = format!("two columns have the number {number}, one of them '{name}'");
                return Err(self.needed(problem, "give every column of a series a different number"));
            }
            while expected < number {
                // A column of the series that is used as labels or weights does not count as a gap.
                let missing =
                    self.candidates.iter().position(|candidate| numbered(&candidate.name) == Some((prefix, expected)));
                match missing {
                    Some(position) if self.taken.contains(&position) => {}
                    Some(position) => {
                        let candidate = &self.candidates[position];
                        return Err(self.needed(
                            format!(
                                "the series {written} has no numbers in '{}' ({})",
                                candidate.name, candidate.shape
                            ),
                            "repair that column, or select others as FIRST..LAST",
                        ));
                    }
                    None => {
                        let run = series.members.iter().take_while(|&&(number, _)| number < expected).last();
                        let before = run.map_or("", |&(_, position)| self.candidates[position].name.as_str());
                        let start = self.candidates[series.members[0].1].name.as_str();
                        return Err(self.needed(
                            format!(
                                "the series {written} has {} columns, its numbers say {}: '{prefix}{expected}' is \
                                 missing",
                                series.members.len(),
                                (last - first).saturating_add(1)
                            ),
                            &format!(
                                "write the file again with all columns; the columns before the gap are {path}:{start}..{before}"
                            ),
                        ));
                    }
                }
                expected += 1;
            }
            expected = number.saturating_add(1);
        }
        Ok(())
    }

    /// A table without names: its floats, if they are adjacent.
    fn by_position(&self, free: &[usize]) -> Result<Choice> {
        let whole = |position: &usize| matches!(self.candidates[*position].nature, Nature::Number { whole: true });
        let (wholes, floats): (Vec<usize>, Vec<usize>) = free.iter().copied().partition(whole);
        let columns = if floats.is_empty() { wholes.clone() } else { floats };
        if columns.len() < 2 {
            return self.floats(free);
        }
        let (first, last) = (columns[0], columns[columns.len() - 1]);
        let written = format!("{}..{}", self.candidates[first].name, self.candidates[last].name);
        let between = (first..=last).find(|position| !columns.contains(position) && !self.taken.contains(position));
        if let Some(position) = between {
            let path = self.place.path;
            return Err(self.needed(
                format!(
                    "the columns have no names, and column {position} ({}) is between the floats",
                    self.candidates[position].shape
                ),
                &format!("write {path}:FIRST..LAST, with the positions of the columns counted from 0"),
            ));
        }
        let others: Vec<usize> = free.iter().copied().filter(|position| !columns.contains(position)).collect();
        let notes = self.told_left_out(&written, &others);
        Ok(Choice { columns, chosen: Chosen::Series, selector: Some(written), notes })
    }

    /// All columns of floats.
    fn floats(&self, free: &[usize]) -> Result<Choice> {
        let is_float = |position: &usize| matches!(self.candidates[*position].nature, Nature::Number { whole: false });
        let (floats, others): (Vec<usize>, Vec<usize>) = free
            .iter()
            .copied()
            .partition(|position| is_float(position) && !is_label_name(&self.candidates[*position].name));
        let path = self.place.path;
        if floats.len() < 2 {
            return Err(match free {
                [] if self.candidates.is_empty() => self.needed("it is empty".to_owned(), "name another file"),
                [] => self.nothing(),
                [only] => {
                    let name = &self.candidates[*only].name;
                    self.needed(
                        format!(
                            "no vectors: a single column of numbers ('{name}') is not an embedding unless selected"
                        ),
                        &format!("to use it anyway, write {path}:{name}"),
                    )
                }
                [first, .., last] => {
                    let (first, last) = (&self.candidates[*first].name, &self.candidates[*last].name);
                    self.needed(
                        format!(
                            "no vectors, no series of numbered columns and fewer than two columns of floats; the numbers \
                             are in {}",
                            self.listed(free)
                        ),
                        &format!("select columns side by side: {path}:{first}..{last}"),
                    )
                }
            });
        }
        let contiguous = floats.windows(2).all(|pair| pair[1] == pair[0] + 1);
        let (first, last) = (floats[0], floats[floats.len() - 1]);
        let selector = contiguous.then(|| format!("{}..{}", self.candidates[first].name, self.candidates[last].name));
        let mut note = format!(
            "{path}: no vectors and no series of numbered columns: the {} columns of floats are taken ({})",
            floats.len(),
            self.listed(&floats)
        );
        if !others.is_empty() {
            note += &format!("; left out: {}", self.listed(&others));
        }
        Ok(Choice { columns: floats, chosen: Chosen::Floats, selector, notes: vec![note] })
    }

    fn told_left_out(&self, taken: &str, others: &[usize]) -> Vec<String> {
        if others.is_empty() {
            return Vec::new();
        }
        vec![format!("{}: read {taken}; left out: {}", self.place.path, self.listed(others))]
    }

    /// `first..last` as positions. Names may contain dots, so every split is tried.
    fn range(&self, selector: &str) -> Result<Option<Vec<usize>>> {
        let mut splits =
            (0..selector.len().saturating_sub(1)).filter(|&at| selector.as_bytes()[at..].starts_with(b".."));
        let first_split = splits.clone().next();
        let found = splits.find_map(|at| Some((self.position(&selector[..at])?, self.position(&selector[at + 2..])?)));
        let Some((first, last)) = found else {
            return match first_split {
                Some(at) => {
                    let (first, last) = (&selector[..at], &selector[at + 2..]);
                    Err(self.unknown(if self.position(first).is_none() { first } else { last }))
                }
                None => Ok(None),
            };
        };
        let (first_name, last_name) = (&self.candidates[first].name, &self.candidates[last].name);
        let backwards = || {
            Err(self.needed(
                format!("the range '{selector}' runs backwards: write {last_name}..{first_name}"),
                &format!("write {}:{last_name}..{first_name}", self.place.path),
            ))
        };
        let (Some((prefix, from)), Some((other, to))) = (numbered(first_name), numbered(last_name)) else {
            return if first <= last { Ok(Some((first..=last).collect())) } else { backwards() };
        };
        if prefix != other {
            return if first <= last { Ok(Some((first..=last).collect())) } else { backwards() };
        }
        if from > to {
            return backwards();
        }
        let members = self.candidates.iter().enumerate().filter_map(|(position, candidate)| {
            let (found, number) = numbered(&candidate.name)?;
            (found == prefix && (from..=to).contains(&number)).then_some((number, position))
        });
        let mut series = Series { members: members.collect() };
        series.members.sort_unstable();
        self.check_gaps(&series, selector)?;
        Ok(Some(series.members.into_iter().map(|(_, position)| position).collect()))
    }

    fn position(&self, name: &str) -> Option<usize> {
        table::named(self.candidates.iter().map(|candidate| candidate.name.as_str()), name)
    }

    /// Whether a candidate can be chosen without being selected.
    fn is_free(&self, position: usize) -> bool {
        !self.taken.contains(&position)
    }

    fn free(&self, wanted: impl Fn(&Nature) -> bool) -> Vec<usize> {
        let fits = |&position: &usize| self.is_free(position) && wanted(&self.candidates[position].nature);
        (0..self.candidates.len()).filter(fits).collect()
    }

    fn free_numbers(&self) -> Vec<usize> {
        let mut numbers = self.free(|nature| matches!(nature, Nature::Number { .. }));
        numbers.retain(|&position| self.place.positional || !is_index(&self.candidates[position], position));
        numbers
    }

    /// Every series of numbered columns with at least two members.
    fn series(&self, free: &[usize]) -> Vec<Series> {
        let mut found: Vec<(&str, Series)> = Vec::new();
        for &position in free {
            let Some((prefix, number)) = numbered(&self.candidates[position].name) else { continue };
            match found.iter_mut().find(|(known, _)| *known == prefix) {
                Some((_, series)) => series.members.push((number, position)),
                None => found.push((prefix, Series { members: vec![(number, position)] })),
            }
        }
        let mut found: Vec<Series> =
            found.into_iter().map(|(_, series)| series).filter(|series| series.members.len() > 1).collect();
        found.iter_mut().for_each(|series| series.members.sort_unstable());
        found
    }

    fn written(&self, series: &Series) -> String {
        let name = |member: Option<&(u64, usize)>| member.map_or("", |&(_, at)| self.candidates[at].name.as_str());
        format!("{}..{}", name(series.members.first()), name(series.members.last()))
    }

    /// The names of candidates, abbreviated if there are many.
    fn listed(&self, positions: &[usize]) -> String {
        const SHOWN: usize = 12;
        let names: Vec<&str> =
            positions.iter().take(SHOWN).map(|&position| self.candidates[position].name.as_str()).collect();
        match positions.len().saturating_sub(SHOWN) {
            0 => names.join(", "),
            more => format!("{} and {more} more", names.join(", ")),
        }
    }

    fn shaped(&self, position: usize) -> String {
        let candidate = &self.candidates[position];
        format!("{} ({})", candidate.name, candidate.shape)
    }

    fn several(&self, positions: &[usize]) -> Error {
        let shaped: Vec<String> = positions.iter().map(|&position| self.shaped(position)).collect();
        let (path, noun) = (self.place.path, self.place.noun);
        // The most likely command comes first.
        let likely = ["emb", "obsm/", "train"]
            .iter()
            .find_map(|word| positions.iter().copied().find(|&position| self.candidates[position].name.contains(word)));
        let name = &self.candidates[likely.unwrap_or(positions[0])].name;
        self.needed(
            format!("several {noun}s could be the embeddings: {}", shaped.join(", ")),
            &format!("select one, such as {path}:{name}"),
        )
    }

    fn which(&self, readable: usize, meant: usize) -> Error {
        let (path, noun) = (self.place.path, self.place.noun);
        let Nature::Unreadable { why, tip, .. } = &self.candidates[meant].nature else {
            return self.several(&[readable, meant]);
        };
        self.needed(
            format!(
                "which {noun} holds the embeddings? {} {why}, and {} contains integers",
                self.shaped(meant),
                self.shaped(readable)
            ),
            &format!("{tip}; or select the integers with {path}:{}", self.candidates[readable].name),
        )
    }

    fn nothing(&self) -> Error {
        let (path, noun) = (self.place.path, self.place.noun);
        let taken: Vec<usize> =
            self.taken.iter().copied().filter(|&position| self.candidates[position].name != "folder").collect();
        let beside = if taken.is_empty() { String::new() } else { format!(" beside {}", self.listed(&taken)) };
        let shown: Vec<usize> = (0..self.candidates.len()).filter(|&position| self.is_free(position)).collect();
        let there = if shown.is_empty() {
            "there is nothing else in it".to_owned()
        } else {
            let shaped: Vec<String> = shown.iter().take(12).map(|&position| self.shaped(position)).collect();
            let more = shown.len().saturating_sub(12);
            let more = if more > 0 { format!(" and {more} more") } else { String::new() };
            format!("there are: {}{more}", shaped.join(", "))
        };
        self.needed(
            format!("no {noun} of vectors or numbers to read embeddings from{beside}; {there}"),
            &format!("see what it contains: embq inspect {}", quoted(path)),
        )
    }

    fn needed(&self, problem: String, tip: &str) -> Error {
        Error::Choice { path: self.place.path.to_owned(), problem, tip: tip.to_owned() }
    }

    fn unknown(&self, wanted: &str) -> Error {
        Error::UnknownSelector {
            path: self.place.path.to_owned(),
            kind: self.place.noun,
            wanted: wanted.to_owned(),
            available: self.candidates.iter().map(|candidate| candidate.name.clone()).collect(),
        }
    }

    fn unusable(&self, position: usize) -> Error {
        let candidate = &self.candidates[position];
        let name = format!("{}:{}", self.place.path, candidate.name);
        match &candidate.nature {
            Nature::Unreadable { why, tip, .. } => {
                Error::Malformed { name, problem: format!("it {why}"), tip: Some(tip.clone()) }
            }
            _ => Error::ElementType {
                name,
                found: candidate.shape.clone(),
                role: "embeddings",
                tip: Some("embeddings are vectors, or columns of numbers side by side (FIRST..LAST)".to_owned()),
            },
        }
    }
}

/// Splits a name that ends in a number into prefix and number.
pub(crate) fn numbered(name: &str) -> Option<(&str, u64)> {
    let name = name.strip_suffix(']').filter(|name| name.contains('[')).unwrap_or(name);
    let digits = name.bytes().rev().take_while(u8::is_ascii_digit).count();
    let (prefix, number) = name.split_at(name.len() - digits);
    Some((prefix, number.parse().ok()?))
}

/// Whether a column numbers or names rows.
pub(crate) fn is_index(candidate: &Candidate, position: usize) -> bool {
    let name = candidate.name.as_str();
    let numbered = |prefix: &str, end: &str| {
        name.strip_prefix(prefix)
            .and_then(|rest| rest.strip_suffix(end))
            .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.'))
    };
    candidate.is_index
        || name.eq_ignore_ascii_case("index")
        || numbered("Unnamed: ", "")
        || numbered("level_", "")
        || numbered("__index_level_", "__")
        || position == 0 && name.is_empty()
}

/// Whether a name marks a column as a label or a result, ignoring case and plural.
pub(crate) fn is_label_name(name: &str) -> bool {
    let name = name.to_lowercase();
    let is_known = |name: &str| LABEL_NAMES.contains(&name);
    is_known(&name)
        || name.strip_suffix("ies").is_some_and(|stem| is_known(&format!("{stem}y")))
        || name.strip_suffix("es").is_some_and(is_known)
        || name.strip_suffix('s').is_some_and(is_known)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Candidates in short: `name:nature`, where the nature is `v` for vectors, `m` for vectors of integers, `b` for
    /// bytes of float32, `f` for floats, `w` for whole numbers, `l` for labels, `u` for unreadable vectors (`ui` if
    /// they contain only integers), `o` for anything else. A leading `!` means that the file declares it an index, and
    /// `a0-a7:f` is a series.
    fn candidates(text: &str) -> Vec<Candidate> {
        let mut found = Vec::new();
        for word in text.split(' ').filter(|word| !word.is_empty()) {
            let (word, is_index) = word.strip_prefix('!').map_or((word, false), |word| (word, true));
            let (names, nature) = word.rsplit_once(':').unwrap();
            let unreadable =
                |integers| Nature::Unreadable { why: "has 3 axes".into(), tip: "pool them".into(), integers };
            let nature = match nature {
                "v" => Nature::Vectors(Form::Floats),
                "m" => Nature::Vectors(Form::Integers),
                "b" => Nature::Vectors(Form::Bytes),
                "f" => Nature::Number { whole: false },
                "w" => Nature::Number { whole: true },
                "l" => Nature::Values,
                "u" => unreadable(false),
                "ui" => unreadable(true),
                _ => Nature::Other,
            };
            let names = names.replace('~', " ");
            let range = names.split_once('-').and_then(|(first, last)| Some((numbered(first)?, numbered(last)?)));
            let names: Vec<String> = match range {
                Some(((prefix, first), (_, last))) => {
                    (first..=last).map(|number| format!("{prefix}{number}")).collect()
                }
                None => vec![names],
            };
            for name in names {
                found.push(Candidate { name, nature: nature.clone(), shape: "60 x 8".into(), is_index });
            }
        }
        found
    }

    /// The choice in short: how, the names (runs as `first..last`), and `+` for a note; or the error.
    fn outcome(text: &str, selector: Option<&str>, taken: &str, positional: bool) -> String {
        let candidates = candidates(text);
        let taken: Vec<usize> = taken
            .split(' ')
            .filter_map(|name| candidates.iter().position(|candidate| candidate.name == name))
            .collect();
        let place = Place { path: "t", noun: "column", positional };
        match choose(place, &candidates, selector, &taken) {
            Ok(choice) => {
                let names: Vec<&str> = choice.columns.iter().map(|&at| candidates[at].name.as_str()).collect();
                let names = match &names[..] {
                    [first, .., last] if names.len() > 2 => format!("{first}..{last} ({})", names.len()),
                    names => names.join(", "),
                };
                let note = if choice.notes.is_empty() { "" } else { " +" };
                format!("{} {names}{note}", choice.chosen.name())
            }
            Err(error) => format!("error: {error} / {}", error.tip().unwrap_or_default()),
        }
    }

    /// Candidates, names used by other options, and the outcome or a part of the error.
    const CASES: &[(&str, &str, &str)] = &[
        // One column of vectors, whatever else is in the table.
        ("e:v", "", "only e"),
        ("id:w e:v score:f label:l", "", "only e"),
        ("f0-f127:f e:v", "", "only e"),
        ("x:f y:f e:v", "", "only e"),
        ("e:m", "", "only e"),
        ("id:w e:m label:l", "label", "only e"),
        ("e:v o:o", "", "only e"),
        ("!e:v label:l", "", "only e"),
        // No choice among several.
        (
            "e:v g:v",
            "",
            "error: t: several columns could be the embeddings: e (60 x 8), g (60 x 8) / select one, such as t:e",
        ),
        ("text_emb:v image:v", "", "select one, such as t:text_emb"),
        ("image:v text_emb:v", "", "select one, such as t:text_emb"),
        ("e:v g:m", "", "error: t: several columns"),
        ("e:v g:v h:v", "g h", "only e"),
        ("e:v g:v", "g", "only e"),
        ("ids:m mask:m", "", "error: t: several columns"),
        // Bytes only if nothing else is vectors, and with a note.
        ("b:b", "", "only b +"),
        ("b:b id:w label:l", "", "only b +"),
        ("b:b x:f y:f", "", "only b +"),
        ("b:b e:v", "", "only e"),
        ("b:b c:b", "", "error: t: several columns"),
        ("b:b e:v", "e", "only b +"),
        // Unreadable vectors are never skipped in favour of numbers.
        ("tokens:u id:w score:f other:f", "", "error: t:tokens: it has 3 axes / pool them"),
        ("tokens:u f0-f7:f", "", "error: t:tokens: it has 3 axes"),
        ("tokens:u label:l", "label", "error: t:tokens"),
        ("tokens:ui x:f y:f", "", "error: t:tokens"),
        ("tokens:u e:v", "", "only e +"),
        ("tokens:ui e:v", "", "only e +"),
        ("tokens:u mask:m", "", "error: t: which column holds the embeddings? tokens (60 x 8) has 3 axes, and mask"),
        ("tokens:ui mask:m", "", "only mask +"),
        ("tokens:u mask:m", "tokens", "only mask"),
        ("tokens:u f0-f7:f", "tokens", "series f0..f7 (8)"),
        // A series of numbered columns, in the order of the numbers.
        ("f0-f127:f", "", "series f0..f127 (128)"),
        ("f3:f f1:f f0:f f2:f", "", "series f0..f3 (4)"),
        ("f10:f f9:f f11:f", "", "series f9..f11 (3)"),
        ("0-7:f label:l", "label", "series 0..7 (8)"),
        ("embedding_0-embedding_767:f", "", "series embedding_0..embedding_767 (768)"),
        ("dim~0-dim~2:f", "", "series dim 0..dim 2 (3)"),
        ("e[0]:f e[1]:f e[2]:f", "", "series e[0]..e[2] (3)"),
        ("x1-x8:w", "", "series x1..x8 (8)"),
        ("f0:f f1:w f2:f", "", "series f0..f2 (3)"),
        ("f000:f f001:f f002:f", "", "series f000..f002 (3)"),
        ("id:w f0-f7:f label:l", "label", "series f0..f7 (8) +"),
        ("f0-f7:f probability:f", "", "series f0..f7 (8) +"),
        ("f0-f7:f score:f labels:w", "score", "series f0..f7 (8) +"),
        ("f0-f7:f umap1:f umap2:f", "", "series f0..f7 (8) +"),
        ("umap1:f umap2:f a:f b:f c:f", "", "series umap1, umap2 +"),
        // The longest series; on a tie, none.
        (
            "a0-a7:f b0-b7:f",
            "",
            "error: t: several series of numbered columns could be the embeddings: a0..a7, b0..b7 / write t:a0..a7",
        ),
        ("a0-a7:f b0-b6:f", "", "series a0..a7 (8) +"),
        // A gap is an error, unless another option uses the missing column.
        ("f0-f3:f f5-f7:f", "", "error: t: the series f0..f7 has 7 columns, its numbers say 8: 'f4' is missing"),
        ("f0-f3:f f4:l f5-f7:f", "", "error: t: the series f0..f7 has no numbers in 'f4'"),
        ("f0-f3:f f4:l f5-f7:f", "f4", "series f0..f7 (7)"),
        ("f1:f f01:f f2:f", "", "error: t: two columns have the number 1"),
        // Never an index.
        (":w 0-7:f", "", "series 0..7 (8)"),
        ("Unnamed:~0:w f0-f7:f", "", "series f0..f7 (8)"),
        ("Unnamed:~0:w Unnamed:~0.1:w x:f y:f", "", "floats x, y +"),
        ("index:w x:f y:f", "", "floats x, y +"),
        ("level_0:f level_1:f x:f y:f", "", "floats x, y +"),
        ("__index_level_0__:f x:f y:f", "", "floats x, y +"),
        ("!time:f x:f y:f", "", "floats x, y +"),
        // Otherwise all floats, if there are at least two, with a note.
        ("x:f y:f", "", "floats x, y +"),
        ("x:f id:w y:f z:f label:l", "label", "floats x..z (3) +"),
        ("x:f y:f weight:f", "weight", "floats x, y +"),
        ("x:f y:f cluster:f", "", "floats x, y +"),
        ("x:f y:f Predictions:f Categories:f Classes:f", "", "floats x, y +"),
        ("x:f label:f", "", "error: t: no vectors, no series"),
        // A single column of numbers is never an embedding.
        (
            "score:f",
            "",
            "error: t: no vectors: a single column of numbers ('score') is not an embedding unless selected",
        ),
        (
            "id:w score:f label:l",
            "label",
            "error: t: no vectors, no series of numbered columns and fewer than two columns of floats; the numbers are in id, score",
        ),
        ("a:w b:w c:w", "", "the numbers are in a, b, c / select columns side by side: t:a..c"),
        ("label:l", "", "error: t: no column of vectors or numbers to read embeddings from; there are: label (60 x 8)"),
        ("label:l", "label", "error: t: no column of vectors or numbers to read embeddings from beside label"),
        ("", "", "error: t: it is empty"),
        ("o:o", "", "error: t: no column of vectors"),
    ];

    #[test]
    fn the_rules_decide() {
        for &(given, taken, expected) in CASES {
            let found = outcome(given, None, taken, false);
            let fits = if expected.starts_with("error") || expected.contains('/') || expected.starts_with("select") {
                found.starts_with("error") && found.contains(expected.strip_prefix("error: ").unwrap_or(expected))
            } else {
                found == expected
            };
            assert!(fits, "{given} without {taken}: {found}\nexpected {expected}");
        }
    }

    #[test]
    fn columns_without_names_are_floats_side_by_side() {
        for (given, taken, expected) in [
            ("0:f 1:f 2:f", "", "series 0..2 (3)"),
            ("0:f 1:f 2:l", "2", "series 0, 1"),
            ("0:w 1:f 2:f 3:f 4:l", "4", "series 1..3 (3) +"),
            ("0:l 1:w 2:w 3:w", "0", "series 1..3 (3)"),
            ("0:f 1:f 2:w 3:f", "", "error: t: the columns have no names, and column 2 (60 x 8) is between the floats"),
            ("0:f 1:f 2:w 3:f", "2", "series 0..3 (3)"),
            ("0:w 1:l 2:v", "1", "only 2"),
            ("0:f 1:l", "1", "error: t: no vectors: a single column of numbers ('0')"),
        ] {
            let found = outcome(given, None, taken, true);
            assert!(found.starts_with(expected), "{given}: {found}");
        }
    }

    #[test]
    fn a_selector_decides_alone() {
        let wide = "id:w f0:f f1:f name:l f2:f a..b:f e:v tokens:u label:f";
        for (selector, expected) in [
            ("e", "selector e"),
            ("id", "selector id"),
            ("label", "selector label"),
            ("f0..f2", "selector f0..f2 (3)"),
            ("id..f1", "selector id..f1 (3)"),
            ("a..b", "selector a..b"),
            ("f2..a..b", "selector f2, a..b"),
            ("f0..f0", "selector f0"),
            ("name", "error: element type 60 x 8 cannot be used as embeddings"),
            ("tokens", "error: t:tokens: it has 3 axes / pool them"),
            ("f1..f0", "runs backwards: write f0..f1"),
            ("f0..f9", "error: t: no column 'f9'"),
            ("x..f1", "error: t: no column 'x'"),
            ("é..ü", "error: t: no column 'é'"),
            ("id..name", "cannot be used as embeddings"),
            ("f0..e", "cannot be used as embeddings"),
            ("", "error: t: no column ''"),
        ] {
            let found = outcome(wide, Some(selector), "label", false);
            let expected = expected.strip_prefix("error: element").map_or(expected, |_| "element type 60 x 8");
            assert!(found.contains(expected.strip_prefix("error: ").unwrap_or(expected)), "{selector}: {found}");
        }
        let found = outcome("f2:f f0:f other:f f1:f", Some("f0..f2"), "", false);
        assert_eq!(found, "selector f0..f2 (3)");
        let found = outcome("f0:f f1:f f3:f", Some("f0..f3"), "", false);
        assert!(found.contains("the series f0..f3 has 3 columns, its numbers say 4: 'f2' is missing"), "{found}");
    }

    #[test]
    fn names_of_labels_are_known_in_the_plural_and_in_any_case() {
        for name in ["label", "Labels", "CLASS", "classes", "category", "Categories", "scores", "split", "preds"] {
            assert!(is_label_name(name), "{name}");
        }
        for name in ["labelled", "f0", "classy", "", "s"] {
            assert!(!is_label_name(name), "{name}");
        }
    }
}
