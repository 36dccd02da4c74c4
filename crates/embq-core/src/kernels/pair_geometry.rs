//! Class statistics for distances whose means over rows do not follow from class means.

use ndarray::Array2;
use rayon::prelude::*;

use crate::data::Dataset;
use crate::error::Result;
use crate::kernels::centroids::Centroids;
use crate::kernels::class_sums::ClassSums;
use crate::kernels::dense::RowScale;
use crate::kernels::pairs::PairDistance;
use crate::kernels::vectorized::{Vectorized, vectorized};
use crate::kernels::{ClassGeometry, Nearest, PassOptions, Real};
use crate::progress::Progress;

/// Rows per task.
const BLOCK_ROWS: usize = 512;

/// Adds statistics of class means to the nearest classes and the matrix from pairs.
///
/// # Errors
/// Errors from reading rows.
pub(crate) fn pair_geometry<T: Real>(
    dataset: &Dataset,
    distance: PairDistance,
    progress: &dyn Progress,
    (nearest, matrix): (Vec<Option<Nearest>>, Option<Array2<f64>>),
    wanted: PassOptions,
) -> Result<ClassGeometry> {
    let mut geometry = ClassGeometry { nearest, matrix, ..Default::default() };
    if !wanted.geometry {
        return Ok(geometry);
    }
    let (sums, centre) = ClassSums::with_centre::<T>(dataset, false, progress)?;
    let means: Vec<T> = sums.centred_means(&centre);
    geometry.centroid_separation = Centroids::new(&sums, &means, centre.scale).separation(distance);
    geometry.scatter = Some(sums.scatter());
    geometry.variance = sums.variance.iter().copied().map(Some).collect();
    let (codes, scored) = (dataset.labels().codes(), dataset.scored());
    geometry.radius = vec![None; scored.len()];
    scored.rows().for_each_window::<T>(|window| {
        let range = window.range();
        let blocks = geometry.radius[range.clone()].par_chunks_mut(BLOCK_ROWS).enumerate();
        blocks.try_for_each_init(Vec::new, |buffer, (block, radii)| {
            progress.check()?;
            let start = range.start + block * BLOCK_ROWS;
            let rows = window.rows(start..start + radii.len(), buffer)?;
            let classes = (start..).map(|index| codes[scored.position(index)] as usize);
            vectorized(Radii { sums: &sums, distance, rows, classes, radii });
            Ok(())
        })
    })?;
    Ok(geometry)
}

/// The distances of rows to the means of their classes.
struct Radii<'t, T, C> {
    sums: &'t ClassSums,
    distance: PairDistance,
    rows: &'t [T],
    classes: C,
    radii: &'t mut [Option<f64>],
}

impl<T: Real, C: Iterator<Item = usize>> Vectorized for Radii<'_, T, C> {
    type Output = ();

    #[inline(always)]
    fn run(self) {
        let Radii { sums, distance, rows, classes, radii } = self;
        let d = sums.dimensions();
        let mut exact = vec![0.0; d];
        for ((radius, row), class) in radii.iter_mut().zip(rows.chunks_exact(d)).zip(classes) {
            RowScale::ONE.apply_to(row, &mut exact);
            *radius = Some(match distance {
                PairDistance::Euclidean => sums.squared_distance(&exact, class).sqrt(),
                PairDistance::Manhattan => sums.manhattan_distance(&exact, class),
            });
        }
    }
}
