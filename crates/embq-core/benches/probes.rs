//! How long probes and k-means take on rows of a file; `benches/probes.py` times other software in turn.
//!
//! ```text
//! cargo bench -p embq-core --bench probes -- ridge|k_means|logistic EMBEDDINGS.npy LABELS.npy
//! ```
//!
//! prints a line of JSON: the seconds, and what was found. Reading the files is not timed.

use std::time::Instant;

use embq_core::data::{Dataset, Precision};
use embq_core::evaluation::{Settings, evaluate};
use embq_core::kernels::{KMeansOptions, LogisticOptions, fit_logistic, k_means};
use embq_core::metrics::Selection;
use embq_core::progress::NoProgress;
use ndarray::{Array1, Array2};

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).filter(|argument| argument != "--bench").collect();
    let [work, embeddings, labels] = &arguments[..] else {
        println!("ridge, k_means or logistic, embeddings and labels are needed");
        return;
    };
    let rows: Array2<f32> = ndarray_npy::read_npy(embeddings).expect("float32 embeddings");
    let labels: Array1<i64> = ndarray_npy::read_npy(labels).expect("int64 labels");
    let dataset = Dataset::new(rows.view(), labels.iter()).expect("a label for each row");
    let classes = dataset.labels().classes();
    let start = Instant::now();
    let found = match work.as_str() {
        "ridge" => {
            let metrics = Selection::parse(["ridge_probe_accuracy"]).expect("a metric");
            let settings = Settings { metrics, rows: false, ..Settings::default() };
            let found = evaluate(&dataset, &settings, &NoProgress).expect("an evaluation");
            format!("\"accuracy\": {:?}", found.metric("ridge_probe_accuracy"))
        }
        "k_means" => {
            let found =
                k_means(&dataset, &KMeansOptions::new(classes, 0), Precision::F32, &NoProgress).expect("clusters");
            format!("\"inertia\": {}, \"iterations\": {}", found.inertia, found.iterations)
        }
        _ => {
            let all = vec![u32::MAX; dataset.len()];
            let fits = fit_logistic(&dataset, &all, 1, &LogisticOptions::default(), &NoProgress).expect("a fit");
            format!(
                "\"objective\": {}, \"steps\": {}, \"gradient\": {}",
                fits[0].objective, fits[0].steps, fits[0].gradient
            )
        }
    };
    println!("{{\"seconds\": {}, {}}}", start.elapsed().as_secs_f64(), found.replace("Some(", "").replace(')', ""));
}
