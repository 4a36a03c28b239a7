//! `-watch`: shows a report again whenever it changes, until interrupted.
//!
//! On a terminal the screen is drawn in place. Elsewhere each change is appended, so that a pipe sees a history. An agent
//! that goes away is said and asked again: the one who watches is often waiting for it to come back.

use std::time::Duration;

use super::client_error::ClientError;
use super::output::{Failure, on_terminal, say};

/// Between attempts at an agent that does not answer.
const PAUSE: Duration = Duration::from_secs(1);

/// Clears what is below the top left corner.
const HOME: &str = "\x1b[H\x1b[J";

/// A report, and the index to wait for a change of.
pub(super) struct Shown {
    pub(super) text: String,
    /// What the report says without its ages, which move on by themselves: the same key, no change.
    pub(super) key: String,
    pub(super) index: u64,
}

/// Calls `fetch` for ever with the index of the last report, if there is one. `in_place`: for people on a terminal.
pub(super) fn watch(
    in_place: bool,
    mut fetch: impl FnMut(Option<u64>) -> Result<Shown, ClientError>,
) -> Result<(), Failure> {
    let in_place = in_place && on_terminal();
    let mut index = None;
    let mut last = String::new();
    if in_place {
        say("\x1b[2J")?;
    }
    loop {
        let (text, key, pause) = match fetch(index) {
            Ok(shown) => {
                index = Some(shown.index);
                (shown.text, shown.key, false)
            }
            Err(error) => {
                index = None;
                (format!("{error}\ntrying again every second\n"), error.to_string(), true)
            }
        };
        // In place, ages of things move on even when nothing else does.
        if in_place {
            say(&format!("{HOME}{text}"))?;
        } else if key != last {
            say(&text)?;
            last = key;
        }
        if pause {
            std::thread::sleep(PAUSE);
        }
    }
}
