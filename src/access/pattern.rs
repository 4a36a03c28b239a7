//! Patterns of names: `*` is any text, `?` one character, everything else itself. Case counts.

/// Longest pattern, in bytes.
pub const PATTERN_MAX: usize = 128;

/// Whether a pattern can be used. `Err`: what is wrong with it.
pub fn check_pattern(pattern: &str) -> Result<(), String> {
    if pattern.is_empty() {
        return Err("is empty; \"*\" fits everything".to_owned());
    }
    if pattern.len() > PATTERN_MAX {
        return Err(format!("has {} bytes, {PATTERN_MAX} is the most", pattern.len()));
    }
    if pattern.chars().any(|c| c.is_control() || c == '/' && !pattern.contains("://")) {
        return Err("has a character that no name has".to_owned());
    }
    Ok(())
}

/// Whether a pattern fits the whole of a text. Takes at most (length of the pattern) x (length of the text) steps.
pub fn matches(pattern: &str, text: &str) -> bool {
    let (pattern, text): (Vec<char>, Vec<char>) = (pattern.chars().collect(), text.chars().collect());
    let (mut p, mut t) = (0, 0);
    // Where the last star is, and how much of the text it has taken.
    let mut star: Option<(usize, usize)> = None;
    while t < text.len() {
        match pattern.get(p) {
            Some('*') => {
                star = Some((p, t));
                p += 1;
            }
            Some(c) if *c == '?' || *c == text[t] => {
                p += 1;
                t += 1;
            }
            _ => {
                let Some((at, taken)) = star else { return false };
                star = Some((at, taken + 1));
                p = at + 1;
                t = taken + 1;
            }
        }
    }
    pattern[p..].iter().all(|c| *c == '*')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_fits_the_whole_text() {
        for (pattern, fits, other) in [
            ("web-*", &["web-", "web-1", "web-a-b"][..], &["web", "xweb-1", "Web-1", ""][..]),
            ("*", &["", "x"], &[]),
            ("web", &["web"], &["web1", "we"]),
            ("w?b", &["web", "wüb"], &["wb", "weeb"]),
            ("*-prod", &["a-prod", "-prod", "a-prod-prod"], &["prod", "a-prod2"]),
            ("a*b*c", &["abc", "aXbYc", "abbcc"], &["ab", "acb"]),
            ("*.ops.example", &["a.ops.example"], &["a.ops.example.evil", "aXopsXexample"]),
        ] {
            assert!(fits.iter().all(|text| matches(pattern, text)), "{pattern}");
            assert!(!other.iter().any(|text| matches(pattern, text)), "{pattern}");
        }
    }

    #[test]
    fn a_hostile_pattern_takes_no_time_to_speak_of() {
        // Exponential for whoever tries every way of every star.
        assert!(!matches(&"*a".repeat(60), &"a".repeat(59)));
        assert!(!matches(&format!("{}b", "*a".repeat(60)), &"a".repeat(4096)));
    }

    #[test]
    fn what_cannot_be_a_pattern_is_said() {
        assert!(check_pattern("web-*").is_ok() && check_pattern("spiffe://edge/ops/*").is_ok());
        assert!(check_pattern("").unwrap_err().contains("is empty"));
        assert!(check_pattern(&"x".repeat(129)).unwrap_err().contains("129 bytes"));
        assert!(check_pattern("a/b").is_err() && check_pattern("a\nb").is_err());
    }
}
