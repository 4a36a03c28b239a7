//! Blocks that are understood and have no effect yet: said once each, never passed over in silence.

use std::net::SocketAddr;

use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::RawRoot;
use crate::config::source::Span;

/// A warning for each such block of a whole configuration.
pub(super) fn notices(raw: &RawRoot, problems: &mut Problems) {
    let mut no_effect = |name: &str, key: &Span, why: &str| {
        problems.add(Diagnostic::warning(format!("`{name}` has no effect yet")).at(key, why));
    };
    if let Some(syslog) = raw.syslog.as_ref().filter(|syslog| {
        let set = syslog.value.facility.is_some() || syslog.value.name.is_some();
        syslog.value.enabled.as_ref().map_or(set, |enabled| enabled.value)
    }) {
        no_effect("syslog", &syslog.key, "the log goes to standard error only");
    }
    if let Some(client) = raw.client_type.as_ref().filter(|client| !client.value.is_empty()) {
        no_effect("client_type", &client.key, "a development switch of CTS");
    }
    let licences =
        raw.license.as_ref().map(|it| &it.key).into_iter().chain(raw.license_path.as_ref().map(|it| &it.key));
    for key in licences {
        problems.add(Diagnostic::note("no licence is needed").at(key, "ignored"));
    }
}

/// The API's own `tls`: checked; a warning on loopback, refused where it would leave others with plain text.
pub(super) fn api_tls(raw: &RawRoot, http_addr: SocketAddr, problems: &mut Problems) {
    let Some(block) = &raw.tls else { return };
    let tls = &block.value;
    let given =
        |value: &Option<crate::config::read::Spanned<String>>| value.as_ref().is_some_and(|it| !it.value.is_empty());
    let verify = tls.verify_incoming.as_ref().is_some_and(|verify| verify.value);
    let any = given(&tls.cert) || given(&tls.key) || given(&tls.ca_cert) || given(&tls.ca_path) || verify;
    if !tls.enabled.as_ref().map_or(any, |enabled| enabled.value) {
        return;
    }
    if !(given(&tls.cert) && given(&tls.key)) && tls.broken.is_empty() {
        let message = "key and cert are required if TLS is enabled on the CTS API";
        problems.add(Diagnostic::error(message).at(&block.key, "needs both `cert` and `key`"));
    }
    if verify && !given(&tls.ca_cert) && !given(&tls.ca_path) && tls.broken.is_empty() {
        let at = tls.verify_incoming.as_ref().map_or(&block.key, |verify| &verify.span);
        problems
            .add(Diagnostic::error("`verify_incoming` needs `ca_cert` or `ca_path`").at(at, "verify against what?"));
    }
    problems.add(if http_addr.ip().is_loopback() {
        Diagnostic::warning("`tls` has no effect yet")
            .at(&block.key, format!("the API answers plain HTTP on {http_addr}"))
    } else {
        Diagnostic::error("`tls` of the API is not supported yet")
            .at(&block.key, format!("the API would answer plain HTTP on {http_addr}"))
            .help("let it listen on 127.0.0.1 (leave `http_addr` out), or remove `tls` to accept plain HTTP")
    });
}
