//! What the configuration leaves to be fetched: at start what the agent itself needs, at each run what the run needs
//! (`reference/cts.md` 2.10).

use std::collections::BTreeMap;
use std::sync::Arc;

use futures_util::future::BoxFuture;
use serde_json::Value;

use crate::config::Settings;
use crate::runtime::settings::Secrets;
use crate::source::{consul, vault};
use crate::terraform::dynamic::{
    DynamicError, Filled, Lookup, Place, RunTexts, Texts, Visit, fill, fill_here, lookups,
};
use crate::terraform::{ConsulAccess, ConsulTls};

/// Whom templates ask.
#[derive(Debug, Clone)]
pub(super) struct Asked {
    vault: Option<Result<Arc<vault::Client>, String>>,
    consul: Option<Result<consul::Client, String>>,
}

impl Asked {
    /// Vault and Consul as they are configured. A Consul whose own token comes from Vault is not asked for keys.
    pub(super) async fn of(settings: &Settings) -> Self {
        let vault = match &settings.vault {
            Some(vault) => Some(vault::Client::connect(vault).await.map(Arc::new).map_err(|error| error.to_string())),
            None => None,
        };
        let consul = match &settings.consul {
            Some(consul) => Some(consul::Client::new(consul).await.map_err(|error| error.to_string())),
            None => None,
        };
        Self { vault, consul }
    }

    /// The texts, filled in.
    pub(super) async fn fill<T: Texts>(
        &self,
        texts: &T,
        env: &BTreeMap<String, String>,
    ) -> Result<Filled<T>, DynamicError> {
        let fetch = |lookup: Lookup| {
            let (vault, consul) = (self.vault.clone(), self.consul.clone());
            async move {
                match (lookup, vault) {
                    (Lookup::Key(path), _) => key(consul, &path).await,
                    (Lookup::Secret(path), Some(Ok(vault))) => {
                        vault.read(&path).await.map_err(|error| error.to_string())
                    }
                    (Lookup::Secret(_), Some(Err(why))) => Err(why),
                    (Lookup::Secret(_) | Lookup::File(_), _) => Ok(Value::Null),
                }
            }
        };
        fill(texts, env, self.vault.is_some(), fetch).await
    }
}

/// Fills in what a run needs, at its start: Vault is asked then, files are read then.
#[derive(Debug)]
pub(super) struct AtRun {
    vault: Option<vault::Settings>,
    env: BTreeMap<String, String>,
    asked: Asked,
}

impl AtRun {
    /// With what the agent was started with, and whom it asked then.
    pub(super) fn new(settings: &Settings, env: BTreeMap<String, String>, asked: Asked) -> Self {
        Self { vault: settings.vault.clone(), env, asked }
    }

    /// As at the start, but for a token of Vault that somebody renews in a file, and a Vault that was not to be had then.
    async fn asked(&self) -> Asked {
        let Some(vault) = &self.vault else { return self.asked.clone() };
        let renewed = vault.token_file.as_ref().filter(|_| !vault.unwrap_token);
        if renewed.is_none() && self.asked.vault.as_ref().is_some_and(Result::is_ok) {
            return self.asked.clone();
        }
        let token = match renewed {
            Some(file) => tokio::fs::read_to_string(file).await.map(|text| text.trim().to_owned()),
            None => Ok(vault.token.clone()),
        };
        let client = match token {
            Ok(token) => {
                let settings = vault::Settings { token, ..vault.clone() };
                vault::Client::connect(&settings).await.map(Arc::new).map_err(|error| error.to_string())
            }
            Err(error) => Err(format!("the token of Vault cannot be read: {error}")),
        };
        Asked { vault: Some(client), ..self.asked.clone() }
    }
}

impl Secrets for AtRun {
    fn fill<'a>(&'a self, texts: &'a RunTexts) -> BoxFuture<'a, Result<Filled<RunTexts>, String>> {
        Box::pin(async move {
            let asks = lookups(texts, self.vault.is_some()).map_err(|error| error.to_string())?;
            let elsewhere = asks.keys().any(|lookup| !matches!(lookup, Lookup::File(_)));
            let filled =
                if elsewhere { self.asked().await.fill(texts, &self.env).await } else { fill_here(texts, &self.env) };
            filled.map_err(|error| error.to_string())
        })
    }
}

/// Consul's credentials, as far as they are templates.
#[derive(Clone)]
struct Credentials(consul::Settings);

impl Texts for Credentials {
    fn each(&mut self, visit: &mut Visit<'_>) -> Result<(), DynamicError> {
        let place = |key: &str| Place { block: "consul".to_owned(), key: key.to_owned(), is_strict: true };
        let mut one = |key: &str, text: &mut String| {
            let place = place(key);
            visit(&place, text).map_err(|why| DynamicError::Template(place.clone(), why))
        };
        one("token", &mut self.0.token)?;
        if let Some((user, password)) = &mut self.0.auth {
            one("auth.username", user)?;
            one("auth.password", password)?;
        }
        Ok(())
    }
}

/// The settings with what the agent itself needs of Vault; and whatever templates of the driver ask for is asked once, so
/// that what is wrong with them is said at the start, as in CTS. What was answered is forgotten: each run asks itself.
pub(super) async fn fetched(
    mut settings: Settings,
    env: &BTreeMap<String, String>,
) -> Result<(Settings, Asked), DynamicError> {
    if let Some(consul) = &settings.consul {
        let credentials = Credentials(consul.clone());
        if !lookups(&credentials, settings.vault.is_some())?.is_empty() {
            let vault_alone = Asked::of(&Settings { consul: None, ..settings.clone() }).await;
            settings.consul = Some(vault_alone.fill(&credentials, env).await?.texts.0);
            // A wrapping token is good for one use.
            let mut asked = Asked::of(&Settings { vault: None, ..settings.clone() }).await;
            asked.vault = vault_alone.vault;
            asked.fill(&settings.terraform, env).await?;
            return Ok((settings, asked));
        }
    }
    let asked = Asked::of(&settings).await;
    asked.fill(&settings.terraform, env).await?;
    Ok((settings, asked))
}

/// The value of a key; empty when there is none, as in CTS.
async fn key(client: Option<Result<consul::Client, String>>, path: &str) -> Result<Value, String> {
    let client = client.ok_or_else(|| "there is no `consul` block".to_owned())??;
    let value = consul::watcher::kv_get(&client, path).await.map_err(|error| error.to_string())?;
    Ok(Value::String(value.unwrap_or_default()))
}

/// How Terraform reaches the Consul of the configuration.
pub(super) fn consul_access(settings: &Settings) -> Option<ConsulAccess> {
    let consul = settings.consul.as_ref()?;
    let tls = consul.tls.as_ref().map(|tls| ConsulTls {
        insecure: !tls.verify,
        ca_cert: tls.ca_cert.clone(),
        ca_path: tls.ca_path.clone(),
        cert: tls.cert.clone(),
        key: tls.key.clone(),
        server_name: tls.server_name.clone(),
    });
    Some(ConsulAccess {
        address: consul.address.clone(),
        token: consul.token.clone(),
        auth: consul.auth.clone(),
        kv_path: consul.kv_path.clone(),
        tls,
    })
}
