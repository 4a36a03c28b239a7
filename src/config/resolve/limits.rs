//! `limits`: how many connections the API takes.

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawLimits;
use crate::config::read::Spanned;
use crate::http::Limits;

/// The block; what it leaves out is as if there was none.
pub(super) fn limits(raw: Option<&Spanned<RawLimits>>, problems: &mut Problems) -> Limits {
    let default = Limits::default();
    let Some(raw) = raw.map(|raw| &raw.value) else { return default };
    let mut number = |given: Option<&Spanned<u16>>, name: &str, default: usize| {
        let Some(given) = given else { return default };
        if given.value == 0 {
            problems.add(
                Diagnostic::error(format!("`{name}` must be at least 1: with 0 nobody could connect"))
                    .at(&given.span, "expected a number from 1 to 65535")
                    .help(format!("leave it out for {default}")),
            );
        }
        usize::from(given.value.max(1))
    };
    let connections = number(raw.http_max_conns.as_ref(), "http_max_conns", default.connections);
    let per_client = number(raw.http_max_conns_per_client.as_ref(), "http_max_conns_per_client", default.per_client);
    if per_client >= connections
        && let Some(place) = raw.http_max_conns_per_client.as_ref().or(raw.http_max_conns.as_ref())
    {
        problems.add(
            Diagnostic::warning(format!(
                "one client may hold all connections of the API: `http_max_conns_per_client` is {per_client}, \
                 `http_max_conns` is {connections}"
            ))
            .at(&place.span, "others get in only because idle connections give way")
            .help("keep it well below `http_max_conns`"),
        );
    }
    Limits { connections, per_client }
}
