#![no_main]

libfuzzer_sys::fuzz_target!(init: embq_fuzz::set_up(), |bytes: &[u8]| embq_fuzz::read("fuzzed.fbin", bytes));
