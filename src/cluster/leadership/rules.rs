//! Which safety rules are in force: all of them, always; the simulator may take one away to prove that its
//! checkers find what then breaks (protocol-safety 11).

/// A rule of protocol-safety that the simulator can remove.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Rule {
    /// R2, R8: a register is taken, and leadership won, only with the contents that are named.
    ContentsFirst,
    /// R1: one claimant per epoch.
    OneClaimantPerEpoch,
    /// R1: the process is meant, not the agent: one that restarted waits for the lease of its former self.
    BootNonce,
    /// R2 for promises: answered only when durable.
    PromiseIsDurable,
    /// R2 for writes: acknowledged only when durable.
    WriteIsDurable,
    /// R3: an older epoch is refused.
    StaleEpochIsRefused,
    /// R4: the claimant's own promise is durable before it claims.
    OwnPromiseFirst,
    /// R5: an epoch is claimed only after a majority would grant it.
    PreClaimFirst,
    /// Section 12: a claim that was given up is never acted on.
    GivenUpIsOver,
    /// R8: merge over the granting quorum.
    MergeOverQuorum,
    /// R8: write back before acting.
    WriteBack,
    /// A majority, not half.
    Majority,
    /// R12: quiet period after a restart.
    QuietPeriod,
    /// R13: count from before sending.
    CountFromSending,
    /// R13: the margin for clock rates.
    RateMargin,
    /// R7, R17: the highest voter set seen.
    HighestVoterSet,
    /// R18: one voter at a time.
    OneVoterAtATime,
    /// R19: state first.
    StateFirst,
    /// R13 with R18: the window in hand is covered by majorities of both sets before they change.
    WindowFirst,
    /// F3: every own seed is in the proposal.
    SeedsInProposal,
    /// F4: all founders, not a majority.
    AllFounders,
    /// Section 10: an old copy of a data directory is refused, and so are two processes of one.
    OldCopies,
    /// R22: what lies at or below the horizon is deleted, whoever still has it.
    BelowIsDeleted,
    /// R22: everything that lives is written again above a horizon before there is one.
    RewriteFirst,
    /// R22: deletions are forgotten when the horizon is on a majority, not before.
    HorizonFirst,
    /// R5: numbers that no honest member comes to are refused.
    NumbersAreScreened,
    /// R22: an agent that knows no horizon cannot read the voters behind one, and does not lead.
    HorizonWithVoters,
}

/// Deletions that are kept before they are forgotten together: some 400 KB.
const FORGET_ABOVE: usize = 4_096;
/// Bytes of keys and values put into one batch of a recovery, or of what is written again.
const BATCH_BYTES: usize = 256 * 1024;

/// The rules in force.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Rules {
    #[cfg(feature = "mutations")]
    removed: [Option<Rule>; 3],
    /// Small numbers in place of the usual ones: few deletions are kept, and batches have one key each.
    #[cfg(feature = "mutations")]
    small: bool,
    /// The agent behaves as one did before there was a horizon.
    #[cfg(feature = "mutations")]
    older: bool,
}

impl Rules {
    /// All but one. Only in builds for the simulator.
    #[cfg(feature = "mutations")]
    pub fn without(rule: Rule) -> Self {
        Self { removed: [Some(rule), None, None], ..Self::default() }
    }

    /// One more taken away (three at most): the model checker leaves out what only multiplies states.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn and_without(self, rule: Rule) -> Self {
        let mut removed = self.removed;
        if let Some(free) = removed.iter_mut().find(|slot| slot.is_none()) {
            *free = Some(rule);
        }
        Self { removed, ..self }
    }

    /// Deletions are forgotten after a few, and a recovery takes many batches.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn small(self) -> Self {
        Self { small: true, ..self }
    }

    /// As an agent of the version before: it knows no horizon.
    #[cfg(feature = "mutations")]
    #[must_use]
    pub fn older(self) -> Self {
        Self { older: true, ..self }
    }

    /// Whether this agent knows what a horizon is: `true` in every build that users get.
    #[cfg_attr(not(feature = "mutations"), expect(clippy::unused_self, reason = "the rules of the simulator differ"))]
    pub(crate) fn knows_horizon(self) -> bool {
        #[cfg(feature = "mutations")]
        return !self.older;
        #[cfg(not(feature = "mutations"))]
        true
    }

    /// How many deletions are kept before they are forgotten.
    #[cfg_attr(not(feature = "mutations"), expect(clippy::unused_self, reason = "the rules of the simulator differ"))]
    pub(crate) fn forget_above(self) -> usize {
        #[cfg(feature = "mutations")]
        if self.small {
            return 3;
        }
        FORGET_ABOVE
    }

    /// How many bytes of registers go into one batch; a register that is larger goes alone.
    #[cfg_attr(not(feature = "mutations"), expect(clippy::unused_self, reason = "the rules of the simulator differ"))]
    pub(crate) fn batch_bytes(self) -> usize {
        #[cfg(feature = "mutations")]
        if self.small {
            return 1;
        }
        BATCH_BYTES
    }

    /// Whether the rule is in force: `true` in every build that users get.
    pub(crate) fn keep(self, rule: Rule) -> bool {
        #[cfg(feature = "mutations")]
        return !self.removed.contains(&Some(rule));
        #[cfg(not(feature = "mutations"))]
        {
            let _: (Self, Rule) = (self, rule);
            true
        }
    }
}
