//! The newest that a process has printed: how it ended is told with it.

use super::mask::Mask;

/// Output of one step kept in memory; Terraform's JSON diagnostics fit, a flood does not.
const OUTPUT_MAX: usize = 1024 * 1024;

/// Of one stream.
#[derive(Debug, Default)]
pub(super) struct Kept {
    bytes: Vec<u8>,
    /// What came before them is missing.
    cut: bool,
}

impl Kept {
    /// The next bytes; so many before them were lost, and then all that came earlier goes too: what is told is of one piece.
    pub(super) fn push(&mut self, bytes: &[u8], lost: u64) {
        if lost > 0 {
            self.bytes.clear();
            self.cut = true;
        }
        self.bytes.extend_from_slice(bytes);
        if self.bytes.len() > OUTPUT_MAX {
            self.bytes.drain(..self.bytes.len() - OUTPUT_MAX);
            self.cut = true;
        }
    }

    /// Without the secrets in them, whole or cut.
    pub(super) fn hidden(&self, mask: &Mask) -> Vec<u8> {
        let shown = if self.cut { mask.hide_after_cut(&self.bytes) } else { mask.hide(&self.bytes) };
        shown.into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_is_not_shown_when_the_output_is_cut_in_it() {
        let mask = Mask::of(&["hunter2".to_owned()]).unwrap();
        let mut kept = Kept::default();
        kept.push(b"pw=hunter2", 0);
        assert_eq!(kept.hidden(&mask), b"pw=(sensitive value)");
        // The last two bytes of it stay, and one less is kept of what follows.
        kept.push(&vec![b'x'; OUTPUT_MAX - 2], 0);
        let hidden = kept.hidden(&mask);
        assert!(hidden.iter().all(|byte| *byte == b'x') && hidden.len() == OUTPUT_MAX - 6, "{}", hidden.len());

        let mut kept = Kept::default();
        kept.push(b"pw=hun", 0);
        kept.push(b"er2, and hunter2", 1);
        assert_eq!(kept.hidden(&mask), b"nd (sensitive value)");
        kept.push(b"", 1);
        assert!(kept.hidden(&mask).is_empty());
    }
}
