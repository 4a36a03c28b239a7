//! The cluster as this agent sees it: an answer that needs no leader.

use std::time::Duration;

use actix_web::http::StatusCode;
use chrono::{DateTime, SecondsFormat, Utc};

use super::error::{Shape, error, json};
use super::reply::{AccessNow, Cluster, Details, LeadershipShown, Member, Quorum};
use super::{Face, limits};
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::{MemberState, MemberView};
use crate::runtime::handle::{ApiResponse, ClusterSnapshot, Leadership};
use crate::task::duration;

/// `GET /v1/status/cluster`: 405 without high availability, as in CTS.
pub(super) async fn status(face: &Face, query: &str, request_id: &str) -> ApiResponse {
    if !face.handle.cluster().high_availability {
        let text = "this endpoint is only available with high availability configured";
        return error(StatusCode::METHOD_NOT_ALLOWED, Shape::WithId, text, request_id);
    }
    poll(face, query, request_id, |_, _| None).await
}

/// `GET /v1/cluster`: the same with details, also for a single agent.
pub(super) async fn overview(face: &Face, query: &str, request_id: &str) -> ApiResponse {
    poll(face, query, request_id, |face, snapshot| Some(details(face, snapshot))).await
}

type Detail = fn(&Face, &ClusterSnapshot) -> Option<Details>;

async fn poll(face: &Face, query: &str, request_id: &str, detail: Detail) -> ApiResponse {
    let snapshot = match LongPoll::parse(query) {
        Err(text) => return error(StatusCode::BAD_REQUEST, Shape::WithId, &text, request_id),
        Ok(None) => face.handle.cluster(),
        Ok(Some(LongPoll { index, wait })) => tokio::select! {
            snapshot = face.handle.cluster_after(index, wait) => snapshot,
            () = face.shutdown.cancelled() => face.handle.cluster(),
        },
    };
    let mut answer = body(&snapshot, request_id);
    answer.details = detail(face, &snapshot);
    if answer.details.is_some() && face.insecure {
        answer.alarms.push(format!(
            "whoever reaches the API of {} may run and change everything: it is not on the loopback, and asks nobody who \
             they are (insecure = true)",
            snapshot.view.observer
        ));
    }
    json(StatusCode::OK, &answer)
}

/// What a client waits for.
#[derive(Debug, PartialEq, Eq)]
struct LongPoll {
    index: u64,
    wait: Duration,
}

impl LongPoll {
    /// `None`: it does not wait. `wait` without `index` is not a wait, as in Consul.
    fn parse(query: &str) -> Result<Option<Self>, String> {
        let (mut index, mut wait) = (None, limits::WAIT_DEFAULT);
        for (key, value) in form_pairs(query) {
            match key.as_str() {
                "index" => {
                    let parsed = value.parse().map_err(|_| format!("index must be a number, not {value:?}"))?;
                    index = Some(parsed);
                }
                "wait" => {
                    wait = duration::parse(&value)
                        .ok_or_else(|| format!("wait must be a duration such as 30s or 1m30s, not {value:?}"))?;
                }
                _ => {}
            }
        }
        Ok(index.map(|index| Self { index, wait: wait.min(limits::WAIT_MAX) }))
    }
}

/// The pairs of a query, decoded.
pub(super) fn form_pairs(query: &str) -> Vec<(String, String)> {
    actix_web::web::Query::<Vec<(String, String)>>::from_query(query)
        .map_or_else(|_| Vec::new(), actix_web::web::Query::into_inner)
}

fn details(face: &Face, snapshot: &ClusterSnapshot) -> Details {
    let rules = face.handle.gate.rules();
    let lease_left = face.handle.metrics.lease_left().filter(|_| snapshot.leading);
    Details {
        high_availability: snapshot.high_availability,
        formed: snapshot.view.formed,
        leading: snapshot.leading,
        leader_since: snapshot.leader_since.map(rfc3339),
        leader_why: snapshot.leader_why.clone(),
        lease_left_ms: lease_left.map(|left| u64::try_from(left.as_millis()).unwrap_or(u64::MAX)),
        leaderships: snapshot.leaderships.iter().map(leadership).collect(),
        not_ready: face.handle.health().not_ready,
        access: Some(AccessNow {
            enabled: rules.is_some(),
            anonymous: rules.map_or("write", |rules| rules.default.as_str()).to_owned(),
            insecure: face.insecure,
        }),
        state_encrypted: snapshot.state_at_rest,
    }
}

fn leadership(of: &Leadership) -> LeadershipShown {
    LeadershipShown {
        leader: of.leader.to_string(),
        epoch: of.epoch.0,
        from: rfc3339(of.from),
        until: of.until.map(rfc3339),
        why: of.why.clone(),
        end: of.end.clone(),
    }
}

fn body(snapshot: &ClusterSnapshot, request_id: &str) -> Cluster {
    let view = &snapshot.view;
    Cluster {
        cluster_name: view.name.clone(),
        members: view.members.iter().map(|member| member_body(snapshot, member)).collect(),
        leader: view.leader.as_ref().map(ToString::to_string),
        epoch: view.epoch.0,
        quorum: Quorum {
            mode: match view.mode {
                LeadershipMode::Quorum => "quorum".to_owned(),
                LeadershipMode::Alive => "alive".to_owned(),
            },
            voters: view.voters,
            alive: view.voters_alive,
            needed: view.needed,
            held: view.held,
        },
        observed_by: view.observer.to_string(),
        index: view.index,
        request_id: request_id.to_owned(),
        reason: view.reason.clone(),
        alarms: view.alarms.clone(),
        details: None,
    }
}

fn member_body(snapshot: &ClusterSnapshot, member: &MemberView) -> Member {
    let (major, minor, patch) = member.software;
    Member {
        id: member.id.to_string(),
        service_name: snapshot.view.name.clone(),
        address: member.address.clone(),
        healthy: member.state == MemberState::Alive,
        leader: member.leader,
        state: member.state.as_str().to_owned(),
        voter: member.voter,
        incarnation: member.incarnation,
        gossip_address: member.gossip_addr.to_string(),
        // Without a port it listens on a socket, which is of its own machine.
        api_address: Some(member.api_addr)
            .filter(|addr| addr.port() != 0)
            .map_or_else(String::new, |addr| addr.to_string()),
        version: format!("{major}.{minor}.{patch}"),
        state_since: snapshot.since.get(&member.id).copied().map(rfc3339),
    }
}

fn rfc3339(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Millis, true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_poll_is_bounded() {
        let wait = |query| LongPoll::parse(query).unwrap().map(|poll| (poll.index, poll.wait.as_secs()));
        assert_eq!(wait(""), None);
        assert_eq!(wait("wait=30s"), None);
        assert_eq!(wait("index=7"), Some((7, 300)));
        assert_eq!(wait("index=7&wait=30s"), Some((7, 30)));
        assert_eq!(wait("index=7&wait=9h"), Some((7, 600)));
    }

    #[test]
    fn a_bad_long_poll_is_explained() {
        for query in ["index=x", "index=-1", "index=1&wait=30", "wait=soon"] {
            assert!(LongPoll::parse(query).is_err(), "{query}");
        }
    }
}
