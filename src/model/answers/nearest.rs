//! The known name that somebody meant.

/// The candidate nearest to what was written, if any is near enough to be what was meant.
pub(super) fn nearest<'a>(
    written: &str,
    candidates: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let plain = written.to_lowercase().replace('-', "_");
    candidates
        .into_iter()
        .map(|candidate| {
            let other = candidate.to_lowercase().replace('-', "_");
            let likeness = strsim::jaro_winkler(&plain, &other);
            // Swapped and dropped letters are what fingers do; likeness alone likes long common beginnings.
            let slips = strsim::damerau_levenshtein(&plain, &other);
            (candidate, likeness, slips)
        })
        .filter(|(candidate, likeness, slips)| {
            *slips <= 3.min(1 + candidate.len() / 4)
                || (*likeness > 0.9 && *slips <= candidate.len() / 2)
        })
        .max_by(|a, b| b.2.cmp(&a.2).then(a.1.total_cmp(&b.1)))
        .map(|(candidate, ..)| candidate)
}

/// Names for a message: each in backticks, separated by commas.
pub(super) fn listed<'a>(names: impl IntoIterator<Item = &'a str>) -> String {
    let quoted: Vec<String> = names.into_iter().map(|name| format!("`{name}`")).collect();
    quoted.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn slips_are_understood_and_strangers_are_not() {
        let keys = ["address", "roles", "provider_nic", "tunnel_address"];
        assert_eq!(nearest("adress", keys), Some("address"));
        assert_eq!(nearest("role", keys), Some("roles"));
        assert_eq!(nearest("provider-nic", keys), Some("provider_nic"));
        assert_eq!(nearest("tunnel_adress", keys), Some("tunnel_address"));
        assert_eq!(nearest("colour", keys), None);
    }
}
