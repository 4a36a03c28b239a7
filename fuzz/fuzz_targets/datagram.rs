//! A datagram as it comes from the socket.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate_proto::fuzzing::datagram(bytes);
});
