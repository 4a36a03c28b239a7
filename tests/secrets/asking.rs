//! What these tests ask of an agent besides.

use serde_json::Value;

use super::agent::{Agent, Place, eventually};

impl Agent {
    /// Of its process.
    pub(crate) fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Asks for a run and waits for its event.
    #[track_caller]
    pub(crate) fn run_now(&self, place: &Place, name: &str) -> Value {
        let before = self.event(name)["id"].clone();
        let asked = place.run(&["task", "run", &format!("-http-addr=http://{}", self.addr), name]);
        assert!(asked.status.success(), "{asked:?}");
        eventually(|| Some(self.event(name)).filter(|event| event["id"] != before))
    }
}
