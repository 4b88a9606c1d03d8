//! "Did you mean": the names that a mistyped one is closest to, for every error that refuses a name.

/// Suggestions shown at most.
const SHOWN_MAX: usize = 3;

/// The nearest of `known`, best first; empty when none is near.
pub fn nearest<'a>(typed: &str, known: impl IntoIterator<Item = &'a str>) -> Vec<String> {
    let mut near: Vec<(usize, &str)> = known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(typed, name), name))
        // A third of it wrong is still a slip; more is another name.
        .filter(|(distance, name)| *distance <= typed.len().max(name.len()).div_ceil(3))
        .collect();
    near.sort_unstable();
    near.dedup();
    // Beside a good match a poor one only distracts.
    let best = near.first().map_or(0, |(distance, _)| *distance);
    near.retain(|(distance, _)| *distance <= best + 1);
    near.into_iter().take(SHOWN_MAX).map(|(_, name)| name.to_owned()).collect()
}

/// `did you mean a or b?`, or what there is, or that there is nothing.
pub fn hint<'a>(typed: &str, known: impl IntoIterator<Item = &'a str> + Clone) -> String {
    let near = nearest(typed, known.clone());
    if !near.is_empty() {
        return format!("did you mean {}?", near.join(" or "));
    }
    let mut all: Vec<&str> = known.into_iter().collect();
    all.sort_unstable();
    all.dedup();
    match all.len() {
        0 => "there is none yet".to_owned(),
        1..=8 => format!("there is {}", all.join(", ")),
        count => format!("there are {count}, from {} to {}", all[0], all[count - 1]),
    }
}
