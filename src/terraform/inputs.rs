//! What a task's module is given of the world, besides its own variables.
//!
//! # Not here
//!
//! `services`, `catalog_services` and `consul_kv` come with the Consul source; until then `services` is passed empty.

use crate::cluster::View;
use crate::cluster::view::MemberView;
use crate::task::spec::{Condition, TaskSpec};

use super::hcl::{Expr, Type};

/// The data of one moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inputs {
    /// Rendered for the tasks that ask for it, in this order.
    pub members: Vec<Member>,
}

/// A member of the cluster as a module sees it: what a task may act on. Counters that move while nothing happens
/// (incarnation, generation) are left out, so that they never cause a change.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// Name, also the key of the map.
    pub id: String,
    /// Host name or address for people and peers; the gossip address's host when none is configured.
    pub address: String,
    /// `ip:port` of its API.
    pub api_address: String,
    /// `ip:port` of its gossip.
    pub gossip_address: String,
    /// `alive`, `suspect`, `down` or `left`.
    pub state: String,
    /// Whether it is alive.
    pub healthy: bool,
    /// Whether it leads.
    pub leader: bool,
    /// Whether its promises count.
    pub voter: bool,
    /// `major.minor.patch` of its software.
    pub version: String,
}

impl From<&View> for Inputs {
    fn from(view: &View) -> Self {
        Self { members: view.members.iter().map(Member::from).collect() }
    }
}

impl From<&MemberView> for Member {
    fn from(member: &MemberView) -> Self {
        let (major, minor, patch) = member.software;
        let address =
            if member.address.is_empty() { member.gossip_addr.ip().to_string() } else { member.address.clone() };
        let state = member.state.as_str();
        Self {
            id: member.id.to_string(),
            address,
            api_address: member.api_addr.to_string(),
            gossip_address: member.gossip_addr.to_string(),
            state: state.to_owned(),
            healthy: state == "alive",
            leader: member.leader,
            voter: member.voter,
            version: format!("{major}.{minor}.{patch}"),
        }
    }
}

impl Member {
    pub(super) fn value(&self) -> Expr {
        let text = |name: &str, value: &str| (name.to_owned(), Expr::string(value));
        let flag = |name: &str, value| (name.to_owned(), Expr::Bool(value));
        Expr::Object(vec![
            text("id", &self.id),
            text("address", &self.address),
            text("api_address", &self.api_address),
            text("gossip_address", &self.gossip_address),
            text("state", &self.state),
            flag("healthy", self.healthy),
            flag("leader", self.leader),
            flag("voter", self.voter),
            text("version", &self.version),
        ])
    }

    /// `map(object({..}))` of all attributes; a module may declare fewer.
    pub(super) fn map_type() -> Type {
        let none = Self {
            id: String::new(),
            address: String::new(),
            api_address: String::new(),
            gossip_address: String::new(),
            state: String::new(),
            healthy: false,
            leader: false,
            voter: false,
            version: String::new(),
        };
        Type::map(Type::of(&none.value()))
    }
}

/// Whether the task's module gets `members`.
pub fn renders_members(task: &TaskSpec) -> bool {
    task.members_input || matches!(task.condition, Condition::Members { use_as_module_input: true })
}

/// The attributes of a service, in the order of service definition protocol v0 (`reference/cts.md` 3.3).
pub(super) fn services_type() -> Type {
    let strings =
        |names: &[&str]| names.iter().map(|name| ((*name).to_owned(), Type::Word("string"))).collect::<Vec<_>>();
    let of = |name: &str, of| vec![(name.to_owned(), of)];
    let text_map = || Type::map(Type::Word("string"));
    let attributes = [
        strings(&["id", "name", "kind", "address"]),
        of("port", Type::Word("number")),
        of("meta", text_map()),
        of("tags", Type::list(Type::Word("string"))),
        strings(&["namespace", "status", "node", "node_id", "node_address", "node_datacenter"]),
        of("node_tagged_addresses", text_map()),
        of("node_meta", text_map()),
        of("cts_user_defined_meta", text_map()),
    ];
    Type::map(Type::Object(attributes.concat()))
}
