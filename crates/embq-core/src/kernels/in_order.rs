//! Parallel blocks whose results are collected in order, so that sums do not depend on the number of threads.

use std::ops::Range;

use crate::error::Result;
use crate::kernels::parallel;
use crate::kernels::workspaces::Workspaces;

/// The maximum number of values in the results of all blocks in flight.
const HELD: usize = 1 << 25;

/// The number of blocks in flight whose results have `size` numbers. Does not depend on the number of threads.
pub(crate) fn blocks_at_once(size: usize) -> usize {
    (HELD / size.max(1)).clamp(8, 64)
}

/// Calls `compute` for blocks of `step` rows in parallel, `at_once` of them at a time, and `collect` for each result in
/// order.
///
/// # Errors
/// The first error of `compute`.
pub(crate) fn for_each_block<W: Default + Send, R: Send>(
    rows: Range<usize>,
    step: usize,
    at_once: usize,
    compute: impl Fn(&mut W, Range<usize>) -> Result<R> + Sync,
    mut collect: impl FnMut(Range<usize>, R),
) -> Result<()> {
    let blocks: Vec<Range<usize>> =
        rows.clone().step_by(step).map(|start| start..(start + step).min(rows.end)).collect();
    let workspaces = Workspaces::default();
    for blocks in blocks.chunks(at_once) {
        let results: Vec<R> =
            parallel::try_map(blocks, |block| workspaces.with(|workspace| compute(workspace, block.clone())))?;
        for (block, result) in blocks.iter().zip(results) {
            collect(block.clone(), result);
        }
    }
    Ok(())
}
