//! From bytes to sections of entries.

use std::collections::BTreeMap;
use std::iter::Peekable;
use std::str::Chars;

use crate::inf::{Entry, Field, InfError, InfProblem, Position, Section};

/// Reads all sections, by name in lower case.
pub(super) fn sections(bytes: &[u8]) -> Result<BTreeMap<String, Section>, InfError> {
    let text = decode(bytes)?;
    let mut lines = Lines {
        chars: text.chars().peekable(),
        at: Position { line: 1, column: 1 },
    };
    let mut sections: BTreeMap<String, Section> = BTreeMap::new();
    let mut current: Option<String> = None;
    while let Some(line) = lines.next_line()? {
        match (line, &current) {
            (
                Line::Section(Field {
                    text: name,
                    position,
                }),
                _,
            ) => {
                let key = name.to_lowercase();
                let entries = Vec::new();
                sections.entry(key.clone()).or_insert(Section {
                    name,
                    position,
                    entries,
                });
                current = Some(key);
            }
            (Line::Entry(entry), Some(current)) => {
                if let Some(section) = sections.get_mut(current) {
                    section.entries.push(entry);
                }
            }
            (Line::Entry(entry), None) => {
                return Err(InfProblem::NoSection.at(entry.position));
            }
        }
    }
    Ok(sections)
}

fn decode(bytes: &[u8]) -> Result<String, InfError> {
    match bytes {
        [0xff, 0xfe, rest @ ..] => utf16(rest, u16::from_le_bytes),
        [0xfe, 0xff, rest @ ..] => utf16(rest, u16::from_be_bytes),
        [0xef, 0xbb, 0xbf, rest @ ..] => Ok(narrow(rest)),
        _ => Ok(narrow(bytes)),
    }
}

fn narrow(bytes: &[u8]) -> String {
    match str::from_utf8(bytes) {
        Ok(text) => text.to_owned(),
        Err(_) => bytes.iter().copied().map(char::from).collect(),
    }
}

fn utf16(bytes: &[u8], unit: fn([u8; 2]) -> u16) -> Result<String, InfError> {
    let (units, rest) = bytes.as_chunks::<2>();
    let mut text = String::new();
    for character in char::decode_utf16(units.iter().copied().map(unit)) {
        text.push(character.map_err(|_| InfProblem::Encoding.at(end(&text)))?);
    }
    if rest.is_empty() {
        Ok(text)
    } else {
        Err(InfProblem::Encoding.at(end(&text)))
    }
}

/// The position after all of `text`.
fn end(text: &str) -> Position {
    let last = text.rsplit('\n').next().unwrap_or_default();
    Position {
        line: text.matches('\n').count() + 1,
        column: last.chars().count() + 1,
    }
}

enum Line {
    Section(Field),
    Entry(Entry),
}

struct Lines<'a> {
    chars: Peekable<Chars<'a>>,
    at: Position,
}

/// What ended a field.
#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Comma,
    Equals,
    Line,
}

impl Lines<'_> {
    /// The next line that says something.
    fn next_line(&mut self) -> Result<Option<Line>, InfError> {
        loop {
            self.skip_blanks();
            match self.chars.peek() {
                None => return Ok(None),
                Some('\n') => {
                    self.next();
                }
                Some(';') => self.skip_line(),
                // An old way to end an ANSI file.
                Some('\x1a') => {
                    self.next();
                }
                Some('[') => return self.section().map(|name| Some(Line::Section(name))),
                Some(_) => return self.entry().map(|entry| Some(Line::Entry(entry))),
            }
        }
    }

    fn next(&mut self) -> Option<char> {
        let next = self.chars.next()?;
        if next == '\n' {
            self.at = Position {
                line: self.at.line + 1,
                column: 1,
            };
        } else {
            self.at.column += 1;
        }
        Some(next)
    }

    fn skip_blanks(&mut self) {
        while self
            .chars
            .peek()
            .is_some_and(|c| c.is_whitespace() && *c != '\n')
        {
            self.next();
        }
    }

    fn skip_line(&mut self) {
        while self.next().is_some_and(|c| c != '\n') {}
    }

    /// `[name]`; the rest of the line does not count.
    fn section(&mut self) -> Result<Field, InfError> {
        let bracket = self.at;
        self.next();
        let position = self.at;
        let mut name = String::new();
        loop {
            match self.chars.peek() {
                None | Some('\n') => return Err(InfProblem::SectionName.at(bracket)),
                Some(']') => break,
                Some(_) => name.extend(self.next()),
            }
        }
        self.skip_line();
        Ok(Field {
            text: name.trim().trim_matches('"').to_owned(),
            position,
        })
    }

    /// A key ends at the first `=` that stands before any comma.
    fn entry(&mut self) -> Result<Entry, InfError> {
        let mut entry = Entry {
            position: self.at,
            ..Entry::default()
        };
        let (first, mut end) = self.field(true)?;
        if end == End::Equals {
            entry.key = Some(first);
            let (value, next) = self.field(false)?;
            entry.values.push(value);
            end = next;
        } else {
            entry.values.push(first);
        }
        while end == End::Comma {
            let (value, next) = self.field(false)?;
            entry.values.push(value);
            end = next;
        }
        Ok(entry)
    }

    /// One field, and what ended it. Blanks around it do not count unless they are quoted.
    fn field(&mut self, may_be_key: bool) -> Result<(Field, End), InfError> {
        self.skip_blanks();
        let mut position = self.at;
        let mut text = String::new();
        // Up to here nothing is trimmed, because it was quoted.
        let mut quoted = 0;
        let end = loop {
            match self.chars.peek().copied() {
                None => break End::Line,
                Some('\n') => {
                    self.next();
                    break End::Line;
                }
                Some(';') => {
                    self.skip_line();
                    break End::Line;
                }
                Some(',') => {
                    self.next();
                    break End::Comma;
                }
                Some('=') if may_be_key => {
                    self.next();
                    break End::Equals;
                }
                Some('"') => {
                    self.quoted(&mut text)?;
                    quoted = text.len();
                }
                Some('\\') if self.continues() => {
                    self.skip_line();
                    self.skip_blanks();
                    if text.is_empty() {
                        position = self.at;
                    }
                }
                Some(_) => text.extend(self.next()),
            }
        };
        let trimmed = text.trim_end().len().max(quoted);
        text.truncate(trimmed);
        Ok((Field { text, position }, end))
    }

    /// A string in quotes; two quotes in it are one.
    fn quoted(&mut self, text: &mut String) -> Result<(), InfError> {
        let quote = self.at;
        self.next();
        loop {
            match self.chars.peek() {
                None | Some('\n' | '\r') => return Err(InfProblem::Quote.at(quote)),
                Some('"') => {
                    self.next();
                    if self.chars.peek() != Some(&'"') {
                        return Ok(());
                    }
                    text.extend(self.next());
                }
                Some(_) => text.extend(self.next()),
            }
        }
    }

    /// Whether the backslash ahead is the last thing on its line, a comment aside.
    fn continues(&self) -> bool {
        let mut ahead = self.chars.clone();
        ahead.next();
        let next = ahead.find(|c| !c.is_whitespace() || *c == '\n');
        matches!(next, Some('\n' | ';'))
    }
}
