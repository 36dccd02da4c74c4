//! Whether rows fall into their classes by themselves: how far a clustering that has not seen the labels agrees with them.

use crate::data::Labels;
use crate::error::Result;
use crate::kernels::{KMeansOptions, k_means};
use crate::metrics::agreement::Contingency;
use crate::metrics::metric::{Family, Need, Question, UP, metric};
use crate::metrics::shared::{Measured, Measures, SharedWork};

const OF_CLUSTERS: &[Need] = &[Need::Labels, Need::Classes, Need::Clusters];
const ROSENBERG: &str = "Rosenberg & Hirschberg 2007";
const VINH: &str = "Vinh et al. 2010";
const HUBERT: &str = "Hubert & Arabie 1985";
const MANNING: &str = "Manning et al. 2008";
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
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let clusters = clusters(work)?;
    if let Ok(clusters) = &clusters {
        let (found, classes) = (clusters.iter().max().map_or(0, |last| last + 1), work.dataset.labels().classes());
        if work.auxiliary.clusters.is_none() && (found as usize) < classes {
            measures
                .warn(format!("k-means found {found} clusters instead of {classes}: the rows lie at no more places"));
        }
    }
    let table = clusters.map(|clusters| Contingency::new(work.dataset.labels().codes(), &clusters));
    let of_table =
        |number: fn(&Contingency) -> f64| -> Result<Measured> { Ok(table.as_ref().map(number).map_err(Clone::clone)) };
    measures.add("v_measure", || of_table(Contingency::v_measure))?;
    measures.add("homogeneity", || of_table(Contingency::homogeneity))?;
    measures.add("completeness", || of_table(Contingency::completeness))?;
    measures.add("nmi", || of_table(Contingency::v_measure))?;
    measures.add("ami", || of_table(Contingency::adjusted_mutual_information))?;
    measures.add("ari", || of_table(Contingency::adjusted_rand_index))?;
    measures.add("purity", || of_table(Contingency::purity))
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
