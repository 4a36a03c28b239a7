//! Any bytes as a request to the API: for the target in `fuzz/` and for `tests/fuzz_brief.rs`.

use super::cluster::form_pairs;
use super::tasks::{Call, name_in_path};
use super::{cancel, patch};
use crate::runtime::handle::Caller;
use crate::state::Content;
use crate::task::duration;

/// A request: the method, a space, the target, a line's end, the body. Says whether its body was accepted by anything.
pub fn request(bytes: &[u8]) -> bool {
    let at = bytes.iter().position(|byte| *byte == b'\n').unwrap_or(bytes.len());
    let (head, body) = bytes.split_at(at);
    let body = body.get(1..).unwrap_or_default();
    let Ok(head) = std::str::from_utf8(head) else { return false };
    let (method, target) = head.split_once(' ').unwrap_or(("GET", head));
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let call = Call { method, path, query, body, request_id: "fuzz", caller: &Caller::unknown() };
    for (_, value) in form_pairs(query) {
        let _ = duration::parse(&value);
    }
    drop(name_in_path(&call, path.rsplit('/').next().unwrap_or_default()));
    drop(cancel::flag(&call, "force"));
    drop(patch::run_mode(form_pairs(query).into_iter().map(|(_, value)| value)));
    patch::enabled_in(body).is_ok() | Content::of(body).is_ok()
}
