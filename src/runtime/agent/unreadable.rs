//! A leader without the key for what the cluster keeps: it starts nothing, makes way for good, and says why.
//!
//! It goes on as a voter: what is sealed is replicated without a key. Once it has another key it is started again, and then it
//! may lead.

use std::sync::Arc;

use quorate_proto::Epoch;
use tracing::error;

use super::cycle::Loop;
use crate::cluster::View;
use crate::runtime::at_rest::Unreadable;
use crate::runtime::core::Command;
use crate::runtime::keyring;
use crate::runtime::settings::Mode;

impl Loop {
    /// What the register of the cluster's keys says, as a majority has it.
    pub(super) fn learn_keys(&self, register: Option<Vec<u8>>) {
        match register.map(|value| keyring::read(&value)) {
            None => self.replica.at_rest().learn(None, true),
            Some(Some(agreed)) => self.replica.at_rest().learn(Some(agreed), true),
            // It is told; the keys that this agent knows stay.
            Some(None) => {}
        }
    }

    /// This leader cannot read what is kept of the tasks. Returned: why the process has to end.
    pub(super) async fn cannot_read(&mut self, epoch: Epoch, why: &Unreadable) -> Option<String> {
        // Also while its lease is suspended: it would go on.
        if self.recovering != Some(epoch) {
            return None;
        }
        let why = format!("this agent does not lead any more: {why}");
        if self.mode != Mode::Daemon {
            return Some(why);
        }
        error!("{why}");
        self.command(Command::EndLease(why.clone())).await;
        self.unreadable = Some(why);
        self.publish();
        None
    }

    /// The view as it is shown: with the reason why this agent does not lead, if it should.
    pub(super) fn shown_view(&self) -> Arc<View> {
        let view = self.views.borrow().clone();
        let Some(why) = &self.unreadable else { return view };
        let mut shown = View::clone(&view);
        if shown.leader.is_none() {
            shown.reason.clone_from(why);
        }
        shown.alarms.push(why.clone());
        Arc::new(shown)
    }
}
