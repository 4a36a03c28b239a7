//! What the faces are shown of the cluster: the core's view with the wall-clock times that people ask for.

use std::collections::BTreeMap;
use std::sync::Arc;

use chrono::{DateTime, Utc};
use quorate_proto::MemberId;

use super::clock;
use super::handle::{ClusterSnapshot, LEADERSHIPS_MAX, Leadership};
use crate::cluster::View;
use crate::cluster::view::MemberState;

/// Remembers when what it was shown began.
#[derive(Debug)]
pub(super) struct Chronicle {
    /// When this process began to look.
    began: DateTime<Utc>,
    /// The last moment at which somebody was known to lead; `None`: nobody was yet.
    led_until: Option<DateTime<Utc>>,
    states: BTreeMap<MemberId, (MemberState, DateTime<Utc>)>,
    leader: Option<MemberId>,
    leader_since: Option<DateTime<Utc>>,
    why: String,
    /// Oldest first.
    leaderships: Arc<Vec<Leadership>>,
    high_availability: bool,
    state_at_rest: Option<bool>,
}

impl Chronicle {
    pub(super) fn new(high_availability: bool, state_at_rest: Option<bool>) -> Self {
        Self {
            began: clock::utc(),
            led_until: None,
            states: BTreeMap::new(),
            leader: None,
            leader_since: None,
            why: String::new(),
            leaderships: Arc::default(),
            high_availability,
            state_at_rest,
        }
    }

    /// Until when somebody was known to lead (`None`: at no time), and since when this process looks.
    pub(super) fn current_until(&self) -> (Option<DateTime<Utc>>, DateTime<Utc>) {
        let now = self.leader_since.map(|_| clock::utc());
        (now.or(self.led_until), self.began)
    }

    /// The snapshot of a view. `leading`: the lease of this agent is live.
    pub(super) fn snapshot(&mut self, view: &View, leading: bool) -> Arc<ClusterSnapshot> {
        let now = clock::utc();
        for member in &view.members {
            let entry = self.states.entry(member.id.clone()).or_insert((member.state, now));
            if entry.0 != member.state {
                *entry = (member.state, now);
            }
        }
        self.states.retain(|id, _| view.members.iter().any(|m| m.id == *id));
        if view.leader != self.leader {
            if let Some(leader) = &view.leader {
                self.why = self.explain(leader, view);
                self.leader_since = Some(now);
                self.begin(leader, view, now);
                self.leader = Some(leader.clone());
            } else {
                // The last leader is kept: the next one's reason speaks of it.
                if self.leader_since.take().is_some() {
                    self.led_until = Some(now);
                    self.end(view.reason.clone(), now);
                }
            }
        } else if self.leader_since.is_none()
            && let Some(leader) = &view.leader
        {
            self.leader_since = Some(now);
            "it led before, and was granted leadership again".clone_into(&mut self.why);
            self.begin(leader, view, now);
        }
        Arc::new(ClusterSnapshot {
            view: view.clone(),
            since: self.states.iter().map(|(id, (_, since))| (id.clone(), *since)).collect(),
            leader_since: self.leader_since.filter(|_| view.leader.is_some()),
            leader_why: if view.leader.is_some() { self.why.clone() } else { String::new() },
            leaderships: self.leaderships.clone(),
            high_availability: self.high_availability,
            state_at_rest: self.state_at_rest,
            leading,
        })
    }

    /// Somebody leads, and nobody else any more. Why the one before does not is known best now.
    fn begin(&mut self, leader: &MemberId, view: &View, now: DateTime<Utc>) {
        let before = self.leaderships.last().map(|before| &before.leader);
        let end = match before {
            Some(before) if before == leader => "its lease was lost for a while".to_owned(),
            Some(before) if *before == view.observer => format!("the log of {before} says why"),
            _ => self.why.clone(),
        };
        self.end(end, now);
        let past = Arc::make_mut(&mut self.leaderships);
        if past.len() >= LEADERSHIPS_MAX {
            past.remove(0);
        }
        let (leader, why) = (leader.clone(), self.why.clone());
        past.push(Leadership { leader, epoch: view.epoch, from: now, until: None, why, end: String::new() });
    }

    /// The newest one is over, for all that is known here.
    fn end(&mut self, why: String, now: DateTime<Utc>) {
        if let Some(last) = Arc::make_mut(&mut self.leaderships).last_mut() {
            last.until.get_or_insert(now);
            last.end = why;
        }
    }

    /// Why this one leads, from what is left of the one before.
    fn explain(&self, leader: &MemberId, view: &View) -> String {
        let Some(before) = self.leader.as_ref().filter(|before| *before != leader) else {
            let lowest = view.members.iter().filter(|m| m.voter).find(|m| m.state == MemberState::Alive);
            return match lowest {
                Some(lowest) if lowest.id != *leader => format!("the lower id {} has not settled yet", lowest.id),
                _ => "lowest id alive".to_owned(),
            };
        };
        if let Some((holder, how)) = &view.last_release
            && holder == before
        {
            return format!("{before} led before; {how}");
        }
        match view.members.iter().find(|m| m.id == *before).map(|m| m.state) {
            Some(MemberState::Down) => format!("{before} is down"),
            Some(MemberState::Suspect) => format!("{before} did not answer"),
            Some(MemberState::Left) => format!("{before} has left"),
            // Why its own leadership ended stands in its log.
            Some(MemberState::Alive) if *before == view.observer => format!("{before} led before"),
            Some(MemberState::Alive) => format!("the lease of {before} ran out"),
            None => format!("{before} is gone"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_led_when_is_remembered_with_how_it_ended() {
        let id = |name: &str| MemberId::new(name).unwrap();
        let mut chronicle = Chronicle::new(true, None);
        let mut see = |epoch: u64, leader: Option<&str>, a1: MemberState| {
            let members = [("a1", a1), ("a2", MemberState::Alive)];
            let reason = if leader.is_none() { "no majority" } else { "" }.to_owned();
            let view = View { observer: id("a2"), leader: leader.map(id), reason, ..View::sample(epoch, &members) };
            chronicle.snapshot(&view, false).leaderships.clone()
        };
        see(1, Some("a1"), MemberState::Alive);
        let seen = see(1, None, MemberState::Suspect);
        assert!(seen[0].until.is_some() && seen[0].end == "no majority");
        let seen = see(2, Some("a2"), MemberState::Down);
        let story: Vec<_> = seen.iter().map(|it| (it.leader.as_str(), it.epoch.0, it.end.as_str())).collect();
        assert_eq!(story, [("a1", 1, "a1 is down"), ("a2", 2, "")]);
        assert_eq!((seen[1].why.as_str(), seen[1].until), ("a1 is down", None));
        see(2, None, MemberState::Down);
        assert_eq!(see(3, Some("a2"), MemberState::Down)[1].end, "its lease was lost for a while");
        assert_eq!(see(4, Some("a1"), MemberState::Alive)[2].end, "the log of a2 says why");
        for epoch in 5..200 {
            see(epoch, Some(if epoch % 2 == 0 { "a1" } else { "a2" }), MemberState::Alive);
        }
        let seen = see(200, Some("a1"), MemberState::Alive);
        assert_eq!((seen.len(), seen.last().unwrap().epoch.0), (LEADERSHIPS_MAX, 200));
    }

    #[test]
    fn why_an_agent_leads_is_told_of_what_is_known_of_the_one_before() {
        let why = |observer: &str, before: MemberState, how: Option<&'static str>| {
            let mut chronicle = Chronicle::new(true, None);
            let id = |name: &str| MemberId::new(name).unwrap();
            let members = [("a1", MemberState::Alive), ("a2", before)];
            let view = View { observer: id(observer), leader: Some(id("a2")), ..View::sample(1, &members) };
            chronicle.snapshot(&view, false);
            let last_release = how.map(|how| (id("a2"), how));
            let view = View { leader: Some(id("a1")), last_release, ..view };
            chronicle.snapshot(&view, false).leader_why.clone()
        };
        assert_eq!(why("a1", MemberState::Alive, Some("it handed over")), "a2 led before; it handed over");
        assert_eq!(why("a1", MemberState::Alive, None), "the lease of a2 ran out");
        assert_eq!(why("a1", MemberState::Down, None), "a2 is down");
        assert_eq!(why("a2", MemberState::Alive, None), "a2 led before", "its own log says why it does not any more");
    }
}
