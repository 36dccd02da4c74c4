//! The neighbours of every row, and statistics of them.

use rayon::prelude::*;

use crate::data::{Dataset, Label};
use crate::error::Result;
use crate::kernels::{BoundedPairs, Neighbour, Real, sort_by_class};
use crate::progress::Progress;

/// The number of neighbours for hubness.
pub(crate) const HUB_NEIGHBOURS: usize = 10;

/// The metrics that look at as many neighbours of a row as there are others of its class.
pub(crate) const TO_R: [&str; 2] = ["r_precision", "map_at_r"];

/// The extent of the search.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Search<'a> {
    /// The numbers of neighbours that vote, ascending.
    pub ks: &'a [usize],
    /// Whether to find as many neighbours as vote.
    pub to_k: bool,
    /// Whether to find as many neighbours as there are rows of the query's class.
    pub to_r: bool,
    /// Whether to keep the neighbours for hubness.
    pub hubs: bool,
    /// Whether to find the first row of the query's class, however far away.
    pub to_first_hit: bool,
}

/// Rows among which neighbours are searched.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Gallery<'a> {
    pub rows: &'a Dataset<'a>,
    /// For each query, the same row in the gallery, if such rows are excluded.
    pub own_rows: &'a [Option<usize>],
}

/// The results of all queries.
pub(crate) struct Ranking {
    pub outcomes: Vec<Outcome>,
    /// The number of rows that a query can find.
    pub others: usize,
    /// The number of rows in the gallery.
    pub gallery: usize,
}

/// The results of one query.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Outcome {
    /// R, the number of rows of the query's class that can be found.
    pub relevant: usize,
    /// The rank of the first of them, from 0, if it is in the list.
    pub first_hit: Option<usize>,
    /// For each k, whether the k nearest vote for the query's class.
    pub votes: Vec<bool>,
    pub r_precision: f64,
    pub map_at_r: f64,
    /// The nearest rows, for hubness.
    pub nearest: Vec<u32>,
}

impl Outcome {
    /// The result of a query for which `relevant` rows of its class can be found: `classes` are those of its
    /// neighbours, nearest first, and `own` is its own class, if the gallery has it.
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

/// The most frequent class; the one that occurs first on a tie.
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

/// Finds the neighbours of every scored row, in the gallery or among the other rows.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn rank<T: Real>(
    dataset: &Dataset,
    gallery: Option<Gallery<'_>>,
    search: Search<'_>,
    progress: &dyn Progress,
) -> Result<Ranking> {
    let Gallery { rows: searched, own_rows } = gallery.unwrap_or(Gallery { rows: dataset, own_rows: &[] });
    let labels = searched.labels();
    // The gallery's class for each class of the queries.
    let class_of: Vec<Option<u32>> = match gallery {
        None => (0..labels.classes() as u32).map(Some).collect(),
        Some(_) => {
            let class = |label: &Label| labels.names().binary_search(label).ok().map(|class| class as u32);
            dataset.labels().names().iter().map(class).collect()
        }
    };
    let own = |query: usize| class_of[dataset.labels().codes()[query] as usize];
    // Whether a row of this class is the query itself, which is excluded.
    let is_own = |query: usize, class: u32| match gallery {
        None => true,
        Some(_) => own_rows.get(query).copied().flatten().is_some_and(|row| labels.codes()[row] == class),
    };
    let relevant = |query: usize| {
        own(query).map_or(0, |class| labels.counts()[class as usize] - usize::from(is_own(query, class)))
    };
    let itself = gallery.is_none() || own_rows.iter().any(Option::is_some);
    let others = searched.len() - usize::from(itself);
    let at_least = [
        Some(1),
        search.hubs.then_some(HUB_NEIGHBOURS),
        search.ks.iter().copied().filter(|&k| search.to_k && k <= others).max(),
    ];
    let at_least = at_least.into_iter().flatten().max().unwrap_or(1);
    let wanted = |query: usize| if search.to_r { at_least.max(relevant(query)) } else { at_least };
    let pairs =
        BoundedPairs::<T>::new(searched, gallery.map(|_| dataset), dataset.distance(), progress)?.without_own(own_rows);
    let queries: Vec<usize> = dataset.scored().positions().collect();
    let mut outcomes = pairs.nearest(&queries, wanted, |query, neighbours| {
        let classes: Vec<u32> = neighbours.iter().map(|found| labels.codes()[found.row as usize]).collect();
        let hub_neighbours = neighbours.iter().take(if search.hubs { HUB_NEIGHBOURS } else { 0 });
        let nearest = hub_neighbours.map(|found| found.row).collect();
        Outcome::new(own(query), relevant(query), &classes, search.ks, nearest)
    })?;
    if search.to_first_hit {
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
        // Three relevant rows, at ranks 2 and 3 of the list and beyond it.
        let outcome = Outcome::new(Some(7), 3, &[1, 7, 7, 1, 1], &[1, 3, 5], vec![]);
        assert_eq!(outcome.first_hit, Some(1));
        assert_eq!(outcome.votes, [false, true, false]);
        assert!((outcome.r_precision - 2.0 / 3.0).abs() < 1e-15);
        assert!((outcome.map_at_r - (1.0 / 2.0 + 2.0 / 3.0) / 3.0).abs() < 1e-15);
    }
}
