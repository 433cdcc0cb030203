//! What was probably meant.

/// The name that is nearest to `text`, the first of equals: at most two edits away, and fewer
/// than it has letters. Letter case does not count.
pub(crate) fn nearest<'a>(text: &str, names: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let limit = |name: &str| if name.len() > 12 { 4 } else { 2 };
    names
        .into_iter()
        .map(|name| (distance(text, name), name))
        .filter(|&(distance, name)| distance <= limit(name) && distance < name.len())
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, name)| name)
}

/// Levenshtein distance.
fn distance(one: &str, other: &str) -> usize {
    let other: Vec<char> = other.chars().collect();
    let mut row: Vec<usize> = (0..=other.len()).collect();
    for (i, a) in one.chars().enumerate() {
        let mut next = vec![i + 1; row.len()];
        for (j, b) in other.iter().enumerate() {
            let replace = row[j] + usize::from(!a.eq_ignore_ascii_case(b));
            next[j + 1] = replace.min(row[j + 1] + 1).min(next[j] + 1);
        }
        row = next;
    }
    row[other.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_edits_are_near_and_three_are_not() {
        assert_eq!(
            nearest("proccesors", ["windows", "processors"]),
            Some("processors")
        );
        assert_eq!(
            nearest("SURPRISE-REMOVE", ["surprise_remove"]),
            Some("surprise_remove")
        );
        assert_eq!(nearest("abcde", ["edcba"]), None);
        assert_eq!(nearest("xy", ["ab"]), None, "nothing of it is left");
        assert_eq!(nearest("", ["a"]), None);
        assert_eq!(
            nearest("rea", ["read", "real"]),
            Some("read"),
            "the first of equals"
        );
    }
}
