//! The text of a token.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::access::fuzz_token(bytes);
});
