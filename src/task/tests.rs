//! (being written)
use super::spec::*;
pub(super) fn command(name: &str) -> TaskSpec {
    TaskSpec {
        name: name.to_owned(),
        description: String::new(),
        enabled: true,
        condition: Condition::None,
        members_input: false,
        work: Work::Command { argv: vec!["true".to_owned()] },
        buffer: None,
        retry: Retry::default(),
        grace: std::time::Duration::from_secs(10),
        timeout: None,
        working_dir: "work".into(),
    }
}
