//! Whether links between Markdown files lead somewhere: the file exists, and the heading.

use std::collections::BTreeMap;

use crate::problem::Problem;
use crate::tree::TextFile;

/// A link of the form `[text](target)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Link<'a> {
    /// Counted from 1.
    pub(crate) line: usize,
    pub(crate) target: &'a str,
}

pub(crate) fn check(files: &[TextFile], exists: &dyn Fn(&str) -> bool) -> Vec<Problem> {
    let pages: BTreeMap<&str, &TextFile> = files
        .iter()
        .filter(|file| file.is_markdown())
        .map(|file| (file.path.as_str(), file))
        .collect();
    let mut problems = Vec::new();
    for (path, page) in &pages {
        for link in targets(&page.text) {
            if let Some(message) = problem_of(path, link.target, &pages, exists) {
                problems.push(Problem::new(*path, link.line, message));
            }
        }
    }
    problems
}

fn problem_of(
    from: &str,
    target: &str,
    pages: &BTreeMap<&str, &TextFile>,
    exists: &dyn Fn(&str) -> bool,
) -> Option<String> {
    if target.contains("://") || target.starts_with("mailto:") {
        return None;
    }
    let (file, anchor) = target
        .split_once('#')
        .map_or((target, None), |(file, anchor)| (file, Some(anchor)));
    let Some(path) = (if file.is_empty() {
        Some(from.to_owned())
    } else {
        resolve(from, file)
    }) else {
        return Some(format!("{target} leads out of the repository"));
    };
    if !exists(&path) {
        return Some(format!("{target} leads to {path}, which does not exist"));
    }
    let anchor = anchor?;
    match pages.get(path.as_str()) {
        Some(page) if anchors(&page.text).any(|there| there == anchor) => None,
        Some(_) => Some(format!("{path} has no heading for #{anchor}")),
        None => None,
    }
}

/// The path that `target` means in the file `from`; `None` if it is above the root.
fn resolve(from: &str, target: &str) -> Option<String> {
    let mut parts: Vec<&str> = from.split('/').collect();
    parts.pop();
    for part in target.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop()?;
            }
            _ => parts.push(part),
        }
    }
    Some(parts.join("/"))
}

/// The links of a page, code left out.
pub(crate) fn targets(text: &str) -> impl Iterator<Item = Link<'_>> {
    prose(text).flat_map(|(line, text)| {
        text.match_indices("](").filter_map(move |(at, opening)| {
            let rest = &text[at + opening.len()..];
            let target = &rest[..rest.find(')')?];
            let in_code = text[..at].matches('`').count() % 2 == 1 && rest.contains('`');
            (!in_code).then_some(Link { line, target })
        })
    })
}

/// The anchors that headings get: lower case, blanks to hyphens, no other punctuation.
fn anchors(text: &str) -> impl Iterator<Item = String> {
    let headings = prose(text).filter(|(_, line)| line.starts_with('#'));
    headings.map(|(_, line)| {
        let heading = line.trim_start_matches('#').trim().to_lowercase();
        let kept = heading
            .chars()
            .filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        kept.map(|c| if c == ' ' { '-' } else { c }).collect()
    })
}

/// The lines outside code blocks, numbered from 1.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut in_code = false;
    (1..).zip(text.lines()).filter(move |(_, line)| {
        let fence = line.trim_start().starts_with("```");
        in_code ^= fence;
        !in_code && !fence
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let files = [
            TextFile::new("docs/src/a.md", text),
            TextFile::new("docs/src/b.md", "# One thing, two words\n"),
        ];
        let exists =
            |path: &str| ["docs/src/a.md", "docs/src/b.md", "README.md", "samples"].contains(&path);
        check(&files, &exists)
            .into_iter()
            .map(|problem| problem.to_string())
            .collect()
    }

    #[test]
    fn links_that_lead_somewhere() {
        assert_eq!(
            messages(
                "[b](b.md) [b](b.md#one-thing-two-words) [r](../../README.md) [s](../../samples/)"
            )
            .len(),
            0
        );
        assert_eq!(
            messages("# Here\n[h](#here) [w](https://github.com/dirql/dirql)").len(),
            0
        );
    }

    #[test]
    fn links_that_do_not() {
        assert_eq!(
            messages("\n[c](c.md)"),
            ["docs/src/a.md:2: c.md leads to docs/src/c.md, which does not exist"]
        );
        assert_eq!(
            messages("[b](b.md#two)"),
            ["docs/src/a.md:1: docs/src/b.md has no heading for #two"]
        );
        assert_eq!(
            messages("[h](#here)"),
            ["docs/src/a.md:1: docs/src/a.md has no heading for #here"]
        );
        assert_eq!(
            messages("[x](../../../x.md)"),
            ["docs/src/a.md:1: ../../../x.md leads out of the repository"]
        );
    }

    #[test]
    fn code_is_not_prose() {
        assert_eq!(
            messages("```\n[c](c.md)\n```\nand `[c](c.md)` too").len(),
            0
        );
    }
}
