//! A secret of the agent's own: a text, or a template that is filled in now.

use super::World;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::read::Spanned;
use crate::terraform::dynamic::{Lookup, Place, fill_here, is_template, lookups};

/// The text, with what files and the environment say filled in. Only `with_vault` may it ask Vault: then it stays as it is,
/// for whoever starts the agent to fill in.
pub(super) fn text(
    raw: &Spanned<String>,
    (block, key): (&str, &str),
    with_vault: bool,
    world: &World<'_>,
    problems: &mut Problems,
) -> String {
    if !is_template(&raw.value) {
        return raw.value.clone();
    }
    let texts = (Place { block: block.to_owned(), key: key.to_owned(), is_strict: true }, raw.value.clone());
    let asks = |lookup: &Lookup| matches!(lookup, Lookup::Secret(_));
    if with_vault && lookups(&texts, true).is_ok_and(|all| all.keys().any(asks)) {
        return raw.value.clone();
    }
    match fill_here(&texts, world.env) {
        Ok(filled) => filled.texts.1,
        Err(error) => {
            let help = "the value is read when the agent starts, by the agent's user";
            problems.add(Diagnostic::error(error.to_string()).at(&raw.span, "asked for here").help(help));
            String::new()
        }
    }
}
