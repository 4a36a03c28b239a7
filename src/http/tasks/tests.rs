//! Which paths only the leader answers, and how names stand in them.

use super::*;

#[test]
fn only_leader_paths_are_task_paths() {
    for path in ["/v1/status", "/v1/status/tasks", "/v1/status/tasks/x", "/v1/tasks/x", "/v1/cluster/step-down"] {
        assert!(is_task_path(path), "{path}");
    }
    for path in ["/v1/status/cluster", "/v1/health", "/v1/statusx", "/v1/tasksx", "/v1/cluster/leave", "/livez"] {
        assert!(!is_task_path(path), "{path}");
    }
}
