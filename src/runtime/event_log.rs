//! The log of the cluster: one line an event, values as fields. The story of a failover reads from any one agent's log.

use tracing::{debug, error, info, warn};

use crate::cluster::Event;

/// Writes one event down.
pub(super) fn tell(event: &Event) {
    match event {
        Event::MemberUp { id, restarted: false } => info!(member = %id, "member is alive"),
        Event::MemberUp { id, restarted: true } => info!(member = %id, "member is alive, restarted"),
        Event::MemberSuspect { id } => info!(member = %id, "member is suspected: it does not answer probes"),
        Event::MemberRefuted { id } => info!(member = %id, "member refuted the suspicion"),
        Event::MemberDown { id } => warn!(member = %id, "member is down"),
        Event::MemberLeft { id } => info!(member = %id, "member has left"),
        Event::ProcessEnded { id } => warn!(member = %id, "the leader's process has ended, its guardian says"),
        Event::IdentityRenewed { bump } => warn!(bump, "others held this agent as down; it joins again"),
        Event::Late { by } => warn!(seconds = by.as_secs_f64(), "this agent did not run for a while"),
        Event::Founding { text } => info!("founding: {text}"),
        Event::Formed { voters } => {
            let voters: Vec<&str> = voters.iter().map(quorate_proto::MemberId::as_str).collect();
            info!(voters = voters.join(","), "the cluster is formed");
        }
        Event::Claiming { epoch, why } => info!(%epoch, why, "claiming leadership"),
        Event::Granted { epoch, by } => info!(%epoch, %by, "claim granted"),
        Event::GrantGiven { epoch, to } => info!(%epoch, %to, "granted a claim"),
        Event::ClaimFailed { epoch, why } => info!(%epoch, why, "claim failed"),
        Event::ClaimGivenUp { epoch, why } => info!(%epoch, why, "claim given up"),
        Event::LeaseGained(lease) => info!(epoch = %lease.epoch(), "this agent leads"),
        Event::LeaseExtended(lease) => debug!(epoch = %lease.epoch(), "lease extended"),
        Event::LeaseSuspended { epoch } => {
            warn!(%epoch, "the wall clock jumped: nothing starts until the lease is renewed");
        }
        Event::LeaseLost { epoch, why } => warn!(%epoch, why, "this agent leads no longer"),
        Event::LeaderChanged { leader: Some(leader), epoch, gap } => {
            // Milliseconds are enough; nothing is said of a gap that this agent did not see.
            let leaderless_seconds = gap.map(|gap| (gap.as_secs_f64() * 1000.0).round() / 1000.0);
            info!(%leader, %epoch, leaderless_seconds, "new leader");
        }
        Event::LeaderChanged { leader: None, epoch, .. } => warn!(%epoch, "no leader is known"),
        Event::HandOver { successor, why } => {
            let successor = successor.as_ref().map_or("nobody", |id| id.as_str());
            info!(successor, why, "handing leadership over");
        }
        Event::Released { epoch, by } => debug!(%epoch, %by, "nothing of that epoch runs there any more"),
        Event::Committed(_) | Event::Unknown(_) | Event::Odd { text: None, .. } => {}
        Event::Odd { from, number, text: Some(text) } => warn!(member = %from, number, "{text}"),
        Event::Forgot { keys } => info!(keys, "the names of deleted keys are forgotten"),
        Event::DiskFull { why } => error!("{why}: this agent neither votes nor leads until there is room"),
        Event::DiskOk => info!("there is room on the disk again: this agent takes part again"),
        Event::Alarm { text } => error!("{text}"),
        Event::Fatal { text } => error!("this agent stops: {text}"),
    }
}
