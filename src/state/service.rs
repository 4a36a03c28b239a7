//! The seam between the faces and whoever answers.

use std::future::Future;
use std::pin::Pin;

use super::call::{StateAnswer, StateCall};

/// An answer under way.
pub type Answering<'a> = Pin<Box<dyn Future<Output = StateAnswer> + Send + 'a>>;

/// Answers requests about state: on the leader by deciding, elsewhere by asking the leader. It tries once; who calls it
/// may repeat what ended in [`StateAnswer::NoLeader`] or [`StateAnswer::Unknown`].
pub trait StateService: std::fmt::Debug + Send + Sync {
    /// Answers one.
    fn handle(&self, call: StateCall) -> Answering<'_>;
}
