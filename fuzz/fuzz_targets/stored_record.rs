//! A record of the store.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::store::check_record(bytes);
});
