//! A configuration, HCL or JSON.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::config::fuzzing::configuration(bytes);
});
