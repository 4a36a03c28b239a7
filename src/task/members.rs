//! The cluster's own membership as an input of tasks: what a load balancer or a firewall wants to know of each agent.
//!
//! Who leads is not part of it: a task that runs on a change would otherwise run at every failover for that reason alone.

use serde_json::{Map, Value, json};

/// One member that is alive (or only suspected).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberInput {
    /// Name; the key of the map.
    pub id: String,
    /// What people are told (`instance { address }`), else the host it gossips from.
    pub address: String,
    /// Where its API listens.
    pub api_address: String,
    /// Where it gossips.
    pub gossip_address: String,
    /// Software version.
    pub version: String,
}

/// A map of id to object, sorted by id.
pub fn render(members: &[MemberInput]) -> Value {
    let object = |member: &MemberInput| {
        json!({
            "id": member.id,
            "address": member.address,
            "api_address": member.api_address,
            "gossip_address": member.gossip_address,
            "version": member.version,
        })
    };
    let mut sorted: Vec<&MemberInput> = members.iter().collect();
    sorted.sort();
    Value::Object(sorted.into_iter().map(|m| (m.id.clone(), object(m))).collect::<Map<_, _>>())
}
