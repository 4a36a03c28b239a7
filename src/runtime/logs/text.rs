//! What a run printed, in blocks that are compressed one by one: its head and its tail stay, the middle goes when it is too
//! much. Pure.
//!
//! Offsets count bytes of the whole text, also of what was left out, so a reader that comes back goes on where it was.

use std::collections::VecDeque;
use std::io::{Read as _, Write as _};

use flate2::Compression;
use flate2::read::DeflateDecoder;
use flate2::write::DeflateEncoder;
use quorate_proto::bincode_derive::{Decode, Encode};
use quorate_proto::codec;

/// Text in a block at most. Large blocks compress better, small ones are read sooner from the middle.
const BLOCK_MAX: usize = 64 * 1024;
/// And at least: smaller ones do not compress.
const BLOCK_MIN: usize = 512;
/// Blocks that the head and the tail hold at least, however badly they compress.
const BLOCKS: usize = 8;
/// A value this small stays in the register itself: it costs memory on every agent, and each take-over a little time.
const SMALL: usize = 256;
/// A register with more bytes than this keeps its value in a file.
const INLINE_MAX: usize = quorate_proto::message::INLINE_MAX;

/// A piece of the text.
#[derive(Debug, Clone, PartialEq, Eq, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Block {
    offset: u64,
    len: u32,
    /// By DEFLATE.
    bytes: Vec<u8>,
}

impl Block {
    fn of(offset: u64, text: &str) -> Self {
        let mut encoder = DeflateEncoder::new(Vec::new(), Compression::fast());
        // A vector takes everything.
        let written = encoder.write_all(text.as_bytes());
        let bytes = written.and_then(|()| encoder.finish()).unwrap_or_default();
        Self { offset, len: u32::try_from(text.len()).unwrap_or(u32::MAX), bytes }
    }

    fn end(&self) -> u64 {
        self.offset.saturating_add(u64::from(self.len))
    }

    /// `None`: the bytes are not what they should be.
    fn text(&self) -> Option<String> {
        let len = usize::try_from(self.len).ok().filter(|len| *len <= BLOCK_MAX)?;
        let mut text = String::with_capacity(len);
        DeflateDecoder::new(&self.bytes[..]).take(u64::from(self.len) + 1).read_to_string(&mut text).ok()?;
        (text.len() == len).then_some(text)
    }
}

/// As it is kept.
#[derive(Debug, Encode, Decode)]
#[bincode(crate = "quorate_proto::bincode_derive")]
struct Stored {
    run: [u8; 16],
    len: u64,
    blocks: Vec<Block>,
    /// Makes a value that is not small large enough for a file.
    pad: Vec<u8>,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct Text {
    /// Compressed bytes at most.
    max: usize,
    head: Vec<Block>,
    tail: VecDeque<Block>,
    /// The newest, not compressed yet.
    open: String,
    len: u64,
}

/// What a reader gets at once.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Piece {
    /// Where the text begins: at the offset that was asked for, or behind what is left out there.
    pub from: u64,
    /// Bytes that are left out before it.
    pub left_out: u64,
    /// The text.
    pub text: String,
    /// Where the next piece begins.
    pub next: u64,
    /// Bytes of the whole text by now.
    pub whole: u64,
}

impl Text {
    /// None yet, of at most so many compressed bytes.
    pub(super) fn new(max: usize) -> Self {
        Self { max, head: Vec::new(), tail: VecDeque::new(), open: String::new(), len: 0 }
    }

    /// Bytes of the whole text.
    pub(super) fn len(&self) -> u64 {
        self.len
    }

    /// Bytes that were left out.
    pub(super) fn left_out(&self) -> u64 {
        self.gap().1.saturating_sub(self.gap().0)
    }

    /// Adds to the end.
    pub(super) fn push(&mut self, text: &str) {
        self.open.push_str(text);
        self.len += text.len() as u64;
        let block = (self.max / BLOCKS).clamp(BLOCK_MIN, BLOCK_MAX);
        while self.open.len() >= block {
            // At the end of a line, if there is one not too far ahead.
            let limit = self.open.floor_char_boundary(block);
            let cut = self.open[..limit].rfind('\n').map_or(limit, |end| end + 1);
            self.close(if cut < block / 2 { limit } else { cut });
        }
    }

    /// Makes a block of the first so many bytes of what is open.
    fn close(&mut self, cut: usize) {
        if cut == 0 {
            return;
        }
        let rest = self.open.split_off(cut);
        let text = std::mem::replace(&mut self.open, rest);
        let block = Block::of(self.len - self.open.len() as u64 - text.len() as u64, &text);
        let size = |blocks: &mut dyn Iterator<Item = &Block>| blocks.map(|block| block.bytes.len()).sum::<usize>();
        if self.tail.is_empty() && size(&mut self.head.iter()) + block.bytes.len() <= self.max / 2 {
            self.head.push(block);
            return;
        }
        self.tail.push_back(block);
        let mut held = size(&mut self.tail.iter());
        while held > self.max - self.max / 2 && self.tail.len() > 1 {
            held -= self.tail.pop_front().map_or(0, |block| block.bytes.len());
        }
    }

    /// Where text is left out: from the end of the head to the beginning of what follows.
    fn gap(&self) -> (u64, u64) {
        let open = self.len - self.open.len() as u64;
        (self.head.last().map_or(0, Block::end), self.tail.front().map_or(open, |block| block.offset))
    }

    /// The text from this offset on, about `max` bytes of it, up to the next place where something is left out.
    pub(super) fn read(&self, from: u64, max: usize) -> Option<Piece> {
        let (head_end, tail) = self.gap();
        let start = if (head_end..tail).contains(&from) { tail } else { from.min(self.len) };
        let (left_out, text) = (start.saturating_sub(from), String::new());
        let mut piece = Piece { from: start, left_out, text, next: start, whole: self.len };
        let blocks = self.head.iter().chain(&self.tail).filter(|block| block.end() > start);
        for block in blocks {
            if block.offset > piece.next || piece.text.len() >= max {
                return Some(piece);
            }
            take(&mut piece, &block.text()?, block.offset, max);
        }
        let open = self.len - self.open.len() as u64;
        if piece.next >= open && piece.text.len() < max {
            take(&mut piece, &self.open, open, max);
        }
        Some(piece)
    }

    /// As it is to be kept: small, or large enough for a file.
    pub(super) fn encode(&self, run: [u8; 16]) -> Vec<u8> {
        let mut whole = self.clone();
        whole.close(whole.open.len());
        let blocks = whole.head.into_iter().chain(whole.tail).collect();
        let mut stored = Stored { run, len: self.len, blocks, pad: Vec::new() };
        let bytes = codec::encode(&stored).unwrap_or_default();
        if bytes.len() <= SMALL || bytes.len() > INLINE_MAX {
            return bytes;
        }
        stored.pad = vec![0; INLINE_MAX];
        codec::encode(&stored).unwrap_or_default()
    }

    /// What was kept of this run. `None`: of another, or unreadable.
    pub(super) fn decode(bytes: &[u8], run: [u8; 16]) -> Option<Self> {
        let Stored { run: kept, len, blocks, .. } = codec::decode_frame(bytes).ok()?;
        let in_order = blocks.windows(2).all(|pair| pair[0].end() <= pair[1].offset);
        if kept != run || !in_order || blocks.last().is_some_and(|block| block.end() != len) {
            return None;
        }
        // The first place where something is missing parts the head from the tail.
        let mut end = 0;
        let whole = blocks.iter().take_while(|block| std::mem::replace(&mut end, block.end()) == block.offset).count();
        let mut head = blocks;
        let tail = head.split_off(whole).into();
        Some(Self { max: 0, head, tail, open: String::new(), len })
    }
}

/// Adds what of a part of the text, which begins at `offset`, comes next.
fn take(piece: &mut Piece, part: &str, offset: u64, max: usize) {
    let skip = usize::try_from(piece.next.saturating_sub(offset)).unwrap_or(usize::MAX).min(part.len());
    // Offsets come from clients: not every one is the beginning of a character.
    let skip = part.ceil_char_boundary(skip);
    let end = part.floor_char_boundary(skip.saturating_add(max - piece.text.len()).min(part.len()));
    let end = if end <= skip { part.ceil_char_boundary(skip + 1) } else { end }.min(part.len());
    piece.text.push_str(&part[skip..end]);
    piece.next = offset.saturating_add(end as u64);
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX: usize = 16 * 1024;

    fn whole(text: &Text, max: usize) -> (String, u64) {
        let (mut all, mut left_out, mut from) = (String::new(), 0, 0);
        while from < text.len() {
            let piece = text.read(from, max).unwrap();
            assert!(piece.next > from, "it goes on");
            assert!(piece.text.len() < max + 4);
            left_out += piece.left_out;
            all.push_str(&piece.text);
            from = piece.next;
        }
        (all, left_out)
    }

    fn lines(count: usize) -> String {
        let line = |n| format!("line {n} is what it says: {:x}\n", n * 7919);
        (0..count).map(line).collect::<Vec<_>>().concat()
    }

    /// Does not compress.
    fn noise(len: usize) -> String {
        let mut state = 1_u64;
        let mut next = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            char::from(b' ' + u8::try_from((state >> 33) % 94).unwrap())
        };
        (0..len).map(|_| next()).collect()
    }

    #[test]
    fn a_text_is_read_back_however_it_came_and_is_asked_for() {
        let said = lines(3_000).replace("is", "\u{e9}\u{1f600}");
        for step in [1, 7, 5_000] {
            let mut text = Text::new(1 << 20);
            let mut rest = said.as_str();
            while !rest.is_empty() {
                let (now, later) = rest.split_at(rest.ceil_char_boundary(step));
                text.push(now);
                rest = later;
            }
            for max in [997, 70_000, 1 << 20] {
                assert_eq!(whole(&text, max), (said.clone(), 0), "{step} {max}");
            }
            let kept = Text::decode(&text.encode([7; 16]), [7; 16]).unwrap();
            assert_eq!(whole(&kept, 10_000), (said.clone(), 0));
            assert!(text.encode([7; 16]).len() < said.len() / 2);
        }
    }

    #[test]
    fn of_too_much_text_the_head_and_the_tail_stay_and_the_rest_is_counted() {
        for said in [noise(400_000), lines(20_000)] {
            let mut text = Text::new(MAX);
            said.as_bytes().chunks(1_000).for_each(|chunk| text.push(std::str::from_utf8(chunk).unwrap()));
            let kept = text.encode([1; 16]);
            assert!(kept.len() <= MAX + MAX / 4, "{} bytes", kept.len());
            for text in [&text, &Text::decode(&kept, [1; 16]).unwrap()] {
                let (all, left_out) = whole(text, 3_000);
                assert_eq!(all.len() as u64 + left_out, said.len() as u64);
                assert!(left_out > 0 && left_out == text.left_out());
                let (head, _) = all.split_at(1_000);
                assert!(said.starts_with(head) && said.ends_with(&all[all.len() - 1_000..]));
                assert_eq!(
                    text.read(text.len() / 2, 10).unwrap().from,
                    text.gap().1,
                    "in the gap one goes on behind it"
                );
            }
        }
    }

    #[test]
    fn a_value_is_small_or_has_a_file_of_its_own() {
        let mut text = Text::new(MAX);
        assert!(text.encode([1; 16]).len() <= SMALL);
        text.push("ok\n");
        assert!(text.encode([1; 16]).len() <= SMALL);
        text.push(&noise(600));
        assert!(text.encode([1; 16]).len() > INLINE_MAX);
        assert_eq!(whole(&Text::decode(&text.encode([1; 16]), [1; 16]).unwrap(), 99), whole(&text, 99));
    }

    #[test]
    fn what_is_no_log_of_this_run_is_none() {
        let mut text = Text::new(MAX);
        text.push("hello");
        let mut kept = text.encode([1; 16]);
        assert!(Text::decode(&kept, [2; 16]).is_none());
        assert!(Text::decode(&[], [1; 16]).is_none());
        let last = kept.len() - 3;
        kept[last] ^= 0xff;
        let read = Text::decode(&kept, [1; 16]).map(|text| text.read(0, 100));
        assert!(!matches!(read, Some(Some(Piece { text, .. })) if text == "hello"));
        let block = Block { len: 1 << 30, ..Block::of(0, "x") };
        assert_eq!(block.text(), None);
    }

    #[test]
    fn any_offset_may_be_asked_for() {
        let mut text = Text::new(MAX);
        text.push("a\u{1f600}b");
        for from in 0..9 {
            let piece = text.read(from, 1).unwrap();
            assert!("a\u{1f600}b".contains(&piece.text), "{from}");
        }
        assert_eq!(text.read(u64::MAX, 1).unwrap().text, "");
    }
}
