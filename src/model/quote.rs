//! Shell quoting: the only place that turns a value into a word of a POSIX shell script.

/// `text` as one word of a POSIX shell script, whatever it holds (a NUL byte excepted, which no
/// shell word can carry; it is dropped).
pub fn word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:=@%+,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(text.len() + 2);
    out.push('\'');
    for c in text.chars().filter(|c| *c != '\0') {
        match c {
            '\'' => out.push_str(r"'\''"),
            c => out.push(c),
        }
    }
    out.push('\'');
    out
}

/// `items` as quoted words, separated by spaces.
pub fn words<I, T>(items: I) -> String
where
    I: IntoIterator<Item = T>,
    T: AsRef<str>,
{
    items
        .into_iter()
        .map(|item| word(item.as_ref()))
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_words_stay_readable() {
        assert_eq!(word("/etc/nova/nova.conf"), "/etc/nova/nova.conf");
        assert_eq!(words(["a", "b c"]), "a 'b c'");
    }

    #[test]
    fn quotes_and_empty_words_survive() {
        assert_eq!(word(""), "''");
        assert_eq!(word("it's"), r"'it'\''s'");
        assert_eq!(word("$(reboot)"), "'$(reboot)'");
    }
}
