//! From the settings of the configuration to those of the rooms that run.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use quorate_proto::seal::{Key, Ring, RingError};

use super::super::env;
use super::super::objects::Objects;
use super::super::providers::{self, Asked, AtRun};
use super::super::service_manager;
use crate::cluster::settings::{LeadershipMode, LeaseTiming, Profile, Timing};
use crate::runtime::at_rest::Source;
use crate::runtime::settings::{Mode, Network, Reload};
use crate::{cluster, config, http, runtime};

/// Of the API.
pub(super) fn of_http(settings: &config::Settings) -> http::Settings {
    let ha = settings.cluster.as_ref();
    let redirect = ha.is_some_and(|ha| ha.follower_requests == config::FollowerRequests::Redirect);
    http::Settings {
        addr: settings.http_addr.clone(),
        allowed_hosts: ha.map(|ha| ha.instance_address.clone()).filter(|host| !host.is_empty()).into_iter().collect(),
        follower_requests: if redirect { http::FollowerRequests::Redirect } else { http::FollowerRequests::Forward },
        tls: settings.http_tls.clone(),
        limits: settings.http_limits,
        audit: None,
        admin: settings.access.is_some().then(|| settings.data_dir.join(config::ADMIN_SOCKET)),
        insecure: settings.insecure,
    }
}

/// Nobody waits to take over from a single agent, so a busy machine need not cost it its lease.
fn alone() -> Timing {
    let lan = Profile::Lan.timing();
    let lease = LeaseTiming { grant: Duration::from_secs(6), renew: Duration::from_millis(1500), ..lan.lease };
    Timing { lease, ..lan }
}

/// `None` only without a key: traffic is never in plain text because of a mistake.
fn ring(keys: &[config::ClusterKey]) -> Result<Option<Ring>, RingError> {
    if keys.is_empty() {
        return Ok(None);
    }
    let ring = Ring::new(keys.iter().filter_map(|key| Key::from_bytes(key.bytes())))?;
    if ring.keys().len() == keys.len() { Ok(Some(ring)) } else { Err(RingError::Empty) }
}

fn is_of_service_manager(name: &std::ffi::OsStr) -> bool {
    service_manager::VARIABLES.iter().any(|variable| name == *variable)
}

/// Of everything else.
pub(super) fn of_runtime(
    settings: config::Settings,
    objects: Objects,
    reload: Option<Arc<dyn Reload>>,
    asked: Asked,
) -> Result<runtime::Settings, RingError> {
    let single = || cluster::Settings {
        name: settings.id.to_string(),
        expect: 1,
        seeds: Vec::new(),
        mode: LeadershipMode::Quorum,
        timing: alone(),
        max_voters: 1,
        replace_after: Duration::MAX,
    };
    let ring = settings.cluster.as_ref().map(|ha| ring(&ha.keys)).transpose()?.flatten();
    let network = settings.cluster.as_ref().map(|ha| Network { bind: ha.bind, advertise: ha.advertise, ring });
    let consul_backend = providers::consul_access(&settings);
    let secrets = AtRun::new(&settings, env::texts(), asked);
    let consul = settings.consul.clone();
    let at_rest = settings.cluster.as_ref().and_then(|ha| ha.at_rest.as_ref());
    let at_rest = at_rest.map_or(Source::Off, |at_rest| match at_rest.file() {
        Some(keys) => Source::File(keys),
        None => Source::Cluster { seals: at_rest.seals() },
    });
    Ok(runtime::Settings {
        mode: Mode::Daemon,
        cluster: settings.cluster.as_ref().map_or_else(single, |ha| ha.cluster.clone()),
        address: settings.cluster.as_ref().map_or_else(String::new, |ha| ha.instance_address.clone()),
        network,
        // Others are not told of a socket, which is of this machine only.
        api_addr: settings.http_addr.tcp().unwrap_or(std::net::SocketAddr::from(([127, 0, 0, 1], 0))),
        access: settings.access,
        data_dir: settings.data_dir,
        tasks: settings.tasks,
        terraform: settings.terraform,
        consul_backend,
        consul,
        notify: settings.notify,
        take_over_all: settings.cluster.as_ref().is_some_and(|ha| ha.take_over_all),
        at_rest,
        max_parallel: usize::from(settings.max_parallel),
        runs: settings.runs,
        reload,
        objects: Arc::new(objects),
        id: settings.id,
        exe: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("quorate")),
        environment: env::all().into_iter().filter(|(name, _)| !is_of_service_manager(name)).collect(),
        own_secrets: settings.env_names.own,
        run_env: settings.run_env,
        secrets: Arc::new(secrets),
    })
}
