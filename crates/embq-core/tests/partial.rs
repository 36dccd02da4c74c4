//! Parts of a set of rows, in any partitioning and merged in any order: the numbers are those of all rows at once.

mod common;

use common::random::Random;
use embq_core::data::{EmbeddingRows, Origin, Precision, RowChoice};
use embq_core::evaluation::{RowScores, Scored};
use embq_core::metrics::{Clustering, METRICS, Metric, Selection, StateKind};
use embq_core::partial::{Influence, Kept, Moments, PartRows, Scores, StateTable};
use embq_core::progress::NoProgress;
use embq_core::{Dataset, Distance, Evaluator, Settings};
use ndarray::{Array2, Axis};

/// Random partitionings and trees of merging.
const TRIALS: u64 = 200;

const WITH_ROWS: Kept = Kept { rows: true, intervals: false };
const WITH_INTERVALS: Kept = Kept { rows: false, intervals: true };

fn mergeable() -> Selection {
    METRICS.iter().filter(|metric| metric.merges_from().is_some()).collect()
}

fn settings(distance: Distance) -> Settings {
    Settings { distance, metrics: mergeable(), ..Settings::default() }
}

/// Rows with their labels, in parts.
struct Set {
    rows: Array2<f64>,
    labels: Vec<String>,
    /// The part of each row.
    parts: Vec<usize>,
    count: usize,
}

impl Set {
    /// A set in random parts: many or few, empty ones, single rows, classes of one part, a class of a single row.
    fn random(random: &mut Random) -> Self {
        let (n, d, classes) = (20 + random.below(120), 1 + random.below(20), 2 + random.below(7));
        let centres = random.normals(classes, d);
        let noise = random.normals(n, d);
        let spread = [0.05, 0.5, 2.0][random.below(3)];
        let offset = [0.0, 3.0, 1e3][random.below(3)];
        let class: Vec<usize> = (0..n).map(|row| if row < classes { row } else { random.below(classes) }).collect();
        let count = [1, 2, 5, 17, n][random.below(5)];
        let by_class = random.below(3) == 0;
        let skewed = random.below(2) == 0;
        let parts = (0..n).map(|row| match () {
            () if count == n => row,
            () if by_class => class[row] % count,
            () if skewed => {
                let bound = 1 + random.below(count);
                random.below(bound)
            }
            () => random.below(count),
        });
        let parts = parts.collect();
        let mut rows = Array2::from_shape_fn((n, d), |(i, k)| offset + centres[[class[i], k]] + spread * noise[[i, k]]);
        // Some rows are there twice, in other parts or in the same.
        for copy in 0..random.below(4) {
            let (from, to) = (random.below(n), n - 1 - copy);
            let row = rows.row(from).to_owned();
            rows.row_mut(to).assign(&row);
        }
        Set { rows, labels: class.iter().map(|class| format!("class {class}")).collect(), parts, count }
    }

    fn part(&self, part: usize) -> PartRows<'static> {
        let members = self.members(part);
        let labels = members.iter().map(|&row| self.labels[row].as_str());
        // Parts may hold the same rows.
        PartRows::new(self.rows.select(Axis(0), &members), labels).named(format!("{part:03}"))
    }

    fn members(&self, part: usize) -> Vec<usize> {
        (0..self.labels.len()).filter(|&row| self.parts[row] == part).collect()
    }

    fn all_parts(&self) -> Vec<PartRows<'static>> {
        (0..self.count).map(|part| self.part(part)).collect()
    }

    fn whole(&self, settings: &Settings) -> Scored {
        let dataset = Dataset::new(&self.rows, &self.labels).unwrap();
        Evaluator::new(settings).evaluate(&dataset).unwrap()
    }
}

/// Merges in a random order and tree.
fn merged<S>(mut states: Vec<S>, random: &mut Random, merge: impl Fn(&mut S, S)) -> S {
    while states.len() > 1 {
        let taken = states.swap_remove(random.below(states.len()));
        let place = random.below(states.len());
        merge(&mut states[place], taken);
    }
    states.pop().unwrap()
}

/// Through a table and back.
fn stored(table: &StateTable) -> StateTable {
    let columns = table.columns().map(|(name, column)| (name.to_owned(), column.clone())).collect();
    StateTable::of_stored(table.header_text().to_owned(), columns, &table.checksum(), "state").unwrap()
}

fn moments_of(parts: &[PartRows<'_>], settings: &Settings, random: &mut Random) -> Moments {
    let of = |part: &PartRows<'_>| {
        let moments = Moments::of_part(part, settings, &RowChoice::default(), &NoProgress).unwrap();
        Moments::from_table(stored(&moments.to_table().unwrap()), "state").unwrap()
    };
    let moments = merged(parts.iter().map(of).collect(), random, |left, right| left.merge(right).unwrap());
    Moments::from_table(stored(&moments.to_table().unwrap()), "state").unwrap()
}

#[track_caller]
fn assert_close(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() <= 1e-12 * expected.abs().max(0.1), "{what}: {found} is not {expected}");
}

fn assert_same(merged: &Scored, whole: &Scored, what: &str) {
    let (merged, whole) = (&merged.evaluation, &whole.evaluation);
    assert_eq!(merged.metrics.keys().collect::<Vec<_>>(), whole.metrics.keys().collect::<Vec<_>>(), "{what}");
    for (name, &expected) in &whole.metrics {
        match (merged.metrics[name], expected) {
            (Some(found), Some(expected)) => assert_close(found, expected, &format!("{what}: {name}")),
            (found, expected) => assert_eq!(found, expected, "{what}: {name}"),
        }
    }
    assert_eq!(merged.warnings, whole.warnings, "{what}");
    assert_eq!(merged.undefined_classes, whole.undefined_classes);
    assert_eq!(merged.class_count(), whole.class_count());
    assert_eq!(merged.inputs[0].rows, whole.inputs[0].rows);
    for (found, expected) in merged.classes.iter().zip(&whole.classes) {
        assert_eq!((&found.label, found.count), (&expected.label, expected.count));
        assert_eq!(found.nearest_class, expected.nearest_class, "{what}");
        for metric in METRICS.iter().filter_map(|metric| expected.value(metric.id).map(|value| (metric.id, value))) {
            match (found.value(metric.0).flatten(), metric.1) {
                (Some(found), Some(expected)) => assert_close(found, expected, &format!("{what}: {}", metric.0)),
                (found, expected) => assert_eq!(found, expected, "{what}: {}", metric.0),
            }
        }
        let confused = |class: &embq_core::evaluation::ClassEvaluation| -> Vec<(String, f64)> {
            class.confused_with.iter().map(|other| (other.label.clone(), other.share)).collect()
        };
        assert_eq!(confused(found), confused(expected), "{what}");
    }
}

fn assert_same_rows(found: &RowScores, members: &[usize], whole: &RowScores, what: &str) {
    for (index, &row) in members.iter().enumerate() {
        let own = [found.b[index], found.silhouette[index], found.soft_silhouette[index]];
        let expected = [whole.b[row], whole.silhouette[row], whole.soft_silhouette[row]];
        for (found, expected) in own.into_iter().zip(expected) {
            assert_close(found, expected, &format!("{what}, row {row}"));
        }
        assert_eq!(found.nearest_other[index], whole.nearest_other[row], "{what}, row {row}");
        match (found.a[index], whole.a[row]) {
            (Some(found), Some(expected)) => assert_close(found, expected, what),
            (found, expected) => assert_eq!(found, expected, "{what}, row {row}"),
        }
    }
}

#[test]
fn any_parts_merged_in_any_order_give_the_numbers_of_the_whole() {
    for trial in 0..TRIALS {
        let random = &mut Random::new(trial + 1);
        let set = Set::random(random);
        let distance = [Distance::Cosine, Distance::SqEuclidean][random.below(2)];
        let settings = settings(distance);
        let what = format!("trial {trial}, {distance}, {} rows in {} parts", set.labels.len(), set.count);
        let whole = set.whole(&settings);
        let parts = set.all_parts();
        let moments = moments_of(&parts, &settings, random);
        assert_eq!((moments.rows(), moments.classes()), (set.labels.len(), whole.evaluation.class_count()));
        let mut scores = Vec::new();
        for (number, part) in parts.iter().enumerate() {
            let (state, rows) = Scores::of_part(part, &moments, WITH_ROWS, &NoProgress).unwrap();
            assert_same_rows(&rows.unwrap().1, &set.members(number), &whole.rows, &what);
            scores.push(Scores::from_table(stored(&state.to_table().unwrap()), "state").unwrap());
        }
        let scores = merged(scores, random, |left, right| left.merge(right).unwrap());
        let scores = Scores::from_table(stored(&scores.to_table().unwrap()), "state").unwrap();
        let found = scores.finish(&moments, true).unwrap();
        assert_same(&found, &whole, &what);
        let matrix = Evaluator::new(&Settings { matrix: true, ..settings })
            .evaluate(&Dataset::new(&set.rows, &set.labels).unwrap())
            .unwrap()
            .matrix
            .unwrap();
        for (found, expected) in found.matrix.unwrap().iter().zip(&matrix) {
            match (found, expected) {
                (Some(found), Some(expected)) => assert_close(*found, *expected, &what),
                (found, expected) => assert_eq!(found, expected, "{what}"),
            }
        }
    }
}

/// All three passes over parts.
fn with_intervals(parts: &[PartRows<'_>], settings: &Settings, random: &mut Random) -> Scored {
    let moments = moments_of(parts, settings, random);
    let score = |part: &PartRows<'_>| {
        let scores = Scores::of_part(part, &moments, WITH_INTERVALS, &NoProgress).unwrap().0;
        Scores::from_table(stored(&scores.to_table().unwrap()), "state").unwrap()
    };
    let scores = merged(parts.iter().map(score).collect(), random, |left, right| left.merge(right).unwrap());
    let influence = |part: &PartRows<'_>| {
        let influence = Influence::of_part(part, &moments, &scores, &NoProgress).unwrap();
        let read = Influence::from_table(stored(&influence.to_table().unwrap()), "state").unwrap();
        assert_eq!(read, influence);
        read
    };
    let influence = merged(parts.iter().map(influence).collect(), random, |left, right| left.merge(right).unwrap());
    influence.finish(&scores, &moments, false).unwrap()
}

/// Standard errors and the ends of intervals by name, of classes too; the latter as they would be without draws.
fn uncertainties(scored: &Scored) -> Vec<(String, f64)> {
    let evaluation = &scored.evaluation;
    let mut found: Vec<(String, f64)> =
        evaluation.standard_errors.iter().map(|(name, error)| (name.clone(), *error)).collect();
    for class in &evaluation.classes {
        for (kind, known) in [("", class.silhouette_uncertainty), ("soft ", class.soft_silhouette_uncertainty)] {
            let Some(known) = known else { continue };
            let [low, high] = known.interval;
            let numbers = [
                ("error", known.standard_error),
                ("deviation", known.deviation.unwrap_or(-1.0)),
                ("low", low),
                ("high", high),
            ];
            found.extend(numbers.map(|(what, number)| (format!("{}: {kind}{what}", class.label), number)));
        }
    }
    found
}

#[test]
fn intervals_of_parts_have_the_standard_errors_of_the_whole() {
    for trial in 0..TRIALS {
        let random = &mut Random::new(1000 + trial);
        let set = Set::random(random);
        let distance = [Distance::Cosine, Distance::SqEuclidean][random.below(2)];
        let what = format!("trial {trial}, {distance}, {} rows in {} parts", set.labels.len(), set.count);
        // NC1 loses digits where class means nearly depend on each other, and has no interval.
        let metrics = METRICS.iter().filter(|metric| metric.merges_from().is_some() && metric.id != "nc1").collect();
        let settings = Settings { metrics, ..settings(distance) };
        let whole = set.whole(&Settings { intervals: true, class_intervals: None, ..settings.clone() });
        let one = with_intervals(&[PartRows::new(&set.rows, &set.labels)], &settings, random);
        let parts = with_intervals(&set.all_parts(), &settings, random);
        assert_same(&parts, &whole, &what);
        let [expected, one, found] = [&whole, &one, &parts].map(uncertainties);
        assert!(expected.len() > 12, "{what}: {expected:?}");
        assert_eq!((one.len(), found.len()), (expected.len(), expected.len()), "{what}");
        for (((name, expected), (_, one)), (other, found)) in expected.iter().zip(&one).zip(&found) {
            assert_eq!(name, other, "{what}");
            assert!(
                (one - expected).abs() <= 1e-9 * expected.abs().max(0.01),
                "{what}, {name}: {one} is not {expected}"
            );
            assert!((found - one).abs() <= 1e-12 * one.abs().max(0.1), "{what}, {name}: {found} is not {one}");
        }
        let evaluation = &parts.evaluation;
        assert_eq!(evaluation.interval_method, Some(embq_core::evaluation::IntervalMethod::StandardErrors));
        assert_eq!(
            evaluation.intervals.keys().collect::<Vec<_>>(),
            whole.evaluation.intervals.keys().collect::<Vec<_>>()
        );
        let [low, high] = evaluation.intervals["silhouette"];
        let value = parts.metric("silhouette").unwrap();
        let half = 1.959_963_984_540_054 * evaluation.standard_errors["silhouette"];
        assert!((value - half - low).abs() < 1e-12 && (value + half - high).abs() < 1e-12, "{low} {high}");
    }
}

#[test]
fn pieces_and_parts_without_rows_have_the_same_intervals() {
    let mut random = Random::new(77);
    for trial in 0..20 {
        let set = Set::random(&mut random);
        let settings = Settings::default();
        let piece = |part: usize| {
            let members = set.members(part);
            match members.len() {
                0 => PartRows::empty(Origin::new("frame"), Origin::new("label")),
                _ => PartRows::new(
                    set.rows.select(Axis(0), &members),
                    members.iter().map(|&row| set.labels[row].as_str()),
                ),
            }
        };
        let pieces: Vec<PartRows<'_>> = (0..set.count).map(piece).collect();
        let mut moments = Moments::of_part(&pieces[0], &settings, &RowChoice::default(), &NoProgress).unwrap();
        for piece in &pieces[1..] {
            moments.join(Moments::of_part(piece, &settings, &RowChoice::default(), &NoProgress).unwrap()).unwrap();
        }
        let scored = |piece| Scores::of_piece(piece, &moments, WITH_INTERVALS, &NoProgress).unwrap().0;
        let mut scores = scored(&pieces[0]);
        pieces[1..].iter().for_each(|piece| scores.join(scored(piece)).unwrap());
        let of = |piece| Influence::of_piece(piece, &moments, &scores, &NoProgress).unwrap();
        let mut influence = of(&pieces[0]);
        pieces[1..].iter().for_each(|piece| influence.join(of(piece)).unwrap());
        let found = uncertainties(&influence.finish(&scores, &moments, false).unwrap());
        let expected = uncertainties(&set.whole(&Settings { intervals: true, class_intervals: None, ..settings }));
        for ((name, found), (other, expected)) in found.iter().zip(&expected) {
            assert_eq!(name, other);
            assert!((found - expected).abs() <= 1e-9 * expected.abs().max(0.01), "trial {trial}, {name}");
        }
        assert_eq!(found.len(), expected.len());
    }
}

#[test]
fn intervals_of_many_classes_are_left_out_with_a_warning() {
    // 64 classes of 3 rows in 600 dimensions: 64 x 64 x 600 sums.
    let random = &mut Random::new(64);
    let rows = random.normals(192, 600);
    let labels: Vec<usize> = (0..192).map(|row| row % 64).collect();
    let scored = with_intervals(&[PartRows::new(&rows, &labels)], &Settings::default(), random);
    let warning = "the 64 classes have no intervals of their own, which would take 64 sums for each of them";
    assert!(scored.evaluation.warnings.iter().any(|known| known == warning), "{:?}", scored.evaluation.warnings);
    assert_eq!(scored.evaluation.classes[3].silhouette_uncertainty, None);
    let settings = Settings { intervals: true, ..Settings::default() };
    let whole = Evaluator::new(&settings).evaluate(&Dataset::new(&rows, &labels).unwrap()).unwrap();
    for (name, expected) in &whole.evaluation.standard_errors {
        assert!((scored.evaluation.standard_errors[name] - expected).abs() < 1e-11, "{name}");
    }
}

#[test]
fn intervals_of_float32_rows_are_close_to_those_of_the_whole() {
    let random = &mut Random::new(70);
    let (n, d) = (600, 32);
    let rows = random.normals(n, d).mapv(|value| value as f32 + 5.0);
    let labels: Vec<usize> = (0..n).map(|row| row % 6).collect();
    for distance in [Distance::Cosine, Distance::SqEuclidean] {
        let settings = Settings { distance, ..Settings::default() };
        let part = |start: usize, end: usize| {
            PartRows::new(rows.slice(ndarray::s![start..end, ..]), labels[start..end].iter())
        };
        let found = with_intervals(&[part(0, 100), part(100, 101), part(101, 600)], &settings, random);
        let settings = Settings { intervals: true, ..settings };
        let whole = Evaluator::new(&settings).evaluate(&Dataset::new(&rows, &labels).unwrap()).unwrap();
        for (name, expected) in &whole.evaluation.standard_errors {
            let found = found.evaluation.standard_errors[name];
            assert!((found - expected).abs() <= 1e-5 * expected, "{distance} {name}: {found} {expected}");
        }
    }
}

#[test]
fn influence_that_does_not_belong_together_is_refused() {
    let set = Set { count: 2, parts: (0..30).map(|row| row / 15).collect(), ..Set::of_rows(30) };
    let own = settings(Distance::Cosine);
    let parts = set.all_parts();
    let random = &mut Random::new(3);
    let moments = moments_of(&parts, &own, random);
    let score = |part: &PartRows<'_>, kept| Scores::of_part(part, &moments, kept, &NoProgress).unwrap().0;
    let mut scores = score(&parts[0], WITH_INTERVALS);
    let (problem, tip) = refused(Influence::of_part(&parts[0], &moments, &scores, &NoProgress));
    assert_eq!(problem, "the scores of 1 of 2 parts are missing: embeddings ('001')");
    assert_eq!(tip, "make the scores of every part that the moments are of");
    let (problem, _) = refused(scores.clone().merge(score(&parts[1], Kept::default())));
    assert!(problem.ends_with("differ in intervals: true and false"), "{problem}");
    scores.merge(score(&parts[1], WITH_INTERVALS)).unwrap();
    let mut plain = score(&parts[0], Kept::default());
    plain.merge(score(&parts[1], Kept::default())).unwrap();
    let (problem, tip) = refused(Influence::of_part(&parts[0], &moments, &plain, &NoProgress));
    assert_eq!(problem, "the scores do not hold the sums that intervals follow from");
    assert_eq!(tip, "score all parts again, with intervals");

    let influence = |part| Influence::of_part(part, &moments, &scores, &NoProgress).unwrap();
    let mut first = influence(&parts[0]);
    let (problem, _) = refused(first.clone().merge(influence(&parts[0])));
    assert_eq!(problem, "embeddings ('000'): the same part would count twice");
    let (problem, tip) = refused(first.finish(&scores, &moments, false));
    assert_eq!(problem, "the influence of 1 of 2 parts is missing: embeddings ('001')");
    assert_eq!(tip, "make the influence of every part that the moments are of");
    let (problem, _) = refused(first.finish(&plain, &moments, false));
    assert_eq!(problem, "the influence was found with other moments or scores than these");
    let other_moments =
        moments_of(&parts, &Settings { temperature: embq_core::Temperature::Value(0.2), ..own.clone() }, random);
    let (problem, _) = refused(Influence::of_part(&parts[0], &other_moments, &scores, &NoProgress));
    assert_eq!(problem, "the scores were made with other moments than these");
    let (problem, _) = refused(first.finish(&scores, &other_moments, false));
    assert_eq!(problem, "the influence was found with other moments or scores than these");
    let changed =
        PartRows::new(&set.rows.slice(ndarray::s![..15, ..]) + 1.0, set.labels[..15].iter().map(String::as_str));
    let (problem, _) = refused(Influence::of_part(&changed.named("000"), &moments, &scores, &NoProgress));
    assert_eq!(problem, "embeddings ('000'): its rows or labels are not those that the moments are of");
    let table = first.to_table().unwrap();
    assert_eq!(
        Scores::from_table(table.clone(), "i.arrow").unwrap_err().to_string(),
        "i.arrow holds influence, not scores"
    );
    let columns: Vec<_> = table.columns().map(|(name, column)| (name.to_owned(), column.clone())).collect();
    for missing in 0..2 {
        let mut columns = columns.clone();
        columns.remove(missing);
        let table = StateTable::of_columns(table.header_text().to_owned(), columns, "i.arrow").unwrap();
        assert!(Influence::from_table(table, "i.arrow").is_err());
    }
    // Nothing that has an interval.
    let without = Settings { metrics: Selection::parse(["nc4"]).unwrap(), ..own };
    let moments = moments_of(&parts, &without, random);
    let (problem, _) = refused(Scores::of_part(&parts[0], &moments, WITH_INTERVALS, &NoProgress));
    assert_eq!(problem, "none of the metrics has an interval");
    first.merge(influence(&parts[1])).unwrap();
    assert!(first.finish(&scores, &moments_of(&parts, &settings(Distance::Cosine), random), false).is_ok());
}

#[test]
fn pieces_in_any_order_are_one_part() {
    let mut random = Random::new(29);
    for trial in 0..TRIALS / 4 {
        let set = Set::random(&mut random);
        // NC1 inverts the covariance of the class means, which loses digits where these nearly depend on each other.
        let metrics = METRICS.iter().filter(|metric| metric.merges_from().is_some() && metric.id != "nc1").collect();
        let settings = Settings { metrics, ..settings([Distance::Cosine, Distance::SqEuclidean][trial as usize % 2]) };
        let what = format!("trial {trial}");
        let whole = set.whole(&settings);
        // Pieces of an engine have no names, and two of them may hold the same rows.
        let piece = |part: usize| {
            let members = set.members(part);
            let labels = members.iter().map(|&row| set.labels[row].as_str());
            match members.len() {
                0 => PartRows::empty(Origin::new("frame"), Origin::new("label")),
                _ => PartRows::new(set.rows.select(Axis(0), &members), labels),
            }
        };
        let moments_of = |part| {
            let moments = Moments::of_part(&piece(part), &settings, &RowChoice::default(), &NoProgress).unwrap();
            Moments::from_table(stored(&moments.to_table().unwrap()), "state").unwrap()
        };
        let states = (0..set.count).map(moments_of).collect();
        let moments = merged(states, &mut random, |left: &mut Moments, right| left.join(right).unwrap());
        assert_eq!((moments.parts().len(), moments.rows()), (1, set.labels.len()), "{what}");
        // Other pieces in the second pass.
        let reversed = Set { parts: set.parts.iter().map(|part| part / 2).collect(), ..set };
        let set = &reversed;
        let piece = |part: usize| {
            let members = set.members(part);
            let labels = members.iter().map(|&row| set.labels[row].as_str());
            PartRows::new(set.rows.select(Axis(0), &members), labels)
        };
        let scores_of = |part| Scores::of_piece(&piece(part), &moments, Kept::default(), &NoProgress).unwrap().0;
        let mut states: Vec<Scores> = (0..set.count.div_ceil(2)).map(scores_of).collect();
        let nothing = PartRows::empty(Origin::new("frame"), Origin::new("label"));
        states.push(Scores::of_piece(&nothing, &moments, WITH_ROWS, &NoProgress).unwrap().0);
        let left_out = states[0].clone();
        let scores = merged(states, &mut random, |left, right| left.join(right).unwrap());
        let found = scores.finish(&moments, false).unwrap();
        assert_same(&found, &whole, &what);
        if set.count > 2 && left_out.parts()[0].rows > 0 && left_out.parts()[0].rows < moments.rows() as u64 {
            let problem = refused(left_out.finish(&moments, false)).0;
            assert!(problem.starts_with("the scores of 1 of 1 parts are missing"), "{problem}");
        }
    }
}

#[test]
fn only_pieces_of_one_part_are_joined() {
    let set = Set::of_rows(30);
    let settings = settings(Distance::Cosine);
    let of = |part: &PartRows<'_>| Moments::of_part(part, &settings, &RowChoice::default(), &NoProgress).unwrap();
    let rows = |range: std::ops::Range<usize>| {
        PartRows::new(set.rows.slice(ndarray::s![range.clone(), ..]), set.labels[range].iter().map(String::as_str))
    };
    let mut named = of(&rows(0..10).named("a"));
    named.join(of(&rows(10..20).named("a"))).unwrap();
    assert_eq!((named.parts()[0].id.as_str(), named.parts()[0].rows), ("a", 20));
    let (problem, tip) = refused(named.join(of(&rows(20..30).named("b"))));
    assert_eq!(problem, "embeddings ('a') and embeddings ('b') are not pieces of one part");
    assert_eq!(tip, "give the pieces of a part the name of the part");
    let mut several = of(&rows(0..10));
    several.merge(of(&rows(10..20))).unwrap();
    assert_eq!(refused(several.join(of(&rows(20..30)))).0, "a state of several parts is not a piece of one");
    // Whatever the pieces, the part has one identity, and its labels one hash.
    let joined = |cuts: &[usize]| {
        let mut joined = of(&rows(0..cuts[0]));
        cuts.windows(2).for_each(|ends| joined.join(of(&rows(ends[0]..ends[1]))).unwrap());
        joined
    };
    let (two, three) = (joined(&[7, 30]), joined(&[11, 12, 30]));
    assert_eq!(two.parts()[0].content, of(&rows(0..30)).parts()[0].content);
    let hash = |moments: &Moments| {
        let scores = Scores::of_piece(&rows(0..30), moments, Kept::default(), &NoProgress).unwrap().0;
        scores.finish(moments, false).unwrap().evaluation.labels.unwrap().blake3
    };
    assert_eq!((two.parts(), hash(&two)), (three.parts(), hash(&three)));
}

#[test]
fn a_part_without_rows_says_nothing_of_their_shape() {
    let set = Set::of_rows(30);
    let settings = Settings { precision: Some(Precision::F32), ..settings(Distance::Cosine) };
    let of = |part: &PartRows<'_>| Moments::of_part(part, &settings, &RowChoice::default(), &NoProgress).unwrap();
    let nothing = PartRows::empty(Origin::new("part"), Origin::new("label"));
    let rows = set.rows.mapv(|value| value as f32);
    let part = PartRows::new(&rows, &set.labels);
    let mut moments = of(&nothing);
    let read_back = Moments::from_table(stored(&moments.to_table().unwrap()), "state").unwrap();
    assert_eq!(moments, read_back);
    moments.merge(of(&part)).unwrap();
    let mut other = of(&part);
    other.merge(read_back).unwrap();
    assert_eq!((moments.settings(), moments.rows()), (other.settings(), 30));
    assert_eq!(moments.settings().dimensions, rows.ncols());
    let mut scores = Scores::of_part(&nothing, &moments, Kept::default(), &NoProgress).unwrap().0;
    scores.merge(Scores::of_part(&part, &moments, Kept::default(), &NoProgress).unwrap().0).unwrap();
    let whole = Evaluator::new(&settings).evaluate(&Dataset::new(&rows, &set.labels).unwrap()).unwrap();
    assert_eq!(scores.finish(&moments, false).unwrap().evaluation.metrics, whole.evaluation.metrics);
    let error = refused(of(&nothing).finish()).0;
    assert!(error.contains("is made of the scores of rows"), "{error}");
    let error = refused(Scores::of_part(&nothing, &of(&nothing), Kept::default(), &NoProgress)).0;
    assert_eq!(error, "label: a silhouette needs at least 2 classes, found 0 in 0 rows");
}

#[test]
fn one_part_has_the_labels_of_the_whole_and_several_the_same_in_any_order() {
    let set = Set { count: 2, parts: (0..40).map(|row| row % 2).collect(), ..Set::of_rows(40) };
    let settings = settings(Distance::Cosine);
    let random = &mut Random::new(1);
    let labels = |parts: &[PartRows<'_>], random: &mut Random| {
        let moments = moments_of(parts, &settings, random);
        let scores: Vec<Scores> =
            parts.iter().map(|part| Scores::of_part(part, &moments, Kept::default(), &NoProgress).unwrap().0).collect();
        let scores = merged(scores, random, |left, right| left.merge(right).unwrap());
        scores.finish(&moments, false).unwrap().evaluation.labels.unwrap().blake3
    };
    let one = [PartRows::new(&set.rows, &set.labels)];
    assert_eq!(labels(&one, random), set.whole(&settings).evaluation.labels.unwrap().blake3);
    let [first, second] = [set.part(0), set.part(1)];
    assert_eq!(labels(&[first.clone(), second.clone()], random), labels(&[second, first], random));
}

impl Set {
    fn of_rows(n: usize) -> Self {
        let random = &mut Random::new(n as u64);
        let rows = random.normals(n, 3);
        let labels = (0..n).map(|row| format!("class {}", row % 3)).collect();
        Set { rows, labels, parts: vec![0; n], count: 1 }
    }
}

#[test]
fn float32_products_keep_their_bounds() {
    let random = &mut Random::new(7);
    let (n, d) = (600, 32);
    let rows = random.normals(n, d).mapv(|value| value as f32 + 5.0);
    let labels: Vec<usize> = (0..n).map(|row| row % 6).collect();
    for distance in [Distance::Cosine, Distance::SqEuclidean] {
        let settings = settings(distance);
        let whole = Evaluator::new(&settings).evaluate(&Dataset::new(&rows, &labels).unwrap()).unwrap();
        let part = |start: usize, end: usize| {
            PartRows::new(rows.slice(ndarray::s![start..end, ..]), labels[start..end].iter())
        };
        let parts = [part(0, 100), part(100, 101), part(101, 600)];
        let moments = moments_of(&parts, &settings, random);
        let mut scores = Vec::new();
        for (part, start) in parts.iter().zip([0, 100, 101]) {
            let (state, scored) = Scores::of_part(part, &moments, WITH_ROWS, &NoProgress).unwrap();
            let scored = scored.unwrap().1;
            for (index, found) in scored.silhouette.iter().enumerate() {
                assert!((found - whole.rows.silhouette[start + index]).abs() <= 4e-6, "{distance}");
            }
            scores.push(state);
        }
        let merged = merged(scores, random, |left, right| left.merge(right).unwrap());
        let merged = merged.finish(&moments, false).unwrap();
        for (name, expected) in &whole.evaluation.metrics {
            let (found, expected) = (merged.evaluation.metrics[name].unwrap(), expected.unwrap());
            assert!(
                (found - expected).abs() <= 2e-6 * expected.abs().max(1.0),
                "{distance} {name}: {found} {expected}"
            );
        }
    }
}

#[test]
fn classes_may_be_missing_from_parts_and_from_the_choice_of_rows() {
    let rows = ndarray::array![[1.0, 0.1], [1.0, 0.3], [0.2, 1.0], [0.4, 1.0], [3.0, 3.0], [-1.0, 0.0]];
    let labels = ["a", "a", "b", "b", "noise", "c"];
    let choice = RowChoice { exclude: vec!["c".into()], ignore_labels: vec!["noise".into()], ..Default::default() };
    let settings = settings(Distance::SqEuclidean);
    let part = |start: usize, end: usize| {
        PartRows::new(rows.slice(ndarray::s![start..end, ..]), labels[start..end].iter().copied())
    };
    // A part without a row that takes part among them.
    let parts = [part(0, 3), part(3, 4), part(4, 6)];
    let of = |part| Moments::of_part(part, &settings, &choice, &NoProgress).unwrap();
    let mut moments = of(&parts[0]);
    parts[1..].iter().for_each(|part| moments.merge(of(part)).unwrap());
    let mut scores = Scores::of_part(&parts[2], &moments, Kept::default(), &NoProgress).unwrap().0;
    for part in &parts[..2] {
        scores.merge(Scores::of_part(part, &moments, Kept::default(), &NoProgress).unwrap().0).unwrap();
    }
    let merged = scores.finish(&moments, false).unwrap();
    let whole = Dataset::builder(&rows, labels).choice(choice.clone()).build().unwrap();
    let whole = Evaluator::new(&settings).evaluate(&whole).unwrap();
    assert_same(&merged, &whole, "a choice of rows");
    assert_eq!(merged.evaluation.excluded, whole.evaluation.excluded);
    assert_eq!(merged.evaluation.settings.rows, whole.evaluation.settings.rows);

    // A label that no part has: an error where it was excluded, a warning where it was to be ignored.
    let finish = |choice: &RowChoice| {
        let moments = Moments::of_part(&part(0, 4), &settings, choice, &NoProgress).unwrap();
        Scores::of_part(&part(0, 4), &moments, Kept::default(), &NoProgress).unwrap().0.finish(&moments, false)
    };
    let error = finish(&RowChoice { ignore_labels: Vec::new(), ..choice.clone() }).unwrap_err();
    assert_eq!(error.to_string(), "no row of labels has the label 'c'");
    let warnings = finish(&RowChoice { exclude: Vec::new(), ..choice }).unwrap().evaluation.warnings;
    assert_eq!(warnings, ["no row of labels has the ignored label 'noise'"]);
}

#[test]
fn metrics_of_moments_need_no_second_pass() {
    let set = Set::of_rows(30);
    let metrics = METRICS.iter().filter(|metric| metric.merges_from() == Some(StateKind::Moments));
    let settings = Settings { metrics: metrics.collect(), ..settings(Distance::Cosine) };
    let moments = moments_of(&[set.part(0)], &settings, &mut Random::new(1));
    assert_same(&moments.finish().unwrap(), &set.whole(&settings), "moments");
    let settings = Settings { metrics: Selection::parse(["cdnv", "nc4"]).unwrap(), ..settings };
    let error = moments_of(&[set.part(0)], &settings, &mut Random::new(1)).finish().unwrap_err();
    assert_eq!(error.to_string(), "nc4 is made of the scores of rows, not of moments alone");
}

/// What is wrong, and what would help.
fn refused<T: std::fmt::Debug>(result: embq_core::Result<T>) -> (String, String) {
    let error = result.unwrap_err();
    (error.to_string(), error.tip().unwrap_or_default())
}

#[test]
fn what_does_not_merge_is_refused_by_name() {
    let set = Set::of_rows(12);
    let of = |settings: &Settings, choice: &RowChoice| {
        refused(Moments::of_part(&set.part(0), settings, choice, &NoProgress))
    };
    let everything = RowChoice::default();
    let metrics =
        |names: &[&str]| Settings { metrics: Selection::parse(names.iter().copied()).unwrap(), ..Settings::default() };
    let (problem, tip) = of(&metrics(&["validity"]), &everything);
    assert_eq!(problem, "dunn compares all pairs of rows, so it does not merge");
    assert_eq!(tip, "take calinski_harabasz,davies_bouldin,simplified_silhouette, or evaluate all rows at once");
    let (problem, tip) = of(&metrics(&["recall"]), &everything);
    assert_eq!(problem, "recall searches all rows for the nearest ones of each, so it does not merge");
    assert_eq!(tip, "evaluate all rows at once");
    let batches = Settings { batch_size: Some(4), ..Settings::default() };
    assert_eq!(of(&batches, &everything).0, "batch_loss shuffles all rows into batches, so it does not merge");
    for metric in METRICS.iter().filter(|metric| metric.merges_from().is_none()) {
        let selection = Selection::from_iter([metric as &'static Metric]);
        let settings = Settings {
            metrics: selection,
            batch_size: Some(4),
            batch_labels: true,
            clustering: Clustering::Mteb,
            ..Settings::default()
        };
        let (problem, _) = of(&settings, &everything);
        assert!(problem.starts_with(&format!("{} ", metric.id)) && problem.ends_with("does not merge"), "{problem}");
    }
    let euclidean = Settings { distance: Distance::Euclidean, ..Settings::default() };
    let (problem, tip) = of(&euclidean, &everything);
    assert_eq!(problem, "euclidean distances compare all pairs of rows, so they do not merge");
    assert_eq!(tip, "cosine and sqeuclidean distances do");
    let auto = Settings { temperature: embq_core::Temperature::Auto, ..Settings::default() };
    assert_eq!(of(&auto, &everything).0, "a temperature cannot be found from parts of the rows");
    let intervals = Settings { intervals: true, ..Settings::default() };
    assert_eq!(of(&intervals, &everything).0, "intervals take no part in the first pass over parts");
    let small = RowChoice { min_class_size: Some(2), ..RowChoice::default() };
    assert!(of(&Settings::default(), &small).0.starts_with("small classes and subsamples depend on all rows"));
    let narrow = Settings { precision: Some(embq_core::data::Precision::F32), ..Settings::default() };
    assert_eq!(of(&narrow, &everything).0, "f64 rows are not read as float32 in parts");
}

#[test]
fn states_that_do_not_belong_together_are_refused() {
    let set = Set { count: 3, parts: (0..30).map(|row| row / 10).collect(), ..Set::of_rows(30) };
    let unnamed = |part: usize| {
        let members = set.members(part);
        PartRows::new(set.rows.select(Axis(0), &members), members.iter().map(|&row| set.labels[row].clone()))
    };
    let own = settings(Distance::Cosine);
    let of = |part: &PartRows<'_>, settings: &Settings| {
        Moments::of_part(part, settings, &RowChoice::default(), &NoProgress).unwrap()
    };
    let first = of(&unnamed(0), &own);
    let merge = |other: Moments| refused(first.clone().merge(other));

    // The same part, whatever its rows' order.
    let mut rows = set.members(0);
    rows.reverse();
    let again = PartRows::new(set.rows.select(Axis(0), &rows), rows.iter().map(|&row| set.labels[row].clone()));
    let (problem, tip) = merge(of(&again, &own));
    assert_eq!(problem, "embeddings: the same part would count twice");
    assert!(tip.contains("leave one of the states out") && tip.contains("a name of its own"), "{tip}");
    let named = |name: &str| of(&unnamed(1).named(name), &own);
    let error = refused(named("7").merge(named("7")));
    assert_eq!(error.0, "embeddings ('7'): the same part would count twice");
    assert!(
        first.clone().merge(of(&again.clone().named("again"), &own)).is_ok(),
        "a name says that it is another part"
    );

    for (settings, difference) in [
        (settings(Distance::SqEuclidean), "distance: cosine and sqeuclidean"),
        (Settings { temperature: embq_core::Temperature::Value(0.2), ..own.clone() }, "temperature: 0.1 and 0.2"),
        (Settings { softmin: embq_core::metrics::SoftMinimum::Lse, ..own.clone() }, "softmin: weighted and lse"),
    ] {
        let (problem, tip) = merge(of(&unnamed(1), &settings));
        assert_eq!(problem, format!("embeddings and embeddings differ in {difference}"));
        assert_eq!(tip, "make all states with the same settings");
    }
    let other_rows = |rows: EmbeddingRows<'static>, labels: Vec<i64>| of(&PartRows::new(rows, labels), &own);
    let narrow = Array2::from_shape_fn((4, 2), |(row, column)| (row + 2 * column + 1) as f64);
    assert!(merge(other_rows(narrow.into(), vec![0, 0, 1, 1])).0.ends_with("differ in dimensions: 3 and 2"));
    let single = Array2::from_shape_fn((4, 3), |(row, column)| (row + 2 * column + 1) as f32);
    assert!(merge(other_rows(single.into(), vec![0, 0, 1, 1])).0.ends_with("differ in dtype: f64 and f32"));
    let integers = Array2::from_shape_fn((4, 3), |(row, column)| (row + 2 * column + 1) as f64);
    let problem = merge(other_rows(integers.into(), vec![0, 0, 1, 1])).0;
    assert!(problem.ends_with("differ in label type: text and integer"), "{problem}");

    // The second pass.
    let parts: Vec<PartRows<'_>> = (0..3).map(unnamed).collect();
    let mut moments = first.clone();
    parts[1..].iter().for_each(|part| moments.merge(of(part, &own)).unwrap());
    fn score(part: &PartRows<'_>, moments: &Moments) -> embq_core::Result<Scores> {
        Scores::of_part(part, moments, Kept::default(), &NoProgress).map(|(scores, _)| scores)
    }
    let scored = |part: usize| score(&parts[part], &moments).unwrap();
    let mut scores = scored(0);
    scores.merge(scored(1)).unwrap();
    let (problem, tip) = refused(scores.finish(&moments, false));
    assert_eq!(problem, "the scores of 1 of 3 parts are missing: embeddings");
    assert_eq!(tip, "make the scores of every part that the moments are of");
    assert_eq!(refused(scores.clone().merge(scored(1))).0, "embeddings: the same part would count twice");
    let mut two = first.clone();
    two.merge(of(&parts[1], &own)).unwrap();
    assert_eq!(refused(scores.finish(&two, false)).0, "the scores were made with other moments than these");
    let of_two = score(&parts[1], &two).unwrap();
    assert_eq!(
        refused(scored(0).merge(of_two)).0,
        "the scores of embeddings and embeddings were made with different moments"
    );
    let (problem, tip) = refused(score(&parts[2], &two));
    assert_eq!(problem, "embeddings: the moments are not of this part, or its rows or labels changed since");
    assert!(tip.starts_with("make the moments of all parts again"), "{tip}");
    let changed = PartRows::new(&set.rows + 1.0, set.labels.iter().map(String::as_str)).named("part");
    let mut named = of(&PartRows::new(&set.rows, &set.labels).named("part"), &own);
    let error = refused(score(&changed, &named)).0;
    assert_eq!(error, "embeddings ('part'): its rows or labels are not those that the moments are of");
    named.merge(of(&unnamed(0), &own)).unwrap();
    let unknown = PartRows::new(&set.rows, std::iter::repeat_n("new", 30));
    assert_eq!(refused(score(&unknown, &named)).0, "embeddings: the moments have no class 'new'");
    let alone = PartRows::new(&set.rows, std::iter::repeat_n("only", 30));
    let error = refused(score(&alone, &of(&alone, &own))).0;
    assert_eq!(error, "labels: a silhouette needs at least 2 classes, found 1 in 30 rows");
}

#[test]
fn altered_tables_are_refused() {
    let set = Set::of_rows(20);
    let settings = settings(Distance::Cosine);
    let moments = Moments::of_part(&set.part(0), &settings, &RowChoice::default(), &NoProgress).unwrap();
    let table = moments.to_table().unwrap();
    let columns = || table.columns().map(|(name, column)| (name.to_owned(), column.clone())).collect::<Vec<_>>();
    let read = |header: &str, columns, checksum: &str| {
        StateTable::of_stored(header.to_owned(), columns, checksum, "p/1.arrow")
            .and_then(|table| Moments::from_table(table, "p/1.arrow"))
    };
    assert_eq!(read(table.header_text(), columns(), &table.checksum()).unwrap(), moments);
    let error = read(table.header_text(), columns(), "0").unwrap_err();
    assert_eq!(error.to_string(), "p/1.arrow: it was altered since it was written: its checksum differs");
    let header = table.header_text().replace("\"format_version\":1", "\"format_version\":2");
    let error = embq_core::partial::StateHeader::parse(&header, "p/1.arrow").unwrap_err();
    assert_eq!(error.to_string(), "p/1.arrow is a state of version 2; this program reads version 1");
    let error = Scores::from_table(table.clone(), "p/1.arrow").unwrap_err();
    assert_eq!(error.to_string(), "p/1.arrow holds moments, not scores");
    for missing in 0..columns().len() {
        let mut columns = columns();
        columns.remove(missing);
        assert!(read(table.header_text(), columns, &table.checksum()).is_err());
    }
}
