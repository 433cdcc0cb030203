//! The lines of a driver's source around a place, if the source is at hand.

use std::path::{Path, PathBuf};

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};

/// Bytes of a source file that is looked into, at most.
const MOST_BYTES: u64 = 4 << 20;

/// The line of `file` as the debugging information names it, with a pointer at it; `None` if no
/// such file is where it could be: as it is named, or with directories left out from the left, below
/// the current directory.
pub(super) fn excerpt(file: &str, line: u32) -> Option<String> {
    let path = find(file, Path::new(""))?;
    let text = std::fs::read_to_string(&path).ok()?;
    render(file, &text, line)
}

fn find(file: &str, below: &Path) -> Option<PathBuf> {
    let file = file.replace('\\', "/");
    let parts: Vec<&str> = file
        .split('/')
        .filter(|part| !part.is_empty() && *part != ".")
        .collect();
    // A name alone would find another driver's file of the same name.
    let relative = (0..parts.len().saturating_sub(1).max(1))
        .map(|skipped| below.join(parts[skipped..].join("/")));
    let named = file.starts_with('/').then(|| PathBuf::from(&file));
    let is_text = |path: &PathBuf| {
        std::fs::metadata(path).is_ok_and(|found| found.is_file() && found.len() <= MOST_BYTES)
    };
    named.into_iter().chain(relative).find(is_text)
}

fn render(file: &str, text: &str, line: u32) -> Option<String> {
    let index = usize::try_from(line.checked_sub(1)?).ok()?;
    let start: usize = text.split_inclusive('\n').take(index).map(str::len).sum();
    let content = text.get(start..)?.lines().next()?;
    let indent = content.len() - content.trim_start().len();
    if content.trim().is_empty() {
        return None;
    }
    let span = start + indent..start + content.trim_end().len();
    let snippet = Snippet::source(text)
        .path(file)
        .annotation(AnnotationKind::Primary.span(span));
    let group = Group::with_level(Level::ERROR).element(snippet);
    let renderer = Renderer::styled().decor_style(DecorStyle::Ascii);
    Some(renderer.render(&[group]))
}

#[cfg(test)]
mod tests {
    use super::render;

    #[test]
    fn a_line_is_shown_with_a_pointer() {
        let text = "int a;\n\tint b;\nint c;\n";
        let styled = render("x/a.c", text, 2).unwrap();
        let plain = anstream::adapter::strip_str(&styled).to_string();
        assert_eq!(plain, " --> x/a.c:2:2\n  |\n2 |     int b;\n  |     ^^^^^^");
    }

    #[test]
    fn a_line_that_is_not_there_is_not_shown() {
        for line in [0, 4, 3, u32::MAX] {
            assert_eq!(render("a.c", "int a;\nint b;\n\n", line), None, "{line}");
        }
    }
}
