//! After every input: what the two machines say is carried out, membership is told to leadership, the view is made anew.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use quorate_proto::MemberId;
use quorate_proto::codec;
use quorate_proto::message::{Body, Message, Renewal};
use quorate_proto::seal::{KIND_GOSSIP, KIND_RENEWAL};

use super::encoding::{control_bytes, plain_bytes};
use super::leadership::{self, Peer};
use super::view::{self, MemberView, View};
use super::{Cluster, Event, Now, Output, membership, settings};

impl Cluster {
    /// Drains the machines into the output queue, feeds membership to leadership, renews the view.
    pub(super) fn settle(&mut self, now: Now) {
        // What one says can make the other speak (a release tells membership that a process has ended): until both are silent.
        let mut silent = false;
        while !silent {
            while let Some(output) = self.membership.poll_output() {
                self.handle_membership_output(output);
            }
            let peers = self.current_peers();
            if peers != self.peers {
                self.peers.clone_from(&peers);
                self.leadership.handle_members(peers, now);
            }
            silent = !self.drain_leadership(now);
        }
        self.renew_view();
    }

    /// Carries out what leadership says; whether membership was told something by it.
    fn drain_leadership(&mut self, now: Now) -> bool {
        let mut told = false;
        while let Some(output) = self.leadership.poll_output() {
            match output {
                leadership::Output::Send { to, message } => {
                    if let Some(plain) = self.renewal_bytes(to, &message).or_else(|| control_bytes(&message)) {
                        self.outputs.push_back(Output::Transmit { to, plain });
                    }
                }
                leadership::Output::Persist { ticket, changes } => {
                    self.outputs.push_back(Output::Persist { ticket, changes });
                }
                leadership::Output::Fetch { hash, len, from } => {
                    self.outputs.push_back(Output::Fetch { hash, len, from });
                }
                leadership::Output::DropBlob { hash } => self.outputs.push_back(Output::DropBlob { hash }),
                leadership::Output::Event(event) => {
                    if let Event::ProcessEnded { id } = &event {
                        self.handle_process_ended(&id.clone(), now);
                        told = true;
                    }
                    self.outputs.push_back(Output::Event(event));
                }
            }
        }
        told
    }

    /// The short form of a renewal, where the receiver understands it.
    fn renewal_bytes(&mut self, to: SocketAddr, message: &Message) -> Option<Vec<u8>> {
        let Body::Renew { epoch, round, .. } = message.body else { return None };
        let brief = self.renewals.send(to, epoch, round);
        let mut receivers = self.membership.members().filter(|m| m.identity.gossip_addr == to);
        let understood = receivers.all(|m| m.identity.versions.has_short_forms());
        let renewal = Renewal::of(message).filter(|_| brief && understood)?;
        Some(plain_bytes(KIND_RENEWAL, &codec::encode(&renewal).ok()?))
    }

    /// A guardian said so: membership need not wait for its probes.
    fn handle_process_ended(&mut self, id: &MemberId, now: Now) {
        let generation = self.membership.members().find(|m| m.identity.id == *id).map(|m| m.identity.generation);
        if let Some(generation) = generation {
            self.membership.handle_gone(id, generation, now);
        }
    }

    fn handle_membership_output(&mut self, output: membership::Output) {
        match output {
            membership::Output::Transmit { to, payload } => {
                self.outputs.push_back(Output::Transmit { to, plain: plain_bytes(KIND_GOSSIP, &payload) });
            }
            membership::Output::Event(event) => {
                let event = match event {
                    membership::Event::Up { id, restarted } => Event::MemberUp { id, restarted },
                    membership::Event::Suspect { id } => Event::MemberSuspect { id },
                    membership::Event::Refuted { id } => Event::MemberRefuted { id },
                    membership::Event::Down { id } => Event::MemberDown { id },
                    membership::Event::Left { id } => Event::MemberLeft { id },
                    membership::Event::Conflict { id, instances: [a, b], addresses: [at_a, at_b] } => Event::Alarm {
                        text: format!(
                            "two agents call themselves {id}: instance {a} at {at_a} and instance {b} at {at_b}; \
                             give one of them its own id"
                        ),
                    },
                    membership::Event::Twin { id, instance, addresses: [at_a, at_b], .. } => Event::Alarm {
                        text: format!(
                            "two processes run as {id} with copies of one data directory (instance {instance}), \
                             at {at_a} and {at_b}: stop one and give it a data directory of its own"
                        ),
                    },
                    membership::Event::Renewed { bump } => Event::IdentityRenewed { bump },
                    membership::Event::Late { by } => Event::Late { by },
                    membership::Event::Rebuilt => Event::Alarm {
                        text: "gossip had stopped probing and was started again: please report this".to_owned(),
                    },
                };
                self.outputs.push_back(Output::Event(event));
            }
            membership::Output::AdoptGeneration(generation) => self.adopted = Some(generation),
            membership::Output::Left => self.left = true,
        }
    }

    fn current_peers(&self) -> BTreeMap<MemberId, Peer> {
        let others = self.membership.members().filter(|m| m.identity.id != self.view.observer);
        others
            .map(|m| {
                let peer = Peer {
                    instance: m.identity.instance,
                    addr: m.identity.gossip_addr,
                    generation: m.identity.generation,
                    state: m.state,
                    alive_since: m.alive_since,
                    has_horizon: m.identity.versions.has_horizon(),
                };
                (m.identity.id.clone(), peer)
            })
            .collect()
    }

    fn renew_view(&mut self) {
        let voters = self.leadership.voters();
        let leader = self.leadership.leader().cloned();
        let members: Vec<MemberView> = self
            .membership
            .members()
            .map(|m| MemberView {
                id: m.identity.id.clone(),
                instance: m.identity.instance,
                state: m.state,
                generation: m.identity.generation.0,
                incarnation: m.incarnation,
                gossip_addr: m.identity.gossip_addr,
                api_addr: m.identity.api_addr,
                address: m.identity.address.clone(),
                software: m.identity.software,
                voter: voters.iter().any(|v| v.id == m.identity.id && v.instance == m.identity.instance),
                leader: leader.as_ref() == Some(&m.identity.id),
            })
            .collect();
        let here = |id: &MemberId| {
            members
                .iter()
                .any(|m| m.id == *id && matches!(m.state, view::MemberState::Alive | view::MemberState::Suspect))
        };
        let size = if voters.is_empty() { usize::from(self.settings.expect) } else { voters.len() };
        let needed = match self.settings.mode {
            settings::LeadershipMode::Quorum => size / 2 + 1,
            settings::LeadershipMode::Alive => 1,
        };
        let fresh = View {
            index: self.view.index,
            name: self.view.name.clone(),
            observer: self.view.observer.clone(),
            voters: size,
            voters_alive: voters.iter().filter(|v| here(&v.id)).count(),
            needed,
            held: leader.is_some(),
            caught_up: self.leadership.has_caught_up(),
            members,
            leader,
            last_release: self.leadership.last_release().cloned(),
            epoch: self.leadership.epoch(),
            mode: self.settings.mode,
            formed: self.leadership.is_formed(),
            reason: self.leadership.reason().to_owned(),
            alarms: self.leadership.alarms().cloned().collect(),
        };
        if fresh != self.view {
            self.view = View { index: self.view.index + 1, ..fresh };
        }
    }
}
