#![no_main]

use embq_core::partial::{Moments, Scores};
use embq_files::input::state::from_bytes;

libfuzzer_sys::fuzz_target!(init: embq_fuzz::set_up(), |bytes: &[u8]| {
    if let Ok(table) = from_bytes("fuzzed.arrow", bytes.to_vec()) {
        let _ = Moments::from_table(&table, "fuzzed.arrow");
        let _ = Scores::from_table(&table, "fuzzed.arrow");
    }
});
