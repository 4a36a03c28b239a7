//! Terraform state kept by the cluster, fenced (protocol-safety 7): what a request about a task's state is answered, and
//! what is written for it. Pure: a request and the registers it concerns go in, an answer and one batch of writes come out.
//!
//! Per task there is one small document (the *index*, register `state/<task>`): which versions are kept, the lock, and
//! what deposed runs could not write. The contents lie in a ring of [`VERSIONS`] registers of their own
//! (`state-content/<task>/<slot>`), so that reading or listing the indexes never touches a content.
//!
//! # Invariants
//!
//! - A run changes the document only while its token is the one in the journal of runs, and that run is not over.
//! - The document remembers the highest token that changed it; a lower one never changes it again, whatever the journal
//!   says.
//! - A write needs the lock, held under the same token and ID. A lock of any other token is a dead run's: the journal
//!   names a new run only when the old one is surely over, so the new one takes the lock over.
//! - Every request may be repeated: done twice it is as done once. So drivers may retry what got no answer.
//! - What one request writes is one batch.
//!
//! # Not here
//!
//! Reading and writing registers, and one request after the other per task: `runtime::state`. HTTP: `http::state`.

mod call;
mod content;
mod credentials;
mod decide;
mod document;
mod list;
mod service;

pub use self::call::{Caller, Fence, Leadership, Request, StateAnswer, StateCall, Token};
pub use self::content::{Content, ContentError, md5 as content_md5};
pub use self::credentials::{Credential, Credentials, Denied, Grant};
pub use self::decide::{Decision, decide, needs};
pub use self::document::{CONTENT_PREFIX, Document, INDEX_PREFIX, Lock, SetAside, Version, index_key, slot_key};
pub use self::list::{LockSummary, SetAsideSummary, Summary, VersionSummary, summary};
pub use self::service::{Answering, StateService};

/// Versions kept per task.
pub const VERSIONS: u64 = 10;
/// Largest state, in bytes.
pub const CONTENT_MAX: usize = 16 << 20;
/// Largest lock info, in bytes: Terraform's has about 300.
pub const LOCK_INFO_MAX: usize = 16 << 10;
/// States set aside that are remembered per task; the oldest gives way.
pub const SET_ASIDE_MAX: usize = 10;

/// Why state is not kept in mode `alive`.
pub const ALIVE_MODE: &str = "leadership mode \"alive\" elects without a majority, so two agents may lead at once and a \
     state kept by the cluster could fork; use mode \"quorum\", or configure a backend in driver \"terraform\"";
