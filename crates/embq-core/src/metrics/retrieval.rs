//! Metrics of nearest-neighbour search: exact, excluding the row itself, with ties in row order.

use crate::error::Result;
use crate::metrics::metric::{DOWN, FROM_0, Family, Need, Question, UP, metric};
use crate::metrics::ranking::{HUB_NEIGHBOURS, Outcome, Ranking};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::mean;

const COLLAPSED: &str = "all rows coincide, and any order of them is as good as another";

const NO_RELEVANT: &str = "no row has another of its class to be found";

const FOR_LABELS: &[Need] = &[Need::Labels, Need::Neighbours];
const NEIGHBOURS: &[Need] = &[Need::Neighbours];
const MUSGRAVE: &str = "Musgrave et al. 2020";
const JEGOU: &str = "Jegou et al. 2011";
const VOORHEES: &str = "Voorhees 1999";
const RADOVANOVIC: &str = "Radovanovic et al. 2010";
const COVER: &str = "Cover & Hart 1967";
const SHARE: &str = "[0, 1]";

pub(super) static FAMILY: Family = Family {
    name: "retrieval",
    question: Question::Search,
    is_default: false,
    supports_weights: false,
    metrics: &[
        metric(&FAMILY, "knn_accuracy", "majority of the k nearest is the class", SHARE, UP, COVER, FOR_LABELS).at_k(),
        metric(&FAMILY, "precision_at_1", "nearest row is of the class", SHARE, UP, MUSGRAVE, FOR_LABELS),
        metric(&FAMILY, "r_precision", "share of the class in the R nearest", SHARE, UP, MUSGRAVE, FOR_LABELS),
        metric(&FAMILY, "map_at_r", "mean average precision at R", SHARE, UP, MUSGRAVE, FOR_LABELS),
        metric(&FAMILY, "recall", "one of the k nearest is of the class", SHARE, UP, JEGOU, FOR_LABELS).at_k(),
        metric(&FAMILY, "mrr", "mean of 1 / rank of the first of the class", SHARE, UP, VOORHEES, FOR_LABELS),
        metric(&FAMILY, "queries", "rows that have another to be found", FROM_0, None, MUSGRAVE, FOR_LABELS),
        metric(&FAMILY, "hubness", "skewness of the 10-occurrence", "(-inf, inf)", DOWN, RADOVANOVIC, NEIGHBOURS),
        metric(&FAMILY, "antihub_share", "rows that are nobody's neighbour", SHARE, DOWN, RADOVANOVIC, NEIGHBOURS),
    ],
};

pub(super) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let ks = work.measuring.levels.ks;
    let collapsed = work.auxiliary.gallery.is_none() && work.collapsed()?;
    let of_queries = |number: &dyn Fn(&Outcome) -> f64| -> Result<Measured> {
        if collapsed {
            return Ok(Err(COLLAPSED.to_owned()));
        }
        let counted = work.ranking()?.outcomes.iter().filter(|outcome| outcome.relevant > 0);
        Ok(mean(counted.map(number)).map_err(|_| NO_RELEVANT.to_owned()))
    };
    let at = |k: usize, number: &dyn Fn(&Outcome) -> f64| -> Result<Measured> {
        if collapsed {
            return Ok(Err(COLLAPSED.to_owned()));
        }
        let others = work.ranking()?.others;
        if k > others {
            return Ok(Err(format!("a row has {others} others at most")));
        }
        of_queries(number)
    };
    let place = |k: usize| ks.iter().position(|&known| known == k).unwrap_or_default();
    let share = |truth: bool| f64::from(u8::from(truth));
    measures.add_at_k("knn_accuracy", |k| at(k, &|outcome| share(outcome.votes[place(k)])))?;
    measures.add("precision_at_1", || of_queries(&|outcome| share(outcome.first_hit == Some(0))))?;
    measures.add("r_precision", || of_queries(&|outcome| outcome.r_precision))?;
    measures.add("map_at_r", || of_queries(&|outcome| outcome.map_at_r))?;
    measures.add_at_k("recall", |k| at(k, &|outcome| share(outcome.first_hit.is_some_and(|first| first < k))))?;
    measures.add("mrr", || of_queries(&|outcome| outcome.first_hit.map_or(0.0, |first| 1.0 / (first as f64 + 1.0))))?;
    measures.add("queries", || {
        Ok(Ok(work.ranking()?.outcomes.iter().filter(|outcome| outcome.relevant > 0).count() as f64))
    })?;
    let of_occurrences = |number: fn(&[usize]) -> Measured| -> Result<Measured> {
        if collapsed {
            return Ok(Err(COLLAPSED.to_owned()));
        }
        Ok(occurrences(work.ranking()?).and_then(|counts| number(&counts)))
    };
    measures.add("hubness", || of_occurrences(skewness))?;
    measures.add("antihub_share", || {
        of_occurrences(|counts| mean(counts.iter().map(|&count| f64::from(u8::from(count == 0)))))
    })?;
    if !collapsed && FOUND.iter().any(|id| work.is_selected(id)) {
        let outcomes = &work.ranking()?.outcomes;
        let alone = outcomes.iter().filter(|outcome| outcome.relevant == 0).count();
        if alone > 0 {
            measures.warn(format!(
                "{alone} of {} rows have no other of their class to be found, and are left out of retrieval",
                outcomes.len()
            ));
        }
    }
    Ok(())
}

/// The metrics that leave out rows without another of their class.
const FOUND: [&str; 6] = ["knn_accuracy", "precision_at_1", "r_precision", "map_at_r", "recall", "mrr"];

/// For each row of the gallery, the number of queries that have it among their nearest.
fn occurrences(ranking: &Ranking) -> std::result::Result<Vec<usize>, String> {
    if ranking.others < HUB_NEIGHBOURS {
        return Err(format!("it counts {HUB_NEIGHBOURS} neighbours, and a row has {} others", ranking.others));
    }
    let mut counts = vec![0; ranking.gallery];
    ranking.outcomes.iter().flat_map(|outcome| &outcome.nearest).for_each(|&row| counts[row as usize] += 1);
    Ok(counts)
}

/// The third standardised moment.
fn skewness(counts: &[usize]) -> Measured {
    let centre = mean(counts.iter().map(|&count| count as f64))?;
    let moment = |power: i32| mean(counts.iter().map(|&count| (count as f64 - centre).powi(power)));
    let (second, third) = (moment(2)?, moment(3)?);
    if second > 0.0 { Ok(third / second.powf(1.5)) } else { Err("all rows are equally often neighbours".to_owned()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_hub_among_many_is_skewed() {
        // Counts 0, 0, 0, 4: mean 1, moments 3 and 6.
        assert!((skewness(&[0, 0, 0, 4]).unwrap() - 6.0 / 3f64.powf(1.5)).abs() < 1e-15);
        assert!(skewness(&[2, 2]).is_err());
    }
}
