//! A control message after its seal was checked.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate_proto::fuzzing::control_message(bytes);
});
