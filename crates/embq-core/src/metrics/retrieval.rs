//! What a nearest-neighbour search finds: exact, the row itself left out, ties by row number.

use rayon::prelude::*;

use crate::data::{Label, Precision};
use crate::error::Result;
use crate::kernels::{BoundedPairs, Neighbour, Real, sort_by_class};
use crate::metrics::shared::{Measured, Measures, SharedWork};
use crate::metrics::validity::mean;

/// Neighbours that hubness counts.
const HUB_NEIGHBOURS: usize = 10;

const COLLAPSED: &str = "all rows coincide, and any order of them is as good as another";

const NO_RELEVANT: &str = "no row has another of its class to be found";

pub(crate) fn measure(work: &SharedWork<'_>, measures: &mut Measures<'_>) -> Result<()> {
    let ks = work.measuring.ks;
    let collapsed = work.companions.gallery.is_none() && work.collapsed()?;
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
    measures.add_at("knn_accuracy", ks, |k| at(k, &|outcome| share(outcome.votes[place(k)])))?;
    measures.add("precision_at_1", || of_queries(&|outcome| share(outcome.first_hit == Some(0))))?;
    measures.add("r_precision", || of_queries(&|outcome| outcome.r_precision))?;
    measures.add("map_at_r", || of_queries(&|outcome| outcome.map_at_r))?;
    measures.add_at("recall", ks, |k| at(k, &|outcome| share(outcome.first_hit.is_some_and(|first| first < k))))?;
    measures.add("mrr", || of_queries(&|outcome| outcome.first_hit.map_or(0.0, |first| 1.0 / (first as f64 + 1.0))))?;
    measures.add("queries", || {
        Ok(Ok(work.ranking()?.outcomes.iter().filter(|outcome| outcome.relevant > 0).count() as f64))
    })?;
    let of_occurrences = |number: fn(&[usize]) -> Measured| -> Result<Measured> {
        if collapsed {
            return Ok(Err(COLLAPSED.to_owned()));
        }
        Ok(work.ranking()?.occurrences().and_then(|counts| number(&counts)))
    };
    measures.add("hubness", || of_occurrences(skewness))?;
    measures.add("antihub_share", || {
        of_occurrences(|counts| mean(counts.iter().map(|&count| f64::from(u8::from(count == 0)))))
    })?;
    if !collapsed && FOUND.iter().any(|id| work.asked_for(id)) {
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

/// What became of every query.
pub(crate) struct Ranking {
    outcomes: Vec<Outcome>,
    /// Rows that can be found by a query.
    others: usize,
    /// Rows of the gallery.
    gallery: usize,
}

/// What the neighbours of one query say.
#[derive(Clone, Debug, Default, PartialEq)]
struct Outcome {
    /// Rows of the query's class that can be found: R.
    relevant: usize,
    /// The place of the first of them, from 0, as far as the list went.
    first_hit: Option<usize>,
    /// For each k, whether the k nearest vote for the query's class.
    votes: Vec<bool>,
    r_precision: f64,
    map_at_r: f64,
    /// The nearest rows, for hubness.
    nearest: Vec<u32>,
}

impl Outcome {
    /// Of a query of which `relevant` rows of its class can be found: `classes` are those of its neighbours, nearest
    /// first, and `own` is its own, if the gallery has it.
    fn new(own: Option<u32>, relevant: usize, classes: &[u32], ks: &[usize], nearest: Vec<u32>) -> Self {
        let is_hit = |class: &u32| Some(*class) == own;
        let (mut hits, mut precisions) = (0, 0.0);
        for (place, _) in classes.iter().take(relevant).enumerate().filter(|(_, class)| is_hit(class)) {
            hits += 1;
            precisions += f64::from(hits) / (place as f64 + 1.0);
        }
        let share = |sum: f64| if relevant > 0 { sum / relevant as f64 } else { 0.0 };
        Outcome {
            relevant,
            first_hit: classes.iter().position(is_hit),
            votes: ks.iter().map(|&k| own.is_some() && majority(&classes[..k.min(classes.len())]) == own).collect(),
            r_precision: share(f64::from(hits)),
            map_at_r: share(precisions),
            nearest,
        }
    }
}

/// The class that occurs most; of several the one that occurs first.
fn majority(classes: &[u32]) -> Option<u32> {
    let mut counts: Vec<(u32, usize)> = Vec::new();
    for &class in classes {
        match counts.iter_mut().find(|(known, _)| *known == class) {
            Some((_, count)) => *count += 1,
            None => counts.push((class, 1)),
        }
    }
    let most = counts.iter().map(|&(_, count)| count).max()?;
    counts.into_iter().find(|&(_, count)| count == most).map(|(class, _)| class)
}

impl Ranking {
    /// How many queries each row of the gallery is among the nearest of.
    fn occurrences(&self) -> std::result::Result<Vec<usize>, String> {
        if self.others < HUB_NEIGHBOURS {
            return Err(format!("it counts {HUB_NEIGHBOURS} neighbours, and a row has {} others", self.others));
        }
        let mut counts = vec![0; self.gallery];
        self.outcomes.iter().flat_map(|outcome| &outcome.nearest).for_each(|&row| counts[row as usize] += 1);
        Ok(counts)
    }
}

/// The third standardised moment.
fn skewness(counts: &[usize]) -> Measured {
    let centre = mean(counts.iter().map(|&count| count as f64))?;
    let moment = |power: i32| mean(counts.iter().map(|&count| (count as f64 - centre).powi(power)));
    let (second, third) = (moment(2)?, moment(3)?);
    if second > 0.0 { Ok(third / second.powf(1.5)) } else { Err("all rows are equally often neighbours".to_owned()) }
}

/// Looks for the neighbours of every row that is scored, as far as the metrics that are asked for need them.
pub(crate) fn rank(work: &SharedWork<'_>) -> Result<Ranking> {
    match work.measuring.precision {
        Precision::F32 => rank_in::<f32>(work),
        Precision::F64 => rank_in::<f64>(work),
    }
}

fn rank_in<T: Real>(work: &SharedWork<'_>) -> Result<Ranking> {
    let dataset = work.dataset;
    let gallery = work.companions.gallery;
    let searched = gallery.unwrap_or(dataset);
    let labels = searched.labels();
    // The gallery's class of each class of the queries.
    let class_of: Vec<Option<u32>> = match gallery {
        None => (0..labels.classes() as u32).map(Some).collect(),
        Some(_) => {
            let class = |label: &Label| labels.names().binary_search(label).ok().map(|class| class as u32);
            dataset.labels().names().iter().map(class).collect()
        }
    };
    let own = |query: usize| class_of[dataset.labels().codes()[query] as usize];
    let itself = usize::from(gallery.is_none());
    let relevant = |query: usize| own(query).map_or(0, |class| labels.counts()[class as usize] - itself);
    let others = searched.len() - itself;
    let hubs = work.asked_for("hubness") || work.asked_for("antihub_share");
    let asked_for_k = work.asked_for("knn_accuracy") || work.asked_for("recall");
    let at_least = [
        Some(1),
        hubs.then_some(HUB_NEIGHBOURS),
        work.measuring.ks.iter().copied().filter(|&k| asked_for_k && k <= others).max(),
    ];
    let at_least = at_least.into_iter().flatten().max().unwrap_or(1);
    let to_r = work.asked_for("r_precision") || work.asked_for("map_at_r");
    let wanted = |query: usize| if to_r { at_least.max(relevant(query)) } else { at_least };
    let pairs = BoundedPairs::<T>::new(searched, gallery.map(|_| dataset), dataset.distance(), work.progress)?;
    let queries: Vec<usize> = dataset.scored().positions().collect();
    let mut outcomes = pairs.nearest(&queries, wanted, |query, neighbours| {
        let classes: Vec<u32> = neighbours.iter().map(|found| labels.codes()[found.row as usize]).collect();
        let hub_neighbours = neighbours.iter().take(if hubs { HUB_NEIGHBOURS } else { 0 });
        let nearest = hub_neighbours.map(|found| found.row).collect();
        Outcome::new(own(query), relevant(query), &classes, work.measuring.ks, nearest)
    })?;
    if work.asked_for("mrr") {
        let (order, starts) = sort_by_class(labels.codes(), labels.counts());
        let is_late = |place: &usize| outcomes[*place].first_hit.is_none() && outcomes[*place].relevant > 0;
        let late: Vec<usize> = (0..outcomes.len()).filter(is_late).collect();
        let nearest = late.par_iter().map(|&place| {
            let class = own(queries[place]).map_or(0, |class| class as usize);
            pairs.nearest_among(queries[place], &order[starts[class]..starts[class + 1]])
        });
        let nearest: Vec<Option<Neighbour>> = nearest.collect::<Result<_>>()?;
        let found = late.into_iter().zip(nearest).filter_map(|(place, nearest)| Some((place, nearest?)));
        let (places, targets): (Vec<usize>, Vec<(usize, Neighbour)>) =
            found.map(|(place, nearest)| (place, (queries[place], nearest))).unzip();
        for (place, before) in places.into_iter().zip(pairs.ranks(&targets)?) {
            outcomes[place].first_hit = Some(before);
        }
    }
    Ok(Ranking { outcomes, others, gallery: searched.len() })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ties_of_votes_go_to_the_nearest() {
        assert_eq!(majority(&[2, 1, 1, 2, 3]), Some(2));
        assert_eq!(majority(&[3, 1, 1]), Some(1));
        assert_eq!(majority(&[]), None);
    }

    #[test]
    fn a_list_is_judged_as_worked_out_by_hand() {
        // Three relevant rows, at places 2 and 3 of the list and beyond it.
        let outcome = Outcome::new(Some(7), 3, &[1, 7, 7, 1, 1], &[1, 3, 5], vec![]);
        assert_eq!(outcome.first_hit, Some(1));
        assert_eq!(outcome.votes, [false, true, false]);
        assert!((outcome.r_precision - 2.0 / 3.0).abs() < 1e-15);
        assert!((outcome.map_at_r - (1.0 / 2.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
    }

    #[test]
    fn one_hub_among_many_is_skewed() {
        // Counts 0, 0, 0, 4: mean 1, moments 3 and 6.
        assert!((skewness(&[0, 0, 0, 4]).unwrap() - 6.0 / 3f64.powf(1.5)).abs() < 1e-15);
        assert!(skewness(&[2, 2]).is_err());
    }
}
