//! What the faces ask of a running agent: to step down, to leave for good, to pass a request on to the leader.

use std::time::Duration;

use quorate_proto::MemberId;
use tokio::sync::oneshot;
use tracing::{info, warn};

use super::cycle::Loop;
use super::shutdown::Stopping;
use crate::cluster::settings::LeadershipMode;
use crate::cluster::view::{MemberState, MemberView};
use crate::runtime::clock;
use crate::runtime::control::TooOld;
use crate::runtime::core::Command;
use crate::runtime::handle::{ApiRequest, ApiResponse, ForwardError, Request};

/// How long a forwarded request may take: a little more than the leader gives itself for one (`http::limits`).
const FORWARD: Duration = Duration::from_secs(62);
/// How long a permanent leave waits to be removed from the voters.
const LEAVE: Duration = Duration::from_secs(15);

/// A leave for good under way.
pub(super) struct Leaving {
    /// Until when it waits to be removed from the voters.
    pub(super) until: Duration,
    /// Who asked.
    pub(super) reply: Option<oneshot::Sender<Result<(), String>>>,
}

impl Loop {
    pub(super) async fn request(&mut self, request: Request) {
        match request {
            Request::StepDown(reply) => match self.step_down().await {
                // Answered when it has happened: see `lose`.
                Ok(successor) => self.stepping_down.push((successor, reply)),
                Err(why) => drop(reply.send(Err(why))),
            },
            Request::Leave(reply) => self.begin_leave(reply).await,
            Request::Forward(request, reply) => self.forward(request, reply),
            Request::Reload(reply) => self.begin_reload(Some(reply)),
            Request::Differences { agent, differs } => self.note_differences(agent, differs),
            Request::SetEnabled { by, task, enabled, run, reply } => self.set_enabled(&task, enabled, run, &by, reply),
            Request::Create { by, spec, run, reply } => self.create(*spec, run, by, reply),
            Request::Delete { by, task, reply } => self.delete(&task, &by, reply),
            Request::Run { by, task, reply } => self.run_task(&task, &by, reply),
            Request::Cancel { task, by, force, reply } => self.cancel(&task, by, force, reply),
            Request::ShowPlan { task, reply } => self.show_plan(&task, reply),
            Request::Decide { task, plan, approved, by, reply } => self.decide(&task, plan, approved, &by, reply),
            Request::Pulse(reply) => drop(reply.send(())),
            Request::LastKnown(reply) => self.tell_last_known(reply),
        }
    }

    pub(super) async fn step_down(&mut self) -> Result<Option<MemberId>, String> {
        if self.lease.borrow().is_none() {
            return Err(match &self.views.borrow().leader {
                Some(leader) => format!("{} does not lead, {leader} does: ask there", self.me),
                None => format!("{} does not lead, nobody does", self.me),
            });
        }
        let view = self.views.borrow().clone();
        if view.mode == LeadershipMode::Alive {
            return Err(
                "leadership = \"alive\": the lowest id alive leads, so it would only lead again; stop it instead"
                    .to_owned(),
            );
        }
        let may = |m: &&MemberView| m.id != self.me && m.voter && m.state == MemberState::Alive;
        let Some(successor) = view.members.iter().find(may).map(|m| m.id.clone()) else {
            return Err("no other voter is alive: there is nobody to hand leadership to".to_owned());
        };
        self.command(Command::StepDown { why: "an operator asked for it".to_owned(), leaving: false }).await;
        Ok(Some(successor))
    }

    /// Follower to leader, over the sealed control connection.
    pub(super) fn forward(&self, request: ApiRequest, reply: oneshot::Sender<Result<ApiResponse, ForwardError>>) {
        let view = self.shown_view();
        let leader = view.members.iter().find(|m| m.leader && m.id != self.me);
        let Some(leader) = leader.cloned() else {
            let why = if view.reason.is_empty() { "leadership is changing".to_owned() } else { view.reason.clone() };
            drop(reply.send(Err(ForwardError::NoLeader { why, retry_after: Duration::from_secs(1) })));
            return;
        };
        let control = self.control.clone();
        let must = self.gate.rules().is_some();
        tokio::spawn(async move {
            let begun = clock::now().mono;
            let answer = match control.forward(leader.gossip_addr, request, must, FORWARD).await {
                Err(TooOld) => Err(ForwardError::TooOld { leader: leader.id }),
                Ok(answer) => {
                    let waited = clock::now().mono.saturating_sub(begun);
                    answer.ok_or(ForwardError::NoAnswer { leader: leader.id, waited })
                }
            };
            drop(reply.send(answer));
        });
    }

    // Leaving for good.

    pub(super) async fn begin_leave(&mut self, reply: oneshot::Sender<Result<(), String>>) {
        let voters = self.views.borrow().members.iter().filter(|m| m.voter).count();
        let voter = self.views.borrow().members.iter().any(|m| m.id == self.me && m.voter);
        if voter && voters <= 1 {
            drop(reply.send(Err("the last voter cannot leave: stop it instead".to_owned())));
            return;
        }
        if self.leaving.is_some() {
            drop(reply.send(Err("this agent is leaving already".to_owned())));
            return;
        }
        info!("leaving for good: leadership is handed over, then this agent is removed from the voters");
        self.leaving = Some(Leaving { until: clock::now().mono + LEAVE, reply: Some(reply) });
        self.command(Command::StepDown { why: "this agent leaves".to_owned(), leaving: true }).await;
    }

    /// Asks the leader to be removed, again and again, until it is; then stops.
    pub(super) async fn check_leave(&mut self) {
        let view = self.views.borrow().clone();
        let leads = self.lease.borrow().is_some();
        let Some(Leaving { until, reply }) = &mut self.leaving else { return };
        if leads {
            // The hand-over waits for runs; only then is there somebody to ask.
            *until = clock::now().mono + LEAVE;
        }
        // In mode `alive` nobody keeps a list of voters: there is nothing to be removed from.
        let listed = view.mode == LeadershipMode::Quorum && view.members.iter().any(|m| m.id == self.me && m.voter);
        let removed = view.formed && !leads && !listed;
        let late = clock::now().mono >= *until;
        if removed || late {
            if let Some(reply) = reply.take() {
                let answer = if removed {
                    Ok(())
                } else {
                    let text = "the leader did not remove this agent from the voters in time: it has not left, and it will \
                                not lead before it is restarted; ask again when there is a leader";
                    warn!("{text}");
                    Err(text.to_owned())
                };
                drop(reply.send(answer));
            }
            self.leaving = None;
            if removed && self.stopping.is_none() {
                self.stopping = Some(Stopping { until: Duration::MAX, said_goodbye: false });
                self.publish();
            }
            return;
        }
        if let Some(leader) = view.members.iter().find(|m| m.leader && m.id != self.me) {
            self.control.ask_to_be_removed(leader.gossip_addr, self.me.clone()).await;
        }
    }
}
