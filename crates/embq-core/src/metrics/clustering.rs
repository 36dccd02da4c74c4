//! Whether rows fall into their classes by themselves: how far a clustering that has not seen the labels agrees with them.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::SeedableRng;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::data::{Dataset, Labels, below};
use crate::error::Result;
use crate::kernels::{KMeansOptions, k_means, mini_batch_k_means};
use crate::metrics::agreement::Contingency;
use crate::metrics::metric::{Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::{mean, standard_deviation};

const OF_CLUSTERS: &[Need] = &[Need::Labels, Need::Classes, Need::Clusters];
const OF_DRAWS: &[Need] = &[Need::Labels, Need::Classes, Need::Clusters, Need::ClusterDraws];
const ROSENBERG: &str = "Rosenberg & Hirschberg 2007";
const VINH: &str = "Vinh et al. 2010";
const HUBERT: &str = "Hubert & Arabie 1985";
const MANNING: &str = "Manning et al. 2008";
const MUENNIGHOFF: &str = "Muennighoff et al. 2023";
const SHARE: &str = "[0, 1]";

pub(super) static FAMILY: Family = Family {
    name: "clustering",
    question: Question::ClassesApart,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "v_measure", "harmonic mean of the next two", SHARE, UP, ROSENBERG, OF_CLUSTERS).not_in_all(),
        metric(&FAMILY, "homogeneity", "clusters hold one class each", SHARE, UP, ROSENBERG, OF_CLUSTERS).not_in_all(),
        metric(&FAMILY, "completeness", "classes lie in one cluster each", SHARE, UP, ROSENBERG, OF_CLUSTERS)
            .not_in_all(),
        metric(&FAMILY, "nmi", "mutual information over mean entropy", SHARE, UP, VINH, OF_CLUSTERS).not_in_all(),
        metric(&FAMILY, "ami", "the same, adjusted for chance", "(-inf, 1]", UP, VINH, OF_CLUSTERS).not_in_all(),
        metric(&FAMILY, "ari", "Rand index, adjusted for chance", "[-0.5, 1]", UP, HUBERT, OF_CLUSTERS).not_in_all(),
        metric(&FAMILY, "purity", "rows of the largest class of their cluster", SHARE, UP, MANNING, OF_CLUSTERS)
            .not_in_all(),
        metric(&FAMILY, "v_measure_std", "its deviation over draws of rows", SHARE, None, MUENNIGHOFF, OF_DRAWS)
            .not_in_all(),
    ],
};

/// How rows are clustered, with as many clusters as there are classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Clustering {
    /// k-means of all rows, the best of ten starts by inertia.
    #[default]
    KMeans,
    /// The clustering tasks of MTEB: ten draws of 16,384 rows, with replacement, each clustered by k-means on batches of
    /// 512; means over draws (Muennighoff et al., "MTEB: Massive Text Embedding Benchmark", 2023).
    Mteb,
}

/// Draws of [`Clustering::Mteb`], and rows of each.
const MTEB_DRAWS: u64 = 10;
const MTEB_ROWS: usize = 16_384;

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let tables = tables(work, measures)?;
    let of_tables = |number: fn(&Contingency) -> f64| -> Result<Measured> {
        Ok(tables.as_ref().map_err(Clone::clone).and_then(|tables| mean(tables.iter().map(number))))
    };
    measures.add("v_measure", || of_tables(Contingency::v_measure))?;
    measures.add("homogeneity", || of_tables(Contingency::homogeneity))?;
    measures.add("completeness", || of_tables(Contingency::completeness))?;
    measures.add("nmi", || of_tables(Contingency::v_measure))?;
    measures.add("ami", || of_tables(Contingency::adjusted_mutual_information))?;
    measures.add("ari", || of_tables(Contingency::adjusted_rand_index))?;
    measures.add("purity", || of_tables(Contingency::purity))?;
    if work.measuring.clustering == Clustering::Mteb {
        measures.add("v_measure_std", || {
            let numbers = |tables: &Vec<Contingency>| tables.iter().map(Contingency::v_measure).collect::<Vec<f64>>();
            Ok(tables.as_ref().map(numbers).map_err(Clone::clone).and_then(|numbers| standard_deviation(&numbers)))
        })?;
    }
    Ok(())
}

/// Classes against clusters, of all rows or of each draw.
fn tables(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<std::result::Result<Vec<Contingency>, String>> {
    let labels = work.dataset.labels();
    if work.auxiliary.clusters.is_none() && !work.is_precomputed() && work.measuring.clustering == Clustering::Mteb {
        return drawn_tables(work).map(Ok);
    }
    let clusters = clusters(work)?;
    if let Ok(clusters) = &clusters {
        let (found, classes) = (clusters.iter().max().map_or(0, |last| last + 1), labels.classes());
        if work.auxiliary.clusters.is_none() && (found as usize) < classes {
            measures
                .warn(format!("k-means found {found} clusters instead of {classes}: the rows lie at no more places"));
        }
    }
    Ok(clusters.map(|clusters| vec![Contingency::new(labels.codes(), &clusters)]))
}

/// By the protocol of MTEB.
fn drawn_tables(work: &SharedWork<'_>) -> Result<Vec<Contingency>> {
    let (dataset, seed) = (work.dataset, work.measuring.seed);
    let labels = dataset.labels();
    work.progress.begin("clusterings", MTEB_DRAWS);
    let mut tables = Vec::new();
    for draw in 0..MTEB_DRAWS {
        let mut random = ChaCha8Rng::seed_from_u64(seed);
        random.set_stream(draw);
        let mut drawn: Vec<usize> = (0..MTEB_ROWS).map(|_| below(dataset.len(), &mut random)).collect();
        // Batches are drawn at random, so that the order of the rows does not matter; in order they are read faster.
        drawn.sort_unstable();
        let rows = gathered(dataset, &drawn)?;
        let found = mini_batch_k_means(&rows, dataset.dimensions(), labels.classes(), seed.wrapping_add(draw));
        let codes: Vec<u32> = drawn.iter().map(|&row| labels.codes()[row]).collect();
        tables.push(Contingency::new(&codes, &compacted(&found)));
        work.progress.step(1)?;
    }
    work.progress.end();
    Ok(tables)
}

/// These rows, in float64.
fn gathered(dataset: &Dataset, rows: &[usize]) -> Result<Vec<f64>> {
    let mut gathered = Vec::with_capacity(rows.len() * dataset.dimensions());
    let mut buffer = Vec::new();
    for &row in rows {
        gathered.extend_from_slice(dataset.rows::<f64>(row..row + 1, &mut buffer)?);
    }
    Ok(gathered)
}

/// The same clusters, numbered without gaps.
fn compacted(clusters: &[u32]) -> Vec<u32> {
    let mut used = clusters.to_vec();
    used.sort_unstable();
    used.dedup();
    clusters.iter().map(|cluster| used.partition_point(|known| known < cluster) as u32).collect()
}

/// The cluster of each row: as given, or by k-means with as many clusters as there are classes.
fn clusters(work: &SharedWork<'_>) -> Result<std::result::Result<Vec<u32>, String>> {
    let dataset = work.dataset;
    if let Some(clusters) = work.auxiliary.clusters {
        let rows = (0..dataset.len()).map(|row| dataset.source_row(row));
        return Ok(Ok(Labels::from_column(clusters, rows)?.codes().to_vec()));
    }
    if work.is_precomputed() {
        return Ok(Err("a distance matrix has no coordinates to cluster".to_owned()));
    }
    let options = KMeansOptions::new(dataset.labels().classes(), work.measuring.seed);
    let found = k_means(dataset, &options, work.measuring.precision, work.progress)?;
    if found.centres.nrows() < 2 {
        return Ok(Err("all rows coincide".to_owned()));
    }
    Ok(Ok(found.codes))
}
