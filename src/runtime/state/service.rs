//! Requests about Terraform state on any agent: the leader decides them itself, others ask the leader.

use std::sync::Arc;
use std::time::Duration;

use quorate_proto::codec;
use tokio::sync::watch;

use super::{Keeper, Led};
use crate::cluster::View;
use crate::cluster::leadership::Lease;
use crate::runtime::clock;
use crate::runtime::control::Control;
use crate::runtime::handle::{ApiRequest, ApiResponse, Caller};
use crate::runtime::replica::Replica;
use crate::state::{Answering, Leadership, StateAnswer, StateCall, StateService};

/// Path on which an agent asks the leader. Only over the control connection.
pub const PATH: &str = "/internal/state";
/// How long the leader may take: a state of 16 MiB goes to every voter meanwhile.
const ASK: Duration = Duration::from_secs(30);

/// Of one agent. Shared by whoever asks.
#[derive(Debug)]
pub struct ClusterState {
    keeper: Keeper<LedByLease>,
    views: watch::Receiver<Arc<View>>,
    control: Control,
}

type LedByLease = Led<Box<dyn Fn() -> Option<Leadership> + Send + Sync>>;

impl ClusterState {
    /// `lease` is this agent's own.
    pub fn new(
        replica: Replica,
        lease: watch::Receiver<Option<Lease>>,
        views: watch::Receiver<Arc<View>>,
        control: Control,
    ) -> Self {
        let (mode, me) = {
            let view = views.borrow();
            (view.mode, view.observer.clone())
        };
        let leading: Box<dyn Fn() -> Option<Leadership> + Send + Sync> = Box::new(move || {
            let lease = *lease.borrow();
            let lease = lease.filter(|lease| lease.is_live(Duration::ZERO, clock::now()))?;
            Some(Leadership { leader: me.clone(), epoch: lease.epoch() })
        });
        Self { keeper: Keeper::new(Led { replica, leading }, mode), views, control }
    }

    /// See [`Keeper::can_be_read`].
    pub async fn can_be_read(&self, task: &str) -> Result<(), String> {
        self.keeper.can_be_read(task).await
    }

    /// Answers what another agent asks this one, as the leader. Never asks further: a request makes one hop.
    pub async fn as_leader(&self, request: &ApiRequest) -> ApiResponse {
        let answer = match codec::decode_frame::<StateCall>(&request.body) {
            Ok(call) => self.keeper.handle(call).await,
            Err(error) => StateAnswer::Invalid(error.to_string()),
        };
        let body = codec::encode(&answer).unwrap_or_default();
        ApiResponse { status: 200, content_type: "application/octet-stream".to_owned(), body }
    }

    async fn anywhere(&self, call: StateCall) -> StateAnswer {
        let own = self.keeper.handle(call.clone()).await;
        if !matches!(own, StateAnswer::NoLeader(_)) {
            return own;
        }
        let view = self.views.borrow().clone();
        let Some(leader) = view.members.iter().find(|member| member.leader && member.id != view.observer) else {
            let why = if view.reason.is_empty() { "leadership is changing" } else { view.reason.as_str() };
            return StateAnswer::NoLeader(why.to_owned());
        };
        let body = match codec::encode(&call) {
            Ok(body) => body,
            Err(error) => return StateAnswer::Invalid(error.to_string()),
        };
        let (method, target) = ("POST".to_owned(), PATH.to_owned());
        let caller = Caller::member(&view.observer);
        let request = ApiRequest { method, target, body, request_id: String::new(), caller };
        match self.control.ask(leader.gossip_addr, request, ASK).await {
            Some(answer) => codec::decode_frame(&answer.body)
                .unwrap_or_else(|error| StateAnswer::Unknown(format!("{} answered oddly: {error}", leader.id))),
            None => StateAnswer::Unknown(format!("the leader {} did not answer within {ASK:?}", leader.id)),
        }
    }
}

impl StateService for ClusterState {
    fn handle(&self, call: StateCall) -> Answering<'_> {
        Box::pin(self.anywhere(call))
    }
}
