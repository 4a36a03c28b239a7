//! Which paths only the leader answers, and how names stand in them.

use super::*;

#[test]
fn percent_encoding_is_decoded_or_refused() {
    assert_eq!(percent_decode("a%2Fb").as_deref(), Some("a/b"));
    assert_eq!(percent_decode("web").as_deref(), Some("web"));
    for bad in ["%", "%2", "%zz", "%+1", "%ff"] {
        assert_eq!(percent_decode(bad), None, "{bad}");
    }
}

#[test]
fn only_leader_paths_are_task_paths() {
    for path in ["/v1/status", "/v1/status/tasks", "/v1/status/tasks/x", "/v1/tasks/x", "/v1/cluster/step-down"] {
        assert!(is_task_path(path), "{path}");
    }
    for path in ["/v1/status/cluster", "/v1/health", "/v1/statusx", "/v1/tasksx", "/v1/cluster/leave", "/livez"] {
        assert!(!is_task_path(path), "{path}");
    }
}
