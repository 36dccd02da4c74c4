//! The same class by class, where both sets have labels.

use std::collections::{HashMap, HashSet};

use crate::data::Dataset;
use crate::drift::discrepancy::{PassOptions, discrepancies};
use crate::drift::frechet::frechet_distance;
use crate::drift::moments::{BlockMoments, Moments};
use crate::drift::result::{ClassDrift, DriftTest, DriftVerdict};
use crate::drift::shares::psi;
use crate::drift::shift::{mean_and_variance, mean_shift};
use crate::drift::{DriftSettings, drawn_from};
use crate::error::Result;
use crate::kernels::{PooledPairs, Real, sort_by_class};
use crate::progress::Progress;
use crate::statistics::holm;

/// Progress that can be cancelled and reports nothing: of what is short and comes often.
struct Silent<'a>(&'a dyn Progress);

impl Progress for Silent<'_> {
    fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }
}

/// A class by the codes that it has in the sets.
pub(super) struct Class {
    label: String,
    pub codes: [Option<u32>; 2],
}

/// The classes of both sets, in label order of the first, followed by those of the second alone.
pub(super) fn classes_of(sets: [&Dataset; 2]) -> Vec<Class> {
    let [names, others] = sets.map(|set| set.labels().names().iter().map(ToString::to_string).collect::<Vec<_>>());
    let codes: HashMap<&str, u32> = others.iter().map(String::as_str).zip(0..).collect();
    let mut classes: Vec<Class> = names
        .iter()
        .zip(0..)
        .map(|(name, code)| Class { label: name.clone(), codes: [Some(code), codes.get(name.as_str()).copied()] })
        .collect();
    let known: HashSet<&str> = names.iter().map(String::as_str).collect();
    let alone = others.iter().zip(0..).filter(|(name, _)| !known.contains(name.as_str()));
    classes.extend(alone.map(|(name, code)| Class { label: name.clone(), codes: [None, Some(code)] }));
    classes
}

/// What changed in each class.
///
/// # Errors
/// Errors from reading rows, and [`Error::Cancelled`](crate::Error::Cancelled).
pub(super) fn class_drift<T: Real>(
    sets: [&Dataset; 2],
    settings: &DriftSettings,
    progress: &dyn Progress,
) -> Result<Vec<ClassDrift>> {
    let classes = classes_of(sets);
    let by_class = sets.map(|set| sort_by_class(set.labels().codes(), set.labels().counts()));
    let totals = sets.map(Dataset::len);
    let mut found = Vec::with_capacity(classes.len());
    let mut p_values = Vec::new();
    progress.begin("classes", classes.len() as u64);
    for (place, Class { label, codes }) in classes.into_iter().enumerate() {
        let members = [0, 1].map(|set| {
            let (order, starts) = &by_class[set];
            codes[set].map_or(&[][..], |code| &order[starts[code as usize]..starts[code as usize + 1]])
        });
        let [before, after] = members.map(<[usize]>::len);
        let mut class = ClassDrift {
            label,
            reference_count: before,
            current_count: after,
            reference_share: before as f64 / totals[0] as f64,
            current_share: after as f64 / totals[1] as f64,
            psi: Some(psi((before, totals[0]), (after, totals[1]))),
            ..ClassDrift::default()
        };
        if before >= 2 && after >= 2 {
            let own = [sets[0].subset(members[0]), sets[1].subset(members[1])];
            measure::<T>(&mut class, &own, settings, (place, &mut p_values), &Silent(progress))?;
        }
        progress.step(1)?;
        found.push(class);
    }
    progress.end();
    let adjusted = holm(&p_values.iter().map(|(_, p_value)| *p_value).collect::<Vec<f64>>());
    for ((place, p_value), adjusted_p_value) in p_values.into_iter().zip(adjusted) {
        found[place].test = Some(DriftTest { p_value, adjusted_p_value, verdict: DriftVerdict::at(adjusted_p_value) });
    }
    Ok(found)
}

/// Measures a class with at least two rows in either set.
fn measure<T: Real>(
    class: &mut ClassDrift,
    sets: &[Dataset; 2],
    settings: &DriftSettings,
    (place, p_values): (usize, &mut Vec<(usize, f64)>),
    progress: &dyn Progress,
) -> Result<()> {
    let [(before, variance), (after, _)] = [mean_and_variance(&sets[0])?, mean_and_variance(&sets[1])?];
    if settings.computes("mean_shift") {
        class.mean_shift = mean_shift(&before, &after, variance).ok();
    }
    let dimensions = sets[0].dimensions();
    if settings.computes("frechet_distance") && sets.iter().all(|set| set.len() > dimensions) {
        let moments = |set: &Dataset| -> Result<Moments> { Ok(BlockMoments::new(set, settings.seed, progress)?.all()) };
        class.frechet_distance = Some(frechet_distance(&moments(&sets[0])?, &moments(&sets[1])?)?);
    }
    if settings.computes("energy_distance") {
        let seed = settings.seed;
        let [first, second] =
            [drawn_from(&sets[0], settings.subset, seed), drawn_from(&sets[1], settings.subset, seed.wrapping_add(1))];
        let wanted = PassOptions { energy: true, permutations: settings.permutations, seed, ..PassOptions::default() };
        let pairs = PooledPairs::<T>::new(&first, &second, progress)?;
        let found = discrepancies(&pairs, (first.len(), second.len()), wanted)?;
        if let Some(Ok(tested)) = found.energy {
            class.energy_distance = Some(tested.value);
            p_values.extend(tested.p_value.map(|p_value| (place, p_value)));
        }
    }
    Ok(())
}
