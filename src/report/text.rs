//! Makes text from users' files safe to show.

use unicode_width::{UnicodeWidthChar, UnicodeWidthStr};

/// The text with control characters and invisible direction marks escaped, so that a label can neither move the cursor
/// nor reverse the rest of the line.
pub(crate) fn visible(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if character.is_control() || turns {
            shown.extend(character.escape_default());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The text in at most `width` columns of the terminal, with `…` in its middle if it is too long, because names of classes
/// often differ at their ends.
pub(crate) fn fitted(text: &str, width: usize) -> String {
    let text = visible(text);
    if text.width() <= width {
        return text;
    }
    let room = width.saturating_sub(1);
    let mut shown = leading(text.chars(), room - room / 2);
    shown.push('…');
    shown.extend(leading(text.chars().rev(), room / 2).chars().rev());
    shown
}

/// The first characters that fit in `width` columns.
fn leading(characters: impl Iterator<Item = char>, width: usize) -> String {
    let mut used = 0;
    let fits = |character: &char| {
        used += character.width().unwrap_or(0);
        used <= width
    };
    characters.take_while(fits).collect()
}

/// A path in at most `width` columns, cut off at the start, because its end is more informative.
pub(crate) fn fitted_path(path: &str, width: usize) -> String {
    let path = visible(path);
    if path.width() <= width {
        return path;
    }
    let end = leading(path.chars().rev(), width.saturating_sub(1));
    std::iter::once('…').chain(end.chars().rev()).collect()
}

/// The width of the text on a terminal, in columns.
pub(crate) fn width(text: &str) -> usize {
    text.width()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_written_out() {
        assert_eq!(visible("a\x1b[31mb\n\u{202e}c"), "a\\u{1b}[31mb\\n\\u{202e}c");
    }

    #[test]
    fn wide_characters_count_twice() {
        assert_eq!(fitted("漢字漢字", 6), "漢…字");
        assert_eq!(fitted("lib-python-old", 9), "lib-…-old");
        assert_eq!(fitted("plain", 5), "plain");
        assert_eq!(fitted_path("/a/very/long/path.npy", 9), "…path.npy");
    }
}
