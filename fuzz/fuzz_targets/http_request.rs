//! A request to the API.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::http::fuzz_request(bytes);
});
