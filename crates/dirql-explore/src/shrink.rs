//! Making a schedule shorter.

use crate::Deviation;

/// Leaves deviations out for as long as `fails` says that what was found is still found, and
/// returns what is left: no single one of it can be left out.
///
/// Source: A. Zeller and R. Hildebrandt, "Simplifying and Isolating Failure-Inducing Input", IEEE
/// Transactions on Software Engineering 28(2), 2002, figure 1 (`ddmin`), without the tests of the
/// parts alone: they rarely fail, as a deviation's place depends on those before it.
///
/// `fails` is asked at most `most` times.
pub fn shrink(
    deviations: &[Deviation],
    most: usize,
    mut fails: impl FnMut(&[Deviation]) -> bool,
) -> Vec<Deviation> {
    let mut left = deviations.to_vec();
    let mut asked = 0;
    let mut size = left.len().div_ceil(2);
    while size > 0 {
        let mut removed = false;
        // From the end: what comes later has the least influence on the rest.
        let mut end = left.len();
        while end > 0 {
            let start = end.saturating_sub(size);
            let mut candidate = left.clone();
            candidate.drain(start..end);
            if asked == most {
                return left;
            }
            asked += 1;
            if fails(&candidate) {
                left = candidate;
                removed = true;
            }
            end = start;
        }
        if size == 1 && !removed {
            break;
        }
        size = if size > 1 { size / 2 } else { 1 };
        if left.is_empty() {
            break;
        }
    }
    left
}
