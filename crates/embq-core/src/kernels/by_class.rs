//! Rows in class order.

/// Rows sorted by class, in row order within a class, with the start of each class and the end of the last.
pub(crate) fn sort_by_class(codes: &[u32], counts: &[usize]) -> (Vec<usize>, Vec<usize>) {
    let mut starts = Vec::with_capacity(counts.len() + 1);
    let mut end = 0;
    starts.push(0);
    for &count in counts {
        end += count;
        starts.push(end);
    }
    let mut next = starts.clone();
    let mut order = vec![0; codes.len()];
    for (row, &code) in codes.iter().enumerate() {
        order[next[code as usize]] = row;
        next[code as usize] += 1;
    }
    (order, starts)
}
