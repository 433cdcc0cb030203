//! Whether the book's table of contents and its pages agree.

use std::collections::BTreeSet;

use crate::book::links;
use crate::problem::Problem;
use crate::tree::TextFile;

const CONTENTS: &str = "docs/src/SUMMARY.md";

pub(crate) fn check(files: &[TextFile]) -> Vec<Problem> {
    let Some(contents) = files.iter().find(|file| file.path == CONTENTS) else {
        return vec![Problem::new(CONTENTS, None, "is missing")];
    };
    let listed: BTreeSet<&str> = links::targets(&contents.text)
        .map(|link| link.target)
        .collect();
    files
        .iter()
        .filter_map(|file| file.path.strip_prefix("docs/src/"))
        .filter(|page| page.ends_with(".md") && *page != "SUMMARY.md" && !listed.contains(page))
        .map(|page| {
            Problem::new(
                format!("docs/src/{page}"),
                None,
                format!("is not in {CONTENTS}"),
            )
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_that_is_not_listed_is_a_problem() {
        let contents = TextFile::new(CONTENTS, "- [One](one.md)\n");
        let pages = ["docs/src/one.md", "docs/src/two.md", "docs/book.toml"]
            .map(|path| TextFile::new(path, ""));
        let problems = check(&[&[contents], &pages[..]].concat());
        assert_eq!(
            problems,
            [Problem::new(
                "docs/src/two.md",
                None,
                "is not in docs/src/SUMMARY.md"
            )]
        );
    }

    #[test]
    fn a_book_without_contents_is_a_problem() {
        assert_eq!(check(&[]).len(), 1);
    }
}
