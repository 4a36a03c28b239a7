//! This agent as a service in Consul, for as long as it runs (`reference/cts.md` 7.3).

use std::time::Duration;

use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::JoinHandle;

use crate::config::Settings;
use crate::source::consul::{Client, ConsulError, Registrar};

/// How long a clean stop waits for Consul to take the registration away.
const GOODBYE: Duration = Duration::from_secs(5);

/// A registration that is under way or there.
pub(super) struct Registered {
    registrar: Registrar,
    registering: JoinHandle<bool>,
    rng: StdRng,
}

/// Registers in the background; `None`: it is not wanted. `port` is the API's; `None`: it has
/// none, so Consul cannot check it by itself.
pub(super) async fn register(
    settings: &Settings,
    port: Option<u16>,
    is_tls: bool,
    seed: u64,
) -> Result<Option<Registered>, ConsulError> {
    let Some(consul) = &settings.consul else { return Ok(None) };
    let Some(registration) = consul.registration.clone() else { return Ok(None) };
    let registrar = Registrar {
        client: Client::new(consul).await?,
        settings: registration,
        id: settings.id.to_string(),
        port,
        is_tls,
        cluster: settings.cluster.as_ref().map(|ha| ha.cluster.name.clone()),
    };
    let mut rng = StdRng::seed_from_u64(seed);
    let (own, mut random) = (registrar.clone(), StdRng::from_rng(&mut rng));
    let registering = tokio::spawn(async move {
        let registered = own.register(&mut random).await;
        if let Err(error) = &registered {
            tracing::error!(%error, "this agent will continue without registering itself as a service with Consul");
        }
        registered.is_ok()
    });
    Ok(Some(Registered { registrar, registering, rng }))
}

impl Registered {
    /// Takes it away again at a clean stop.
    pub(super) async fn end(mut self) {
        if !self.registering.is_finished() {
            self.registering.abort();
            return;
        }
        if !self.registering.await.unwrap_or(false) {
            return;
        }
        match tokio::time::timeout(GOODBYE, self.registrar.deregister(&mut self.rng)).await {
            Ok(Ok(())) => {}
            Ok(Err(error)) => tracing::warn!(%error, "the registration in Consul could not be taken away"),
            Err(_) => tracing::warn!("Consul did not take the registration away in time"),
        }
    }
}
