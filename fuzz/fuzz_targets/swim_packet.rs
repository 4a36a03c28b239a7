//! A SWIM packet after the seal, given to a member that has company.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::cluster::membership::fuzz_datagram(bytes);
});
