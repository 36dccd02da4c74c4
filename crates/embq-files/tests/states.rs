//! States of parts as files: written and read back, and damaged at random, with a fixed seed.

use std::panic::{self, AssertUnwindSafe};

use embq_core::Settings;
use embq_core::data::RowChoice;
use embq_core::metrics::{METRICS, Selection};
use embq_core::partial::{Influence, Kept, Moments, PartRows, Scores, StateTable};
use embq_core::progress::NoProgress;
use embq_files::input::state::from_bytes;
use embq_files::output::state::write;
use ndarray::Array2;

/// Damaged copies of each state.
const ROUNDS: u64 = 2_000;

fn states() -> (Moments, Scores, Influence) {
    let rows = Array2::from_shape_fn((12, 3), |(i, k)| ((i * 7 + k * 5) % 11) as f64 + 0.5);
    let part = PartRows::new(rows, (0..12).map(|row| format!("class {}", row % 3)));
    let metrics = METRICS.iter().filter(|metric| metric.merges_from().is_some());
    let settings = Settings { metrics: Selection::from_iter(metrics), ..Settings::default() };
    let moments = Moments::of_part(&part, &settings, &RowChoice::default(), &NoProgress).unwrap();
    let kept = Kept { intervals: true, ..Kept::default() };
    let scores = Scores::of_part(&part, &moments, kept, &NoProgress).unwrap().0;
    let influence = Influence::of_part(&part, &moments, &scores, &NoProgress).unwrap();
    (moments, scores, influence)
}

fn bytes_of(table: &StateTable) -> Vec<u8> {
    let mut bytes = Vec::new();
    write(table.clone(), &mut bytes).unwrap();
    bytes
}

#[test]
fn states_read_back_as_they_were_written() {
    let (moments, scores, influence) = states();
    let table = moments.to_table().unwrap();
    let read = from_bytes("p.arrow", bytes_of(&table)).unwrap();
    assert_eq!(read, table);
    assert_eq!(Moments::from_table(read, "p.arrow").unwrap(), moments);
    let table = scores.to_table().unwrap();
    let read = from_bytes("s.arrow", bytes_of(&table)).unwrap();
    assert_eq!(read, table);
    assert_eq!(Scores::from_table(read, "s.arrow").unwrap(), scores);
    let table = influence.to_table().unwrap();
    let read = from_bytes("i.arrow", bytes_of(&table)).unwrap();
    assert_eq!(read, table);
    assert_eq!(Influence::from_table(read, "i.arrow").unwrap(), influence);
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % bound.max(1) as u64) as usize
    }
}

/// Changes some bytes: bits, numbers that are too large, a lost end.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    for _ in 0..=random.below(3) {
        let length = bytes.len();
        // Half of them at the end, where the footer is.
        let at = if random.below(2) == 0 { random.below(length) } else { length - 1 - random.below(length.min(3000)) };
        match random.below(5) {
            0 => bytes[at] ^= 1 << random.below(8),
            1 => bytes[at] = random.below(256) as u8,
            2 => bytes[at..].iter_mut().take(4).for_each(|byte| *byte = 0xff),
            3 => bytes[at..].iter_mut().take(8).for_each(|byte| *byte = 0),
            _ if random.below(10) == 0 => bytes.truncate(at.max(1)),
            _ => bytes[at] = bytes[at].wrapping_add(1),
        }
    }
}

#[test]
fn damaged_states_are_refused_or_as_they_were() {
    let (moments, scores, influence) = states();
    let tables = [moments.to_table(), scores.to_table(), influence.to_table()].map(Result::unwrap);
    let hook = panic::take_hook();
    // Panics of the decoder that the reader catches are none of a test's.
    panic::set_hook(Box::new(|_| {}));
    let mut failures = Vec::new();
    let mut refused = 0;
    for round in 1..=ROUNDS {
        for (number, table) in tables.iter().enumerate() {
            let mut random = Random(0x9e37_79b9_7f4a_7c15 ^ (round << 8) ^ number as u64);
            let mut bytes = bytes_of(table);
            damage(&mut bytes, &mut random);
            let read = || match from_bytes("state.arrow", bytes.clone()) {
                Ok(read) if read == *table => Ok(true),
                // Another table has another checksum.
                Ok(_) => Err("read as another state".to_owned()),
                Err(error) if error.to_string().starts_with("state.arrow") => Ok(false),
                Err(error) => Err(error.to_string()),
            };
            match panic::catch_unwind(AssertUnwindSafe(read)) {
                Ok(Ok(same)) => refused += u64::from(!same),
                Ok(Err(problem)) => failures.push(format!("round {round}: {problem}")),
                Err(_) => failures.push(format!("round {round}: panicked")),
            }
        }
    }
    panic::set_hook(hook);
    assert!(failures.is_empty(), "{failures:#?}");
    assert!(refused > ROUNDS, "{refused}");
}

#[test]
fn tables_that_contradict_themselves_are_refused() {
    // With their own checksum, so that nothing but their content speaks against them.
    let (moments, scores, influence) = states();
    let mut random = Random(7);
    for table in [moments.to_table(), scores.to_table(), influence.to_table()].map(Result::unwrap) {
        for _ in 0..300 {
            let columns = table.columns().map(|(name, column)| (name.to_owned(), column.clone()));
            let mut columns: Vec<_> = columns.collect();
            let (left, right) = (random.below(columns.len()), random.below(columns.len()));
            // Columns under each other's names, of other types and lengths.
            let swapped = columns[left].1.clone();
            columns[left].1 = std::mem::replace(&mut columns[right].1, swapped);
            let header = match random.below(3) {
                0 => table.header_text().replace("\"rows\":12", "\"rows\":13"),
                1 => table.header_text().replace("\"dimensions\":3", "\"dimensions\":0"),
                _ => table.header_text().to_owned(),
            };
            let Ok(changed) = StateTable::of_columns(header, columns, "state.arrow") else { continue };
            if let Ok(read) = from_bytes("state.arrow", bytes_of(&changed)) {
                let _ = Moments::from_table(read.clone(), "state.arrow");
                let _ = Influence::from_table(read.clone(), "state.arrow");
                let _ = Scores::from_table(read, "state.arrow");
            }
        }
    }
}
