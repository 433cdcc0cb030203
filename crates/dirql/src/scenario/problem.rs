//! What is wrong with a scenario file, shown at its place.

use std::fmt;
use std::ops::Range;

use annotate_snippets::renderer::DecorStyle;
use annotate_snippets::{AnnotationKind, Group, Level, Patch, Renderer, Snippet};

/// One thing that is wrong with a scenario file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What, in one sentence.
    pub title: String,
    /// Where, in bytes of the file.
    pub span: Range<usize>,
    /// What is said at that place.
    pub label: String,
    /// What may be there.
    pub note: Option<String>,
    /// What to write instead: why, where, and what.
    pub fix: Option<(String, Range<usize>, String)>,
}

impl Problem {
    pub(super) fn new(
        title: impl Into<String>,
        span: Range<usize>,
        label: impl Into<String>,
    ) -> Self {
        Self {
            title: title.into(),
            span,
            label: label.into(),
            note: None,
            fix: None,
        }
    }

    pub(super) fn note(mut self, note: impl Into<String>) -> Self {
        self.note = Some(note.into());
        self
    }

    /// Proposes to put `text` where the problem is.
    pub(super) fn replace(mut self, help: impl Into<String>, text: impl Into<String>) -> Self {
        self.fix = Some((help.into(), self.span.clone(), text.into()));
        self
    }

    /// As [`Problem::replace`], if there is something to propose.
    pub(super) fn perhaps(self, fix: Option<(String, String)>) -> Self {
        match fix {
            Some((help, text)) => self.replace(help, text),
            None => self,
        }
    }
}

/// A scenario file cannot be used. Displayed, it shows every problem at its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScenarioError {
    file: String,
    source: String,
    problems: Vec<Problem>,
}

impl ScenarioError {
    pub(super) fn new(file: &str, source: &str, mut problems: Vec<Problem>) -> Self {
        problems.sort_by_key(|problem| problem.span.start);
        Self {
            file: file.into(),
            source: source.into(),
            problems,
        }
    }

    /// Everything that is wrong, in the order of the file.
    #[must_use]
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }

    /// The problems, each under its place in the file, in colour if `styled`.
    #[must_use]
    pub fn render(&self, styled: bool) -> String {
        let renderer = if styled {
            Renderer::styled()
        } else {
            Renderer::plain()
        };
        let renderer = renderer.decor_style(DecorStyle::Ascii);
        let rendered = self
            .problems
            .iter()
            .map(|problem| renderer.render(&self.report(problem)));
        rendered.collect::<Vec<_>>().join("\n\n")
    }

    fn report<'a>(&'a self, problem: &'a Problem) -> Vec<Group<'a>> {
        let annotation = AnnotationKind::Primary
            .span(self.inside(&problem.span))
            .label(&problem.label);
        let snippet = Snippet::source(&self.source)
            .path(&self.file)
            .annotation(annotation);
        let mut group = Level::ERROR.primary_title(&problem.title).element(snippet);
        if let Some(note) = &problem.note {
            group = group.element(Level::NOTE.message(note));
        }
        let mut groups = vec![group];
        if let Some((help, span, text)) = &problem.fix {
            let patch = Patch::new(self.inside(span), text);
            let snippet = Snippet::source(&self.source).path(&self.file).patch(patch);
            groups.push(Level::HELP.secondary_title(help).element(snippet));
        }
        groups
    }

    /// A span that lies in the source, whatever the parser of TOML said about an end of file.
    fn inside(&self, span: &Range<usize>) -> Range<usize> {
        let end = self.source.len();
        span.start.min(end)..span.end.min(end).max(span.start.min(end))
    }
}

impl fmt::Display for ScenarioError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for ScenarioError {}
