//! Licence expressions as manifests have them.
//!
//! Source: SPDX specification, "SPDX license expressions": WITH binds tighter than AND, AND
//! tighter than OR. Old manifests write `/` for OR.

use std::fmt;

/// An expression over licences.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Expression {
    /// One licence, with its exception if there is one.
    Licence(String),
    /// All apply.
    And(Vec<Expression>),
    /// One may be chosen.
    Or(Vec<Expression>),
}

/// Why a text is no expression.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ParseError {
    /// Something else was expected.
    Unexpected(String),
    /// The text ends too early.
    End,
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unexpected(word) => write!(f, "unexpected {word}"),
            Self::End => f.write_str("it ends too early"),
        }
    }
}

impl Expression {
    pub(super) fn parse(text: &str) -> Result<Self, ParseError> {
        let text = text
            .replace('(', " ( ")
            .replace(')', " ) ")
            .replace('/', " OR ");
        let mut words = Words {
            words: text.split_whitespace().collect(),
            at: 0,
        };
        let expression = words.or()?;
        match words.next() {
            None => Ok(expression),
            Some(word) => Err(ParseError::Unexpected(word.to_owned())),
        }
    }

    pub(super) fn is_allowed(&self, allowed: &[String]) -> bool {
        match self {
            Self::Licence(licence) => allowed.contains(licence),
            Self::And(all) => all.iter().all(|one| one.is_allowed(allowed)),
            Self::Or(any) => any.iter().any(|one| one.is_allowed(allowed)),
        }
    }
}

struct Words<'a> {
    words: Vec<&'a str>,
    at: usize,
}

impl<'a> Words<'a> {
    fn next(&mut self) -> Option<&'a str> {
        let word = self.words.get(self.at).copied();
        self.at += 1;
        word
    }

    /// Takes the next word if it is this one.
    fn take(&mut self, wanted: &str) -> bool {
        let is = self.words.get(self.at) == Some(&wanted);
        self.at += usize::from(is);
        is
    }

    fn or(&mut self) -> Result<Expression, ParseError> {
        let mut any = vec![self.and()?];
        while self.take("OR") {
            any.push(self.and()?);
        }
        Ok(if any.len() == 1 {
            any.remove(0)
        } else {
            Expression::Or(any)
        })
    }

    fn and(&mut self) -> Result<Expression, ParseError> {
        let mut all = vec![self.one()?];
        while self.take("AND") {
            all.push(self.one()?);
        }
        Ok(if all.len() == 1 {
            all.remove(0)
        } else {
            Expression::And(all)
        })
    }

    fn one(&mut self) -> Result<Expression, ParseError> {
        if self.take("(") {
            let inner = self.or()?;
            return if self.take(")") {
                Ok(inner)
            } else {
                Err(self.unexpected())
            };
        }
        let licence = self.name()?;
        if self.take("WITH") {
            let exception = self.name()?;
            return Ok(Expression::Licence(format!("{licence} WITH {exception}")));
        }
        Ok(Expression::Licence(licence.to_owned()))
    }

    fn name(&mut self) -> Result<&'a str, ParseError> {
        match self.words.get(self.at) {
            Some(&word) if !matches!(word, "(" | ")" | "AND" | "OR" | "WITH") => {
                self.at += 1;
                Ok(word)
            }
            _ => Err(self.unexpected()),
        }
    }

    fn unexpected(&self) -> ParseError {
        self.words.get(self.at).map_or(ParseError::End, |word| {
            ParseError::Unexpected((*word).to_owned())
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn allowed(text: &str) -> bool {
        let list = ["MIT", "Apache-2.0 WITH LLVM-exception", "Zlib"].map(String::from);
        Expression::parse(text).unwrap().is_allowed(&list)
    }

    #[test]
    fn one_of_several_suffices_and_all_of_several_are_needed() {
        assert!(allowed("MIT"));
        assert!(allowed("GPL-3.0 OR MIT"));
        assert!(allowed("GPL-3.0/MIT"));
        assert!(allowed("MIT AND Zlib"));
        assert!(!allowed("MIT AND GPL-3.0"));
        assert!(!allowed("GPL-3.0"));
    }

    #[test]
    fn and_binds_tighter_than_or() {
        assert!(allowed("MIT OR Zlib AND GPL-3.0"));
        assert!(!allowed("(MIT OR Zlib) AND GPL-3.0"));
    }

    #[test]
    fn an_exception_belongs_to_its_licence() {
        assert!(allowed("Apache-2.0 WITH LLVM-exception OR Apache-2.0"));
        assert!(!allowed("Apache-2.0"));
    }

    #[test]
    fn what_is_no_expression_is_an_error() {
        let unexpected = |word: &str| Err(ParseError::Unexpected(word.to_owned()));
        assert_eq!(Expression::parse(""), Err(ParseError::End));
        assert_eq!(Expression::parse("MIT OR"), Err(ParseError::End));
        assert_eq!(Expression::parse("(MIT"), Err(ParseError::End));
        assert_eq!(Expression::parse("MIT)"), unexpected(")"));
        assert_eq!(Expression::parse("MIT Zlib"), unexpected("Zlib"));
        assert_eq!(Expression::parse("OR MIT"), unexpected("OR"));
    }
}
