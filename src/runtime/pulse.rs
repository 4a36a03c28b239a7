//! Whether the agent works: its loop and the gossip thread answer. For a watchdog, which ends a process in which one of them hangs.

use std::time::Duration;

use tokio::sync::{mpsc, oneshot};

use super::handle::Request;
use super::replica::Replica;

/// Longest a healthy agent takes. A busy machine may need long, and the watchdog has its own patience.
const PATIENCE: Duration = Duration::from_secs(10);
/// No register has such a key: nothing is read but the question itself.
const NO_KEY: &str = "pulse/";

/// See the module.
#[derive(Debug, Clone)]
pub struct Pulse {
    pub(super) replica: Replica,
    pub(super) requests: mpsc::Sender<Request>,
}

impl Pulse {
    /// Asks both, and waits for their answers.
    pub async fn beats(&self) -> bool {
        let (reply, answer) = oneshot::channel();
        let both = async {
            self.requests.send(Request::Pulse(reply)).await.is_ok()
                && answer.await.is_ok()
                && self.replica.answers(NO_KEY).await
        };
        tokio::time::timeout(PATIENCE, both).await.unwrap_or(false)
    }
}
