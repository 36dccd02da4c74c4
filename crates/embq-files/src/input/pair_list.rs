//! Lists of pairs of rows, one a line: two rows and whether they are of one class, as sets for verification come.

use std::collections::HashMap;

use crate::input::source::{Location, Source};
use embq_core::data::{Label, LabelColumn, Origin, PairList, Trial};
use embq_core::error::{Error, Result};

/// Reads a list of pairs. A line names two rows and says 1 or 0 (or true or false, target or nontarget), at the end or at
/// the beginning; a first line that does not is a header. Fields are separated by tabs, commas or spaces. Rows are named
/// by the values of `names`, one for each row of the embeddings, or by their numbers from 0.
///
/// # Errors
/// A file that cannot be read, and a line that is no pair; the message names it.
pub fn pair_list(spec: &str, names: Option<&LabelColumn>) -> Result<PairList> {
    let location = Location::require(spec)?;
    let path = location.files.first().unwrap_or(&location.path);
    let source = Source::open(path)?.as_text()?;
    parse(&source, names)
}

/// The fields of a line with its number from 1.
type Line = (usize, Vec<String>);

fn parse(source: &Source, names: Option<&LabelColumn>) -> Result<PairList> {
    let mut lines = lines(source)?;
    let is_pair = |(_, fields): &Line| fields.len() == 3 && (verdict(&fields[2]).or(verdict(&fields[0]))).is_some();
    if lines.len() > 1 && lines.first().is_some_and(|line| line.1.len() == 3 && !is_pair(line)) {
        lines.remove(0);
    }
    if let Some((number, fields)) = lines.iter().find(|line| !is_pair(line)) {
        let problem = match fields.len() {
            3 => format!("line {number} says neither 0 nor 1 at its end or beginning"),
            count => format!("line {number} has {count} fields, not 3"),
        };
        let tip = "a line is two rows and 1 (same) or 0 (different), such as 12 340 1";
        return Err(source.malformed(problem, Some(tip.to_owned())));
    }
    // The end counts, unless it does not say 0 or 1 throughout.
    let last = lines.iter().all(|(_, fields)| verdict(&fields[2]).is_some());
    if let Some((number, _)) = lines.iter().find(|(_, fields)| !last && verdict(&fields[0]).is_none()) {
        let problem = format!("line {number} says 0 or 1 at its end, and others at their beginning");
        return Err(source.malformed(problem, Some("write it at the end of every line".to_owned())));
    }
    let places = names.map(places).transpose()?;
    let mut trials = Vec::with_capacity(lines.len());
    for (number, fields) in &lines {
        let (pair, word) = if last { (&fields[..2], &fields[2]) } else { (&fields[1..], &fields[0]) };
        let row = |name: &String| match &places {
            Some(places) => places.get(name.as_str()).copied().ok_or_else(|| {
                source.malformed(format!("line {number}: no row of the embeddings is called '{name}'"), None)
            }),
            None => name.parse().map_err(|_| {
                let problem = format!("line {number}: '{name}' is no row number");
                let tip = "numbers count from 0; --key COLUMN names the column that names the rows";
                source.malformed(problem, Some(tip.to_owned()))
            }),
        };
        trials.push(Trial { rows: [row(&pair[0])?, row(&pair[1])?], is_same: verdict(word) == Some(true) });
    }
    if trials.is_empty() {
        return Err(source.malformed("it has no pairs", None));
    }
    Ok(PairList { origin: Origin::new(source.path.clone()), trials })
}

/// Whether a word says that two rows are of one class.
fn verdict(word: &str) -> Option<bool> {
    match word.to_ascii_lowercase().as_str() {
        "1" | "true" | "target" => Some(true),
        "0" | "false" | "nontarget" => Some(false),
        _ => None,
    }
}

/// The fields of every line that is not blank.
fn lines(source: &Source) -> Result<Vec<Line>> {
    let text = std::str::from_utf8(&source.bytes)
        .map_err(|_| source.malformed("it is not UTF-8 text", Some("save the file as UTF-8".to_owned())))?;
    let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
    let Some(delimiter) = ['\t', ',', ';'].into_iter().find(|delimiter| first.contains(*delimiter)) else {
        let lines = text.lines().zip(1..).filter(|(line, _)| !line.trim().is_empty());
        return Ok(lines
            .map(|(line, number)| (number, line.split_whitespace().map(str::to_owned).collect()))
            .collect());
    };
    let mut reader = csv::ReaderBuilder::new()
        .delimiter(delimiter as u8)
        .has_headers(false)
        .flexible(true)
        .trim(csv::Trim::All)
        .from_reader(text.as_bytes());
    let mut lines = Vec::new();
    for record in reader.records() {
        let record = record.map_err(|error| source.malformed(error.to_string(), None))?;
        let number = record.position().map_or(0, |position| position.line() as usize);
        lines.push((number, record.iter().map(str::to_owned).collect()));
    }
    Ok(lines)
}

/// The row of each name.
fn places(names: &LabelColumn) -> Result<HashMap<String, usize>> {
    let mut places = HashMap::new();
    for row in 0..names.len() {
        let Some(name) = names.get(row).map(Label::to_string) else { continue };
        if let Some(first) = places.insert(name.clone(), row) {
            return Err(Error::Choice {
                path: names.origin().to_string(),
                problem: format!("'{name}' is there twice, in rows {first} and {row}: which of them is meant?"),
                tip: "name a column in which every value is there once".to_owned(),
            });
        }
    }
    Ok(places)
}

#[cfg(test)]
mod tests {
    use super::*;
    use embq_core::data::MappedBytes;

    fn read(text: &str, names: Option<&[&str]>) -> Result<Vec<([usize; 2], bool)>> {
        let names = names.map(|names| LabelColumn::from_labels(names.iter().copied()));
        let source = Source::new("pairs.txt", MappedBytes::from_memory(text.as_bytes().to_vec()));
        let list = parse(&source, names.as_ref())?;
        Ok(list.trials.into_iter().map(|trial| (trial.rows, trial.is_same)).collect())
    }

    #[test]
    fn lists_are_read_as_people_write_them() {
        let expected = vec![([0, 12], true), ([3, 4], false)];
        for text in [
            "0 12 1\n3 4 0\n",
            "0,12,1\r\n3,4,0",
            "0\t12\ttrue\n\n3\t4\tfalse\n",
            "left;right;same\n0;12;1\n3;4;0\n",
            "1 0 12\n0 3 4\n",
            "0 12 target\n3 4 nontarget\n",
        ] {
            assert_eq!(read(text, None).unwrap(), expected, "{text}");
        }
        // Where both ends could be it, the end counts.
        assert_eq!(read("1 0 1\n0 1 0\n", None).unwrap(), [([1, 0], true), ([0, 1], false)]);
    }

    #[test]
    fn rows_have_names_where_there_is_a_key() {
        let names = ["id1/a.wav", "id1/b.wav", "id2, c.wav"];
        let expected = vec![([0, 1], true), ([2, 0], false)];
        for text in [
            "1\tid1/a.wav\tid1/b.wav\n0\tid2, c.wav\tid1/a.wav\n",
            "id1/a.wav,id1/b.wav,1\n\"id2, c.wav\",id1/a.wav,0\n",
        ] {
            assert_eq!(read(text, Some(&names)).unwrap(), expected, "{text}");
        }
        let error = read("id1/a.wav id9/x.wav 1\n", Some(&names)).unwrap_err().to_string();
        assert!(error.contains("line 1: no row of the embeddings is called 'id9/x.wav'"), "{error}");
        let error = read("a b 1\n", Some(&["a", "b", "a"])).unwrap_err().to_string();
        assert!(error.contains("'a' is there twice, in rows 0 and 2"), "{error}");
    }

    #[test]
    fn what_is_no_pair_is_named_by_its_line() {
        for (text, problem) in [
            ("0 1 1\n2 3\n", "line 2 has 2 fields, not 3"),
            ("0 1 1\n\n2 3 7\n", "line 3 says neither 0 nor 1"),
            ("a b 1\n", "line 1: 'a' is no row number"),
            ("0 -1 1\n", "line 1: '-1' is no row number"),
            ("5 7 1\n1 8 9\n", "line 1 says 0 or 1 at its end"),
            ("Abel Pacheco 1 4\n", "line 1 has 4 fields"),
            ("\n \n", "it has no pairs"),
        ] {
            let error = read(text, None).unwrap_err().to_string();
            assert!(error.contains(problem), "{text}: {error}");
        }
    }
}
