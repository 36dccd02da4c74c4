//! How many flipped labels does `embq suspects` find? Prints the figures in docs/suspects.md.
//!
//! On each set, 5 % of the labels are changed at random; then the same share of rows is looked at, most suspicious first.
//! Precision and recall are then the same number. The last columns are those of the rows that are likely mislabelled by the
//! cut-off of the list. Beside it the usual baseline: rows ranked by how far the votes of
//! their 10 nearest neighbours exceed those for their own label.
//!
//! `cargo run --release --example suspects [NAME EMBEDDINGS LABELS]...`; without arguments, it uses the sets in
//! `fixtures/`.

use std::error::Error;
use std::sync::Arc;

use embq_core::data::{
    Dataset, DatasetOptions, Embeddings, Label, LabelColumn, LabelColumnBuilder, LabelType, Origin, RowNames,
};
use embq_core::distance::Distance;
use embq_core::kernels::nearest_neighbours;
use embq_core::progress::NoProgress;
use embq_core::suspects::{NEIGHBOURS, find_suspects};
use embq_files::input;
use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// The share of labels to change, and the number of repetitions with different seeds.
const FLIPPED: f64 = 0.05;
const SEEDS: u64 = 10;

/// Means over the seeds.
#[derive(Default)]
struct Found {
    suspects: f64,
    baseline: f64,
    /// Flipped rows among twice as many.
    suspects_twice: f64,
    baseline_twice: f64,
    /// The share of found rows whose suggested label is right.
    suggested: f64,
    /// The flipped share of the likely rows, and the likely share of the flipped rows.
    precision: f64,
    recall: f64,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let fixture = |name: &str, file: &str| {
        let folder = format!("{}/fixtures/{name}", env!("CARGO_MANIFEST_DIR"));
        [name.to_owned(), format!("{folder}/{file}"), format!("{folder}/labels.npy")]
    };
    let sets = if arguments.is_empty() {
        vec![
            fixture("digits", "embeddings.npy"),
            fixture("fashion_ckpt_2k", "epoch10.npy"),
            fixture("glosses1k_minilm", "embeddings.npy"),
            fixture("glosses1k_glove", "embeddings.npy"),
        ]
    } else {
        arguments.chunks_exact(3).map(|set| [set[0].clone(), set[1].clone(), set[2].clone()]).collect()
    };
    println!(
        "| set | rows | found in 5 % | k-NN alone | found in 10 % | k-NN alone | right label suggested | \
         precision of likely | recall |"
    );
    println!("|---|---:|---:|---:|---:|---:|---:|---:|---:|");
    for [name, embeddings, labels] in &sets {
        let loaded = input::load(embeddings, &[labels], None)?;
        let rows = loaded.embeddings.rows();
        let found = measure(Arc::new(loaded.embeddings), &loaded.labels[0])?;
        println!(
            "| {name} | {rows} | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % | {:.1} % |",
            100.0 * found.suspects,
            100.0 * found.baseline,
            100.0 * found.suspects_twice,
            100.0 * found.baseline_twice,
            100.0 * found.suggested,
            100.0 * found.precision,
            100.0 * found.recall
        );
    }
    Ok(())
}

fn measure(embeddings: Arc<Embeddings>, labels: &LabelColumn) -> Result<Found, Box<dyn Error>> {
    let mut found = Found::default();
    for seed in 100..100 + SEEDS {
        let (column, flipped) = flip(labels, seed);
        let count = flipped.iter().filter(|flipped| **flipped).count();
        let dataset = Dataset::join(Arc::clone(&embeddings), &column, Distance::Cosine, &DatasetOptions::default())?;
        let list = find_suspects(&dataset, None, NEIGHBOURS, &RowNames::default(), &NoProgress)?;
        let suspects: Vec<usize> = list.suspects.iter().map(|suspect| suspect.row).collect();
        let baseline = baseline(&dataset)?;
        let share = |rows: &[usize], looked_at: usize| {
            rows.iter().take(looked_at).filter(|row| flipped[**row]).count() as f64 / count as f64 / SEEDS as f64
        };
        found.suspects += share(&suspects, count);
        found.baseline += share(&baseline, count);
        found.suspects_twice += share(&suspects, 2 * count);
        found.baseline_twice += share(&baseline, 2 * count);
        let right = share(&suspects, list.likely) * count as f64;
        found.recall += right / count as f64;
        found.precision += right / list.likely.max(1) as f64;
        let hits = list.suspects.iter().take(count).filter(|suspect| flipped[suspect.row]);
        let right = |row: usize, label: &str| labels.get(row).is_some_and(|known| known.to_string() == label);
        let (all, good) = hits
            .fold((0, 0), |(all, good), suspect| (all + 1, good + usize::from(right(suspect.row, &suspect.suggested))));
        found.suggested += f64::from(good as u32) / f64::from(all.max(1)) / SEEDS as f64;
    }
    Ok(found)
}

/// Changes some labels to a random other class; returns the labels and which ones changed.
fn flip(labels: &LabelColumn, seed: u64) -> (LabelColumn, Vec<bool>) {
    let mut generator = ChaCha8Rng::seed_from_u64(seed);
    let mut below = |bound: usize| (generator.next_u64() % bound as u64) as usize;
    let (rows, classes) = (labels.len(), labels.dictionary().len());
    let mut flipped = vec![false; rows];
    let mut left = (FLIPPED * rows as f64).round() as usize;
    while left > 0 {
        let row = below(rows);
        left -= usize::from(!flipped[row]);
        flipped[row] = true;
    }
    let mut builder = LabelColumnBuilder::new(LabelType::Text);
    for (row, &flipped) in flipped.iter().enumerate() {
        let code = labels.code(row).unwrap_or_default();
        let code = if flipped { (code + 1 + below(classes - 1)) % classes } else { code };
        let label: &Label = &labels.dictionary()[code];
        builder.push_text(&label.to_string());
    }
    (builder.finish(Origin::new("flipped")), flipped)
}

/// All rows, ordered by the votes of their nearest neighbours for the strongest other label minus those for their own.
fn baseline(dataset: &Dataset) -> Result<Vec<usize>, Box<dyn Error>> {
    let found = nearest_neighbours(dataset, NEIGHBOURS, &NoProgress)?;
    let codes = dataset.labels().codes();
    let mut ranked: Vec<(i64, usize)> = (0..dataset.len())
        .map(|row| {
            let mut votes = vec![0_i64; dataset.labels().classes()];
            for &near in found.indices.row(row) {
                votes[codes[near as usize] as usize] += 1;
            }
            let own = std::mem::replace(&mut votes[codes[row] as usize], -1);
            (own - votes.into_iter().max().unwrap_or(0), row)
        })
        .collect();
    ranked.sort_unstable();
    Ok(ranked.into_iter().map(|(_, row)| row).collect())
}
