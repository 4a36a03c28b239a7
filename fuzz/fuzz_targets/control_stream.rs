//! What a peer writes to a control connection.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate_proto::fuzzing::control_stream(bytes);
});
