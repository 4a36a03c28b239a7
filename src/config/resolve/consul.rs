//! `consul` and `vault`: who answers, with which credentials. What is not given comes from the environment, as in CTS.

use std::path::PathBuf;

use super::query::text;
use super::{World, secret};
use crate::config::diagnostic::{Diagnostic, Problems};
use crate::config::raw::consul::{RawClientTls, RawConsul, RawRegistration, RawTransport, RawVault};
use crate::config::read::Spanned;
use crate::source::consul::settings::{Registration, Settings, Tls, Transport};
use crate::source::vault;

/// The block, else what the environment says.
fn or_env(raw: Option<&Spanned<String>>, names: &[&str], world: &World<'_>) -> String {
    if let Some(raw) = raw {
        return raw.value.clone();
    }
    names.iter().find_map(|name| env(name, world)).unwrap_or_default().to_owned()
}

fn env<'a>(name: &str, world: &World<'a>) -> Option<&'a str> {
    world.env.get(name).map(String::as_str).filter(|value| !value.is_empty())
}

/// As Go reads it; what is no such word counts as not said.
fn env_bool(name: &str, world: &World<'_>) -> Option<bool> {
    match env(name, world)? {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

/// Consul, as the block and the environment have it.
pub(super) fn consul(raw: Option<&Spanned<RawConsul>>, world: &World<'_>, problems: &mut Problems) -> Settings {
    let none = RawConsul::default();
    let raw = raw.map_or(&none, |raw| &raw.value);
    let default = Settings::default();
    let address = or_env(raw.address.as_ref(), &["CONSUL_HTTP_ADDR"], world);
    let address = if address.is_empty() { default.address } else { address };
    let client = raw.tls.as_ref().map(|tls| &tls.value);
    let mut tls = tls(client, "CONSUL", world);
    tls.verify = client
        .and_then(|tls| tls.verify.as_ref())
        .map_or_else(|| env_bool("CONSUL_HTTP_SSL_VERIFY", world).unwrap_or(true), |verify| verify.value);
    let implied = address.starts_with("https://") || env_bool("CONSUL_HTTP_SSL", world) == Some(true);
    let encrypted = client
        .and_then(|tls| tls.enabled.as_ref())
        .map_or_else(|| client.is_some_and(any_of) || implied, |enabled| enabled.value);
    Settings {
        address,
        token: token(raw, world, problems),
        kv_path: raw.kv_path.as_ref().map_or(default.kv_path, |path| path.value.clone()),
        auth: auth(raw, world, problems),
        namespace: env("CONSUL_NAMESPACE", world).unwrap_or_default().to_owned(),
        partition: env("CONSUL_PARTITION", world).unwrap_or_default().to_owned(),
        tls: encrypted.then_some(tls),
        transport: transport(raw.transport.as_ref().map(|it| &it.value)),
        registration: registration(raw.service_registration.as_ref().map(|it| &it.value), problems),
    }
}

fn token(raw: &RawConsul, world: &World<'_>, problems: &mut Problems) -> String {
    let token = match &raw.token {
        Some(token) => secret::text(token, ("consul", "token"), true, world, problems),
        None => or_env(None, &["CONSUL_TOKEN", "CONSUL_HTTP_TOKEN"], world),
    };
    let Some(file) = env("CONSUL_HTTP_TOKEN_FILE", world).filter(|_| token.is_empty()) else { return token };
    match std::fs::read_to_string(world.path(file)) {
        Ok(token) => token.trim().to_owned(),
        Err(error) => {
            let message = format!("the token file {file} of CONSUL_HTTP_TOKEN_FILE cannot be read: {error}");
            problems.add(Diagnostic::error(message).help("mend the file, or unset the variable"));
            String::new()
        }
    }
}

fn auth(raw: &RawConsul, world: &World<'_>, problems: &mut Problems) -> Option<(String, String)> {
    let Some(auth) = raw.auth.as_ref().map(|auth| &auth.value) else {
        let (user, password) = env("CONSUL_HTTP_AUTH", world)?.split_once(':')?;
        return Some((user.to_owned(), password.to_owned()));
    };
    let given = auth.username.is_some() || auth.password.is_some();
    let on = auth.enabled.as_ref().map_or(given, |enabled| enabled.value);
    let mut secret = |raw: Option<&Spanned<String>>, key: &str| {
        raw.map(|raw| secret::text(raw, ("consul", key), true, world, problems)).unwrap_or_default()
    };
    on.then(|| (secret(auth.username.as_ref(), "auth.username"), secret(auth.password.as_ref(), "auth.password")))
}

/// Whether a field of the block is set: that turns TLS on.
fn any_of(tls: &RawClientTls) -> bool {
    tls.verify.is_some()
        || [&tls.ca_cert, &tls.ca_path, &tls.cert, &tls.key, &tls.server_name].into_iter().any(Option::is_some)
}

fn tls(raw: Option<&RawClientTls>, prefix: &str, world: &World<'_>) -> Tls {
    let text = |raw: Option<&Spanned<String>>, name: &str| {
        let text = or_env(raw, &[&format!("{prefix}_{name}")], world);
        (!text.is_empty()).then_some(text)
    };
    let path = |raw, name: &str| -> Option<PathBuf> { text(raw, name).map(|text| world.path(&text)) };
    Tls {
        verify: true,
        ca_cert: path(raw.and_then(|raw| raw.ca_cert.as_ref()), "CACERT"),
        ca_path: path(raw.and_then(|raw| raw.ca_path.as_ref()), "CAPATH"),
        cert: path(raw.and_then(|raw| raw.cert.as_ref()), "CLIENT_CERT"),
        key: path(raw.and_then(|raw| raw.key.as_ref()), "CLIENT_KEY"),
        server_name: text(raw.and_then(|raw| raw.server_name.as_ref()), "TLS_SERVER_NAME"),
    }
}

fn transport(raw: Option<&RawTransport>) -> Transport {
    let default = Transport::default();
    let Some(raw) = raw else { return default };
    let or = |raw: &Option<Spanned<_>>, default| raw.as_ref().map_or(default, |raw| raw.value);
    let count = |raw: &Option<Spanned<u32>>, default| {
        raw.as_ref().map_or(default, |raw| usize::try_from(raw.value).unwrap_or(usize::MAX))
    };
    Transport {
        dial_keep_alive: or(&raw.dial_keep_alive, default.dial_keep_alive),
        dial_timeout: or(&raw.dial_timeout, default.dial_timeout),
        disable_keep_alives: raw.disable_keep_alives.as_ref().is_some_and(|raw| raw.value),
        idle_conn_timeout: or(&raw.idle_conn_timeout, default.idle_conn_timeout),
        max_idle_conns: count(&raw.max_idle_conns, default.max_idle_conns),
        max_idle_conns_per_host: count(&raw.max_idle_conns_per_host, default.max_idle_conns_per_host),
        tls_handshake_timeout: or(&raw.tls_handshake_timeout, default.tls_handshake_timeout),
    }
}

fn registration(raw: Option<&RawRegistration>, problems: &mut Problems) -> Option<Registration> {
    let default = Registration::default();
    let Some(raw) = raw else { return Some(default) };
    let check = raw.default_check.as_ref().map(|check| &check.value);
    let address = check.and_then(|check| check.address.as_ref());
    let schemed = |text: &str| text.is_empty() || text.starts_with("http://") || text.starts_with("https://");
    if let Some(address) = address.filter(|it| !schemed(&it.value)) {
        let message = "default check address must include scheme (http or https)";
        let help = format!("for example \"http://{}\"", address.value);
        problems.add(Diagnostic::error(message).at(&address.span, "no scheme").help(help));
    }
    raw.enabled.as_ref().is_none_or(|enabled| enabled.value).then(|| Registration {
        service_name: raw.service_name.as_ref().map_or(default.service_name, |name| name.value.clone()),
        address: text(raw.address.as_ref()),
        namespace: text(raw.namespace.as_ref()),
        default_check: check.and_then(|check| check.enabled.as_ref()).is_none_or(|enabled| enabled.value),
        check_address: text(address),
    })
}

/// Vault, when an address is known and it is not switched off.
pub(super) fn vault(
    block: Option<&Spanned<RawVault>>,
    world: &World<'_>,
    problems: &mut Problems,
) -> Option<vault::Settings> {
    let none = RawVault::default();
    let raw = block.map_or(&none, |raw| &raw.value);
    let address = or_env(raw.address.as_ref(), &["VAULT_ADDR"], world);
    if !raw.enabled.as_ref().map_or(!address.is_empty(), |enabled| enabled.value) {
        return None;
    }
    if let (true, Some(block)) = (address.is_empty() && raw.broken.is_empty(), block) {
        let diagnostic = Diagnostic::error("`vault` is enabled and has no `address`").at(&block.key, "no address here");
        problems.add(diagnostic.help("for example address = \"https://vault.example.com:8200\", or set VAULT_ADDR"));
    }
    let file = raw.vault_agent_token_file.as_ref().filter(|file| !file.value.is_empty());
    let at = file.map(|file| world.path(&file.value));
    let home = env("HOME", world).map(PathBuf::from);
    let given = raw.token.as_ref().map(|token| secret::text(token, ("vault", "token"), false, world, problems));
    let given = given.unwrap_or_default();
    let token = vault::token::token(at.as_deref(), &given, env("VAULT_TOKEN", world), home.as_deref());
    let token = token.unwrap_or_else(|error| {
        let message = format!("`vault_agent_token_file` cannot be read: {error}");
        let diagnostic = Diagnostic::error(message);
        problems.add(match file {
            Some(file) => diagnostic.at(&file.span, "this file"),
            None => diagnostic,
        });
        String::new()
    });
    let client = raw.tls.as_ref().map(|tls| &tls.value);
    let mut tls = tls(client, "VAULT", world);
    tls.verify = client
        .and_then(|tls| tls.verify.as_ref())
        .map_or_else(|| env_bool("VAULT_SKIP_VERIFY", world) != Some(true), |verify| verify.value);
    Some(vault::Settings {
        address,
        namespace: or_env(raw.namespace.as_ref(), &["VAULT_NAMESPACE"], world),
        token,
        token_file: at.or_else(|| {
            // Alone in its text, so that the file has the token and nothing else.
            let text = raw.token.as_ref()?.value.trim().strip_prefix("{{ file \"")?.strip_suffix("\" }}")?;
            (!text.contains(['"', '\\'])).then(|| world.path(text))
        }),
        unwrap_token: raw
            .unwrap_token
            .as_ref()
            .map_or_else(|| env_bool("VAULT_UNWRAP_TOKEN", world).unwrap_or(false), |unwrap| unwrap.value),
        tls,
        transport: transport(raw.transport.as_ref().map(|it| &it.value)),
    })
}
