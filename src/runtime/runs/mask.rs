//! Takes secrets out of what programs print, before anybody keeps or shows it.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use regex::bytes::{NoExpand, Regex, RegexBuilder};

use crate::task::spec::HIDDEN;

/// Shorter values are not looked for: they stand in too many words by chance.
pub(super) const LENGTH_MIN: usize = 4;
/// A line of a value of several lines is looked for on its own from this length on.
const LINE_MIN: usize = 12;
/// Largest pattern: some thousand secrets.
const PATTERN_MAX: usize = 16 << 20;

/// What not to show. The default shows everything.
#[derive(Clone, Default)]
pub(super) struct Mask(Option<Arc<Hidden>>);

/// What is looked for.
struct Hidden {
    regex: Regex,
    /// The same, sorted.
    forms: Vec<String>,
    /// Bytes of the longest.
    longest: usize,
}

impl fmt::Debug for Mask {
    /// Without what it hides.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Mask({})", if self.0.is_some() { "on" } else { "off" })
    }
}

impl Mask {
    /// Of these values, and of the forms in which programs print them.
    pub(super) fn of(secrets: &[String]) -> Result<Self, String> {
        let mut forms: Vec<String> = secrets.iter().flat_map(|secret| forms(secret)).collect();
        forms.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        forms.dedup();
        if forms.is_empty() {
            return Ok(Self(None));
        }
        let pattern = forms.iter().map(|form| regex::escape(form)).collect::<Vec<_>>().join("|");
        let built = RegexBuilder::new(&pattern).unicode(false).size_limit(PATTERN_MAX).build();
        let regex = built.map_err(|_| "its secrets are too large to be looked for in outputs".to_owned())?;
        let longest = forms.first().map_or(0, String::len);
        forms.sort();
        Ok(Self(Some(Arc::new(Hidden { regex, forms, longest }))))
    }

    /// The same bytes without the secrets in them.
    pub(super) fn hide<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        match &self.0 {
            Some(hidden) => hidden.regex.replace_all(bytes, NoExpand(HIDDEN.as_bytes())),
            None => Cow::Borrowed(bytes),
        }
    }

    /// Takes what can be shown now from the front of bytes that come piece by piece: all but an end that may be the beginning
    /// of a secret. What is taken has no secrets in it.
    pub(super) fn take(&self, bytes: &mut Vec<u8>) -> Vec<u8> {
        let Some(hidden) = &self.0 else { return std::mem::take(bytes) };
        let (mut shown, mut from) = (Vec::with_capacity(bytes.len()), 0);
        loop {
            let until = hidden.begins(bytes, from);
            match hidden.regex.find_at(bytes, from) {
                Some(found) if found.start() < until => {
                    shown.extend_from_slice(&bytes[from..found.start()]);
                    shown.extend_from_slice(HIDDEN.as_bytes());
                    from = found.end();
                }
                Some(_) | None => {
                    shown.extend_from_slice(&bytes[from..until]);
                    bytes.drain(..until);
                    return shown;
                }
            }
        }
    }

    /// The same as [`Self::hide`] for bytes whose beginning is missing. They may begin with the end of a secret, so as many go as one may have.
    pub(super) fn hide_after_cut<'a>(&self, bytes: &'a [u8]) -> Cow<'a, [u8]> {
        let Some(hidden) = &self.0 else { return Cow::Borrowed(bytes) };
        let most = hidden.longest.saturating_sub(1).min(bytes.len());
        // A secret that begins among them goes as a whole.
        let found = hidden.regex.find_iter(bytes).take_while(|found| found.start() < most);
        let from = found.map(|found| found.end()).max().unwrap_or(0).max(most);
        self.hide(&bytes[from..])
    }

    /// The same for text.
    pub(super) fn hide_text(&self, text: &str) -> String {
        String::from_utf8_lossy(&self.hide(text.as_bytes())).into_owned()
    }
}

impl Hidden {
    /// Where an end begins that more bytes could make a secret, at `from` or later; without one, the end.
    fn begins(&self, bytes: &[u8], from: usize) -> usize {
        let first = bytes.len().saturating_sub(self.longest.saturating_sub(1)).max(from);
        let may_begin = |end: &[u8]| {
            let at = self.forms.partition_point(|form| form.as_bytes() < end);
            let longer = |form: &String| form.len() > end.len() && form.as_bytes().starts_with(end);
            self.forms.iter().skip(at).take(2).any(longer)
        };
        (first..bytes.len()).find(|start| may_begin(&bytes[*start..])).unwrap_or(bytes.len())
    }
}

/// A value as it is, inside JSON, inside JSON as Go writes it, inside HCL; and its long lines.
fn forms(secret: &str) -> Vec<String> {
    let lines = secret.lines().map(str::trim).filter(|line| line.len() >= LINE_MIN && *line != secret);
    let mut found: Vec<String> = lines.map(ToOwned::to_owned).collect();
    if secret.trim().len() < LENGTH_MIN {
        return found;
    }
    found.push(secret.to_owned());
    found.push(secret.trim().to_owned());
    let json = serde_json::to_string(secret).unwrap_or_default();
    let json = json.trim_matches('"').to_owned();
    found.push(json.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026"));
    found.push(json);
    let hcl = crate::terraform::hcl::quoted(secret);
    found.push(hcl.trim_matches('"').to_owned());
    found.retain(|form| form.len() >= LENGTH_MIN);
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(secrets: &[&str], text: &str, expected: &str) {
        let secrets: Vec<String> = secrets.iter().map(|secret| (*secret).to_owned()).collect();
        assert_eq!(Mask::of(&secrets).unwrap().hide_text(text), expected, "{secrets:?}");
    }

    #[test]
    fn a_value_is_hidden_in_every_form_in_which_it_is_printed() {
        check(&["hunter2"], "pw=hunter2;hunter2 hunter", "pw=(sensitive value);(sensitive value) hunter");
        check(&["a<b>\"c\n"], r#"{"x":"a\u003cb\u003e\"c\n"}"#, r#"{"x":"(sensitive value)"}"#);
        check(&["a<b>\"c"], r#"x = "a<b>\"c""#, r#"x = "(sensitive value)""#);
        check(&["${x}abc"], r#"x = "$${x}abc""#, r#"x = "(sensitive value)""#);
        check(&["hunter2", "hunter22"], "hunter22", "(sensitive value)");
        check(&["a.c*"], "abcc a.c*", "abcc (sensitive value)");
    }

    #[test]
    fn lines_of_a_key_are_hidden_one_by_one_and_short_values_are_not() {
        let key = "-----BEGIN X-----\nMIIEvAIBADANBg\nab\n-----END X-----\n";
        check(&[key], "> MIIEvAIBADANBg\n> ab", "> (sensitive value)\n> ab");
        check(&["abc", "", "    "], "abc     ", "abc     ");
    }

    #[test]
    fn a_secret_is_hidden_wherever_the_output_is_cut() {
        let secrets = ["hunter2", "hunter22", "unter3", "first line\nab\nlast line", "aaab"].map(str::to_owned);
        let mask = Mask::of(&secrets).unwrap();
        let said = "pw=hunter22;hunter2 hunter hunter3 first line\nab\nlast line first line\nac aaaab aaa";
        for step in 1..said.len() {
            let (mut bytes, mut shown) = (Vec::new(), Vec::new());
            for piece in said.as_bytes().chunks(step) {
                bytes.extend_from_slice(piece);
                shown.extend(mask.take(&mut bytes));
                assert!(bytes.len() < 23, "only a beginning is held back");
            }
            shown.extend_from_slice(&mask.hide(&bytes));
            assert_eq!(String::from_utf8(shown).unwrap(), mask.hide_text(said), "{step}");
        }
        let mut bytes = b"nothing is held back here".to_vec();
        assert_eq!((mask.take(&mut bytes).len(), bytes.len()), (25, 0));
    }

    #[test]
    fn of_a_secret_that_was_cut_nothing_is_shown() {
        let secrets = ["hunter2", "first line\nab\nlast line", "pw"].map(str::to_owned);
        let mask = Mask::of(&secrets).unwrap();
        let said =
            "first line\nab\nlast linehunter2 first line\nab\nlast line, and more than long enough; hunter2 it is";
        for cut in 0..said.len() {
            let shown = String::from_utf8(mask.hide_after_cut(&said.as_bytes()[cut..]).into_owned()).unwrap();
            let whole = mask.hide_text(said);
            assert!(whole.ends_with(&shown), "{cut}: {shown}");
        }
        let shown = mask.hide_after_cut(&said.as_bytes()[25..]).into_owned();
        assert_eq!(shown, b", and more than long enough; (sensitive value) it is");
        assert_eq!(*Mask::default().hide_after_cut(b"x"), *b"x");
    }

    #[test]
    fn nothing_to_hide_costs_nothing() {
        assert!(matches!(Mask::default().hide(b"x"), Cow::Borrowed(_)));
        assert_eq!(format!("{:?}", Mask::of(&["hunter2".to_owned()]).unwrap()), "Mask(on)");
    }
}
