//! Splits an expression into tokens.

use std::ops::Range;

use crate::gate::{Operator, wrong};
use embq_core::error::Result;

#[derive(Clone, Debug, PartialEq)]
pub(super) enum Token<'e> {
    Word(&'e str),
    Number(f64),
    /// A quoted text, without the quotes.
    Text(String),
    Operator(&'static str),
    Percent,
    Open,
    Close,
    Dot,
}

/// A token and its position.
pub(super) type Spanned<'e> = (Token<'e>, Range<usize>);

/// Splits an expression into tokens.
///
/// # Errors
/// An unknown character, an unclosed quote, or an invalid number.
pub(super) fn tokens(expression: &str) -> Result<Vec<Spanned<'_>>> {
    let mut tokens = Vec::new();
    let mut start = 0;
    while let Some(first) = expression[start..].chars().next() {
        let rest = &expression[start..];
        let (token, length) = match first {
            space if space.is_whitespace() => {
                start += space.len_utf8();
                continue;
            }
            '(' => (Token::Open, 1),
            ')' => (Token::Close, 1),
            '%' => (Token::Percent, 1),
            '"' | '\'' => text(expression, start, first)?,
            letter if letter.is_ascii_alphabetic() => {
                let length = word(rest);
                (Token::Word(&rest[..length]), length)
            }
            _ => match (number(rest), Operator::ALL.iter().find(|(name, _)| rest.starts_with(name))) {
                (Some(length), _) => (finite(expression, start, length)?, length),
                (None, Some((name, _))) => (Token::Operator(name), name.len()),
                (None, None) if first == '.' => (Token::Dot, 1),
                (None, None) => {
                    let range = start..start + first.len_utf8();
                    let tip = "comparisons are < <= > >= == !=, joined by and, or, not";
                    return Err(wrong(expression, range, &format!("unexpected '{first}'"), tip));
                }
            },
        };
        tokens.push((token, start..start + length));
        start += length;
    }
    Ok(tokens)
}

fn length_of(text: &str, belongs: impl Fn(char) -> bool) -> usize {
    text.find(|character| !belongs(character)).unwrap_or(text.len())
}

/// The length of the word at the start of a text. It may have a number behind an `@`, such as `tar@1e-3`.
fn word(text: &str) -> usize {
    let length = length_of(text, |letter| letter.is_ascii_alphanumeric() || letter == '_');
    match text[length..].strip_prefix('@') {
        None => length,
        Some(level) => {
            let letters = length_of(level, |letter| letter.is_ascii_alphanumeric() || "_@".contains(letter));
            length + 1 + letters.max(number(level).unwrap_or(0))
        }
    }
}

/// The length of the number at the start of a text, if there is one.
fn number(text: &str) -> Option<usize> {
    let digits = |from: usize| length_of(&text[from..], |character| character.is_ascii_digit());
    let sign = usize::from(text.starts_with(['-', '+']));
    let whole = digits(sign);
    let mut end = sign + whole;
    if text[end..].starts_with('.') {
        let fraction = digits(end + 1);
        if whole + fraction > 0 {
            end += 1 + fraction;
        }
    }
    if end == sign {
        return None;
    }
    if text[end..].starts_with(['e', 'E']) {
        let sign = usize::from(text[end + 1..].starts_with(['-', '+']));
        let exponent = digits(end + 1 + sign);
        if exponent > 0 {
            end += 1 + sign + exponent;
        }
    }
    Some(end)
}

fn finite(expression: &str, start: usize, length: usize) -> Result<Token<'_>> {
    let text = &expression[start..start + length];
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() => Ok(Token::Number(number)),
        _ => {
            let problem = format!("'{text}' is not a finite number");
            Err(wrong(expression, start..start + length, &problem, "write a number such as 0.3 or 10%"))
        }
    }
}

/// The text between quotes, in which `\` escapes the next character, and the length including the quotes.
fn text(expression: &str, start: usize, quote: char) -> Result<(Token<'_>, usize)> {
    let mut text = String::new();
    let mut characters = expression[start + 1..].char_indices();
    while let Some((at, character)) = characters.next() {
        match character {
            '\\' => text.extend(characters.next().map(|(_, escaped)| escaped)),
            end if end == quote => return Ok((Token::Text(text), at + 2)),
            other => text.push(other),
        }
    }
    let tip = format!("end it with {quote}");
    Err(wrong(expression, start..expression.len(), "the quote is not closed", &tip))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_an_end() {
        for (text, length) in [("12", 2), ("-.5)", 3), ("1.", 2), ("3e-2x", 4), ("3em", 1), ("1e", 1), ("+7%", 2)] {
            assert_eq!(number(text), Some(length), "{text}");
        }
        for text in [".", "-", "e5", "-x", ""] {
            assert_eq!(number(text), None, "{text}");
        }
    }

    #[test]
    fn words_take_the_number_behind_an_at_sign() {
        for (text, length) in [("recall@10<1", 9), ("tar@1e-3 < 1", 8), ("tar@0.001<1", 9), ("recall@x", 8), ("a-1", 1)]
        {
            assert_eq!(word(text), length, "{text}");
        }
    }

    #[test]
    fn a_backslash_takes_a_quote_into_the_text() {
        let (token, range) = tokens(r#" "a\"b" "#).unwrap().swap_remove(0);
        assert_eq!((token, range), (Token::Text("a\"b".to_owned()), 1..7));
    }
}
