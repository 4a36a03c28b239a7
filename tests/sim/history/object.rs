//! What clients keep in the cluster: one object per key, with the rules of a task and of a Terraform state.
//!
//! The leader of the simulated cluster answers by these rules, and the checker explains answers by them: a defect in the
//! cluster shows as an answer that no order of operations gives.

/// Which client holds a lock.
pub(crate) type Holder = u8;

/// The object under one key. Nothing there: the default.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub(crate) struct Object {
    pub(crate) exists: bool,
    /// Unique among all writes.
    pub(crate) value: u64,
    pub(crate) enabled: bool,
    pub(crate) serial: u32,
    pub(crate) lock: Option<Holder>,
}

/// What a client asks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Op {
    Read,
    /// A task.
    Create(u64),
    Change(u64),
    Enable(bool),
    Delete,
    /// A state: only with the lock, and only on the serial that the client knows.
    Store {
        holder: Holder,
        serial: u32,
        value: u64,
    },
    Lock(Holder),
    Unlock(Holder),
}

/// What it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Answer {
    Is(Object),
    Done,
    Exists,
    Missing,
    Conflict,
    Locked,
}

impl Op {
    /// The answer, and the object afterwards.
    pub(crate) fn apply(self, object: Object) -> (Answer, Object) {
        match self {
            Self::Read => (Answer::Is(object), object),
            Self::Create(_) if object.exists => (Answer::Exists, object),
            Self::Create(value) => (Answer::Done, Object { exists: true, value, enabled: true, ..Object::default() }),
            Self::Change(_) | Self::Enable(_) | Self::Delete if !object.exists => (Answer::Missing, object),
            Self::Change(value) => (Answer::Done, Object { value, ..object }),
            Self::Enable(enabled) => (Answer::Done, Object { enabled, ..object }),
            Self::Delete => (Answer::Done, Object::default()),
            Self::Store { holder, .. } if object.lock != Some(holder) => (Answer::Locked, object),
            Self::Store { serial, .. } if object.serial != serial => (Answer::Conflict, object),
            Self::Store { value, .. } => {
                (Answer::Done, Object { exists: true, value, serial: object.serial + 1, ..object })
            }
            Self::Lock(holder) => match object.lock {
                None => (Answer::Done, Object { exists: true, lock: Some(holder), ..object }),
                Some(other) if other == holder => (Answer::Done, object),
                Some(_) => (Answer::Locked, object),
            },
            Self::Unlock(holder) if object.lock == Some(holder) => (Answer::Done, Object { lock: None, ..object }),
            Self::Unlock(_) => (Answer::Locked, object),
        }
    }
}
