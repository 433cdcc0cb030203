//! One HTML file that shows runs: what was found, and the timeline of each run with its findings
//! in it. It needs nothing beside itself and asks nothing of any network.
//!
//! Whoever has runs fills a [`Page`] and writes it; the page shows what it is given: facts and
//! tables as they are, findings with the place in their run, runs as pictures.

use std::io::{self, Write};

use serde::{Deserialize, Serialize};

use crate::timeline::{KINDS, Timeline};

const HTML: &str = include_str!("page.html");
const STYLE: &str = include_str!("page.css");
/// The script in the order in which its parts need each other.
const SCRIPT: &[&str] = &[
    include_str!("script/data.js"),
    include_str!("script/lanes.js"),
    include_str!("script/draw.js"),
    include_str!("script/view.js"),
    include_str!("script/table.js"),
    include_str!("script/page.js"),
];

/// What a page shows.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Page {
    /// What it is about: the driver.
    pub title: String,
    /// What came out, in words: `clean`, `2 findings`, `no verdict`.
    pub verdict: String,
    /// `clean`, `findings` or `no_verdict`.
    pub outcome: String,
    /// Facts by name, in order.
    pub facts: Vec<(String, String)>,
    /// Tables, for example of what was covered.
    pub tables: Vec<Table>,
    /// What was found.
    pub findings: Vec<Finding>,
    /// Runs that findings refer to, or that are to be seen.
    #[serde(skip)]
    pub runs: Vec<Run>,
}

/// A table with a title.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Table {
    /// What it is about.
    pub title: String,
    /// The columns' names.
    pub head: Vec<String>,
    /// Rows as long as the head.
    pub rows: Vec<Vec<String>>,
}

/// A finding as the page tells it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// The rule's ID.
    pub rule: String,
    /// `error`, `warning` or `advice`.
    pub severity: String,
    /// What a driver must do.
    pub headline: String,
    /// What this driver did.
    pub message: String,
    /// Where, in words.
    pub place: String,
    /// What happened at the other place, and where that was.
    pub earlier: Option<(String, String)>,
    /// What to do about it.
    pub help: String,
    /// Who says so.
    pub source: String,
    /// How Windows would have reported it; may be empty.
    pub windows: String,
    /// What it needs to be seen, in a sentence; may be empty.
    pub needs: String,
    /// The command that shows it again; may be empty.
    pub replay: String,
    /// Its run among the page's and its place among the findings of that run's timeline.
    pub run: Option<(usize, usize)>,
}

/// A run as the page shows it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Run {
    /// What it is called.
    pub name: String,
    /// The command that plays it again; may be empty.
    pub replay: String,
    /// Lines and vectors by the names of their sources: `line` or `vector`, number, name.
    pub sources: Vec<(String, u32, String)>,
    /// What happened.
    pub timeline: Timeline,
}

impl Page {
    /// Writes the file.
    ///
    /// # Errors
    /// The writer's.
    pub fn write(&self, out: &mut dyn Write) -> io::Result<()> {
        let kinds: &[&str] = KINDS;
        let mut rest = HTML;
        while let Some((before, after)) = rest.split_once("{{") {
            out.write_all(before.as_bytes())?;
            let (name, after) = after.split_once("}}").unwrap_or((after, ""));
            match name {
                "title" => out.write_all(escaped(&self.title).as_bytes())?,
                "style" => out.write_all(STYLE.as_bytes())?,
                "script" => {
                    for part in SCRIPT {
                        out.write_all(part.as_bytes())?;
                    }
                }
                "summary" => self.write_summary(out)?,
                "data" => {
                    write_json(out, "page", self)?;
                    write_json(out, "kinds", &kinds)?;
                    for (number, run) in self.runs.iter().enumerate() {
                        write_json(out, &format!("run-{number}"), run)?;
                    }
                }
                _ => {}
            }
            rest = after;
        }
        out.write_all(rest.as_bytes())
    }

    /// What somebody reads whose browser runs no scripts.
    fn write_summary(&self, out: &mut dyn Write) -> io::Result<()> {
        writeln!(
            out,
            "<h1>{}: {}</h1>",
            escaped(&self.title),
            escaped(&self.verdict)
        )?;
        for finding in &self.findings {
            writeln!(
                out,
                "<h2>{}: {}</h2><p>{}</p><p>{}</p><pre>{}</pre>",
                escaped(&finding.rule),
                escaped(&finding.headline),
                escaped(&finding.message),
                escaped(&finding.place),
                escaped(&finding.replay),
            )?;
        }
        Ok(())
    }
}

/// Data as an element that the page's script reads. In JSON `<` stands in texts only, where it
/// can be written otherwise, so that no text ends the element.
fn write_json(out: &mut dyn Write, id: &str, value: &impl Serialize) -> io::Result<()> {
    let text = serde_json::to_string(value)?.replace('<', "\\u003c");
    writeln!(
        out,
        "<script type=\"application/json\" id=\"{id}\">{text}</script>"
    )
}

/// Text as it stands in HTML, in an attribute too.
#[must_use]
pub fn escaped(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for sign in text.chars() {
        match sign {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            other => safe.push(other),
        }
    }
    safe
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(page: &Page) -> String {
        let mut out = Vec::new();
        page.write(&mut out).unwrap();
        String::from_utf8(out).unwrap()
    }

    #[test]
    fn what_a_driver_says_stays_text() {
        let page = Page {
            title: "<b>.sys".into(),
            findings: vec![Finding {
                message: "</script><script>alert(1)".into(),
                ..Finding::default()
            }],
            ..Page::default()
        };
        let text = written(&page);
        assert!(!text.contains("</script><script>alert"), "{text}");
        assert!(text.contains("<title>&lt;b&gt;.sys"), "{text}");
    }

    #[test]
    fn nothing_is_fetched() {
        let text = written(&Page::default());
        for wanted in ["http:", "https:", "src=", "@import", "url("] {
            assert!(!text.contains(wanted), "{wanted}");
        }
        assert!(text.contains("default-src 'none'"));
        assert!(
            !text.contains("{{"),
            "every part of the template is filled in"
        );
    }
}
