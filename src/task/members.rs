//! The cluster's members as tasks are fed them: a map of id to object, as `services` is.
//!
//! Only what a task can configure something with: who, where, which software. Nothing that changes with leadership
//! (`leader`, `voter`, epochs), with gossip's own moods (`suspect`, incarnations), or with a restart of the same
//! installation: each would run every such task at each fail-over.

use serde_json::{Map, Value};

/// One member that is here. Plain text, so that this room needs to know nothing of gossip.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct MemberInput {
    /// Its name, the key of the map.
    pub id: String,
    /// Its data directory.
    pub instance: String,
    /// What it tells people, else the host it gossips from.
    pub address: String,
    /// `ip:port` of its API.
    pub api_address: String,
    /// `ip:port` of its gossip.
    pub gossip_address: String,
    /// Its software, `major.minor.patch`.
    pub version: String,
}

/// The map, keys sorted at both levels. Of two members with one id the last in order counts.
pub fn render(members: &[MemberInput]) -> Value {
    let mut sorted: Vec<_> = members.iter().collect();
    sorted.sort();
    let object = |member: &MemberInput| {
        let fields = [
            ("address", &member.address),
            ("api_address", &member.api_address),
            ("gossip_address", &member.gossip_address),
            ("id", &member.id),
            ("instance", &member.instance),
            ("version", &member.version),
        ];
        Value::Object(fields.into_iter().map(|(key, text)| (key.to_owned(), Value::String(text.clone()))).collect())
    };
    Value::Object(sorted.into_iter().map(|member| (member.id.clone(), object(member))).collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_is_sorted_whatever_the_order_of_arrival() {
        let (a, b) = (member("a"), member("b"));
        let rendered = render(&[b.clone(), a.clone()]).to_string();
        assert_eq!(rendered, render(&[a, b]).to_string());
        assert_eq!(
            rendered,
            concat!(
                r#"{"a":{"address":"a.example","api_address":"10.0.0.1:8558","gossip_address":"10.0.0.1:8559","#,
                r#""id":"a","instance":"0011","version":"0.1.0"},"#,
                r#""b":{"address":"b.example","api_address":"10.0.0.1:8558","gossip_address":"10.0.0.1:8559","#,
                r#""id":"b","instance":"0011","version":"0.1.0"}}"#
            )
        );
    }

    fn member(id: &str) -> MemberInput {
        MemberInput {
            id: id.to_owned(),
            instance: "0011".to_owned(),
            address: format!("{id}.example"),
            api_address: "10.0.0.1:8558".to_owned(),
            gossip_address: "10.0.0.1:8559".to_owned(),
            version: "0.1.0".to_owned(),
        }
    }
}
