//! The body of a request that makes a task.
#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    quorate::config::fuzzing::task_object(bytes);
});
