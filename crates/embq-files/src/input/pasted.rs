//! Commands in messages, written so that they can be pasted into a shell.

/// A word of a command line, quoted for a shell.
pub fn quoted(word: &str) -> String {
    let is_plain = |character: char| character.is_ascii_alphanumeric() || "-_./:=,+@%".contains(character);
    if !word.is_empty() && word.chars().all(is_plain) { word.to_owned() } else { in_quotes(word) }
}

/// The command that runs lines of Python.
pub(crate) fn python(code: &str) -> String {
    format!("python3 -c {}", in_quotes(code))
}

fn in_quotes(text: &str) -> String {
    format!("'{}'", text.replace('\'', r"'\''"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_quoted_where_a_shell_would_not_take_them_as_they_are() {
        for (word, expected) in [
            ("runs/emb-1.npy:x", "runs/emb-1.npy:x"),
            ("my file.npy", "'my file.npy'"),
            ("it's.npy", r"'it'\''s.npy'"),
            ("", "''"),
            ("größe.npy", "'größe.npy'"),
        ] {
            assert_eq!(quoted(word), expected);
        }
        assert_eq!(python("f(\"it's\")"), r#"python3 -c 'f("it'\''s")'"#);
    }
}
