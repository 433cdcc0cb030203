//! The order of names in tables that are searched when they are compiled.

/// Whether `left` comes before `right` in the order of bytes. Constant, which the comparison of
/// the standard library is not.
#[must_use]
pub const fn is_before(left: &str, right: &str) -> bool {
    let (left, right) = (left.as_bytes(), right.as_bytes());
    let mut at = 0;
    while at < left.len() && at < right.len() {
        if left[at] != right[at] {
            return left[at] < right[at];
        }
        at += 1;
    }
    left.len() < right.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_ordered_as_the_standard_library_orders_them() {
        let names = ["", "Ke", "KeSetEvent", "KeSetEventBoost", "ke", "ZwClose"];
        for left in names {
            for right in names {
                assert_eq!(is_before(left, right), left < right, "{left} {right}");
            }
        }
    }
}
