//! `tls` at the top level: the API's own certificate (`reference/cts.md` 2.5).

use super::World;
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::{RawApiTls, RawRoot};
use crate::config::read::Spanned;
use crate::http::tls::{Authorities, Tls, TlsError};

/// The block as settings, its files read and checked. `None`: plain HTTP, or an error was added.
pub(super) fn api_tls(raw: &RawRoot, world: &World<'_>, problems: &mut Problems) -> Option<Tls> {
    let block = raw.tls.as_ref()?;
    let tls = &block.value;
    let verify = tls.verify_incoming.as_ref().filter(|verify| verify.value);
    let any = [&tls.cert, &tls.key, &tls.ca_cert, &tls.ca_path].into_iter().any(|raw| given(raw.as_ref()).is_some());
    if !tls.enabled.as_ref().map_or(any || verify.is_some(), |enabled| enabled.value) || !tls.broken.is_empty() {
        return None;
    }
    let authorities = authorities(tls, world, problems);
    if let (Some(verify), None) = (verify, &authorities) {
        let message = "`verify_incoming` needs `ca_cert` or `ca_path`";
        let help = "name the authority that signed the certificates of the clients";
        problems.add(Diagnostic::error(message).at(&verify.span, "verify against what?").help(help));
    }
    if let (Some(authority), None) = (given(tls.ca_cert.as_ref()).or(given(tls.ca_path.as_ref())), verify) {
        let message = "clients are not asked for a certificate";
        let help = "set verify_incoming = true to ask them, or remove this";
        problems.add(Diagnostic::warning(message).at(&authority.key, "has no effect").help(help));
    }
    let (Some(cert), Some(key)) = (given(tls.cert.as_ref()), given(tls.key.as_ref())) else {
        let message = "key and cert are required if TLS is enabled on the CTS API";
        problems.add(Diagnostic::error(message).at(&block.key, "needs both `cert` and `key`"));
        return None;
    };
    let clients = match (verify, authorities) {
        (Some(_), None) => return None,
        (verify, authorities) => authorities.filter(|_| verify.is_some()),
    };
    let settings = Tls { cert: world.path(&cert.value), key: world.path(&key.value), clients };
    if let Err(error) = settings.load() {
        problems.add(refused(&error, tls, cert));
        return None;
    }
    Some(settings)
}

fn given(raw: Option<&Spanned<String>>) -> Option<&Spanned<String>> {
    raw.filter(|raw| !raw.value.is_empty())
}

fn authorities(tls: &RawApiTls, world: &World<'_>, problems: &mut Problems) -> Option<Authorities> {
    match (given(tls.ca_cert.as_ref()), given(tls.ca_path.as_ref())) {
        (Some(file), directory) => {
            if let Some(directory) = directory {
                let message = "`ca_cert` and `ca_path` are both set: `ca_cert` is used";
                problems.add(Diagnostic::warning(message).at(&directory.key, "ignored").at(&file.key, "used"));
            }
            Some(Authorities::File(world.path(&file.value)))
        }
        (None, Some(directory)) => Some(Authorities::Directory(world.path(&directory.value))),
        (None, None) => None,
    }
}

fn refused(error: &TlsError, tls: &RawApiTls, cert: &Spanned<String>) -> Diagnostic {
    let at = match error.key() {
        "key" => given(tls.key.as_ref()),
        "ca_cert" => given(tls.ca_cert.as_ref()),
        "ca_path" => given(tls.ca_path.as_ref()),
        _ => None,
    };
    let diagnostic = Diagnostic::error(error.to_string()).at(&at.unwrap_or(cert).span, "this one");
    match error {
        TlsError::Pair { .. } => {
            diagnostic.at(&cert.span, "and this one").help("configure the two that were made together")
        }
        TlsError::File(_) => diagnostic.help("paths are relative to the directory in which the agent is started"),
    }
}
