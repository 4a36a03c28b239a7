//! What a condition or an input asks of Consul: services, names in the catalog, keys.

use std::collections::BTreeMap;

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::task::{RawCatalogServices, RawConsulKv, RawServices};
use crate::config::read::{Read, Spanned};
use crate::config::span::Span;
use crate::config::tree::Entry;
use crate::task::consul_data::{CatalogQuery, KvQuery, RegexpQuery, ServiceQuery};
use crate::task::spec::{NamedService, Services};

/// Where a query stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// In a condition: whether the data is an input too may be said.
    Condition,
    /// In a `module_input`.
    Input,
}

impl Place {
    fn word(self) -> &'static str {
        match self {
            Self::Condition => "condition",
            Self::Input => "module_input",
        }
    }
}

/// Words that are empty when not given.
pub(super) fn text(raw: Option<&Spanned<String>>) -> String {
    raw.map(|raw| raw.value.clone()).unwrap_or_default()
}

/// A map of words.
pub(super) fn map(raw: Option<&Spanned<BTreeMap<String, Spanned<String>>>>) -> BTreeMap<String, String> {
    raw.iter().flat_map(|map| &map.value).map(|(key, value)| (key.clone(), value.value.clone())).collect()
}

/// `services`: the query, and whether the data is an input too.
pub(super) fn services(entry: &Entry, place: Place, problems: &mut Problems) -> Option<(Services, bool)> {
    let path = format!("{}.services", place.word());
    let raw = RawServices::read(&entry.value, &path, problems)?;
    let as_input = as_input(place, raw.use_as_module_input.as_ref(), raw.source_includes_var.as_ref(), problems);
    let meta = map(raw.cts_user_defined_meta.as_ref());
    let (datacenter, namespace) = (text(raw.datacenter.as_ref()), text(raw.namespace.as_ref()));
    let filter = text(raw.filter.as_ref());
    match (&raw.names, &raw.regexp) {
        (Some(names), Some(regexp)) => {
            let message = "regexp and names fields cannot both be configured";
            let diagnostic = Diagnostic::error(message).at(&regexp.key, "`regexp` here").at(&names.key, "`names` here");
            problems.add(diagnostic.help("keep one of the two, or make two tasks"));
            None
        }
        (Some(names), None) => {
            if names.value.is_empty() {
                let diagnostic = Diagnostic::error("`names` holds no name").at(&names.span, "an empty list");
                problems.add(diagnostic.help("name the services: names = [\"web\", \"api\"]; regexp = \"\" is all"));
            }
            for name in names.value.iter().filter(|name| name.value.is_empty()) {
                let message = "names list cannot include empty string";
                problems.add(Diagnostic::error(message).at(&name.span, "the name of a service goes here"));
            }
            let one = |name: &Spanned<String>| NamedService {
                query: ServiceQuery {
                    name: name.value.clone(),
                    datacenter: datacenter.clone(),
                    namespace: namespace.clone(),
                    filter: filter.clone(),
                },
                meta: meta.clone(),
            };
            Some((Services::Names(names.value.iter().map(one).collect()), as_input))
        }
        (None, Some(regexp)) => {
            compiles(regexp, problems);
            let query = RegexpQuery { regexp: regexp.value.clone(), datacenter, namespace, filter };
            Some((Services::Regexp { query, meta }, as_input))
        }
        (None, None) => {
            if !raw.broken.iter().any(|key| matches!(*key, "names" | "regexp")) {
                let message =
                    format!("either the regexp or names field must be configured for a services {}", place.word());
                let diagnostic = Diagnostic::error(message).at(&entry.key_span, "neither is here");
                problems.add(
                    diagnostic.help("names = [\"web\"] for some services, regexp = \"^web\" for those that match"),
                );
            }
            None
        }
    }
}

/// `catalog-services`, a condition only.
pub(super) fn catalog(entry: &Entry, problems: &mut Problems) -> Option<(CatalogQuery, bool)> {
    let raw = RawCatalogServices::read(&entry.value, "condition.catalog-services", problems)?;
    let as_input =
        as_input(Place::Condition, raw.use_as_module_input.as_ref(), raw.source_includes_var.as_ref(), problems);
    let Some(regexp) = &raw.regexp else {
        if !raw.broken.contains(&"regexp") {
            let message = "catalog-services 'regexp' field must be set";
            let diagnostic = Diagnostic::error(message).at(&entry.key_span, "no `regexp` here");
            problems.add(diagnostic.help("regexp = \"\" matches every service"));
        }
        return None;
    };
    compiles(regexp, problems);
    let query = CatalogQuery {
        regexp: regexp.value.clone(),
        datacenter: text(raw.datacenter.as_ref()),
        namespace: text(raw.namespace.as_ref()),
        node_meta: map(raw.node_meta.as_ref()),
    };
    Some((query, as_input))
}

/// `consul-kv`: the query, and whether the data is an input too.
pub(super) fn kv(entry: &Entry, place: Place, problems: &mut Problems) -> Option<(KvQuery, bool)> {
    let word = place.word();
    let raw = RawConsulKv::read(&entry.value, &format!("{word}.consul-kv"), problems)?;
    let as_input = as_input(place, raw.use_as_module_input.as_ref(), raw.source_includes_var.as_ref(), problems);
    let path = raw.path.as_ref().map(|path| path.value.trim_start_matches('/').to_owned()).unwrap_or_default();
    if path.is_empty() {
        if !raw.broken.contains(&"path") {
            let at: &Span = raw.path.as_ref().map_or(&entry.key_span, |path| &path.span);
            let diagnostic = Diagnostic::error(format!("path is required for consul-kv {word}")).at(at, "no path here");
            problems
                .add(diagnostic.help("for example path = \"app/config\", with recurse = true for all keys under it"));
        }
        return None;
    }
    let query = KvQuery {
        path,
        recurse: raw.recurse.as_ref().is_some_and(|it| it.value),
        datacenter: text(raw.datacenter.as_ref()),
        namespace: text(raw.namespace.as_ref()),
    };
    Some((query, as_input))
}

/// `use_as_module_input`, or the same under its old name. An input has neither.
fn as_input(place: Place, new: Option<&Spanned<bool>>, old: Option<&Spanned<bool>>, problems: &mut Problems) -> bool {
    if place == Place::Input {
        for (name, raw) in [("use_as_module_input", new), ("source_includes_var", old)] {
            if let Some(raw) = raw {
                let message = format!("unknown key `{name}` in `module_input`");
                let help = "remove it: a module_input is always given to the module";
                problems.add(Diagnostic::error(message).at(&raw.key, "for conditions only").help(help));
            }
        }
        return true;
    }
    if let Some(old) = old {
        let warning = Diagnostic::deprecated("`source_includes_var` is the old name of `use_as_module_input`");
        problems.add(warning.at(&old.key, "deprecated since CTS 0.5").help("write `use_as_module_input`"));
    }
    new.or(old).is_none_or(|raw| raw.value)
}

/// RE2 and our library read the same language, but for what neither can do in linear time.
fn compiles(regexp: &Spanned<String>, problems: &mut Problems) {
    if let Err(error) = regex::Regex::new(&regexp.value) {
        let why = error.to_string();
        let why = why.lines().last().unwrap_or_default().trim_start_matches("error: ");
        let message = format!("failed to compile regexp {:?}: {why}", regexp.value);
        let diagnostic = Diagnostic::error(message).at(&regexp.span, "not a regular expression");
        problems.add(diagnostic.help("the language is RE2: no look-around, no back-references"));
    }
}
