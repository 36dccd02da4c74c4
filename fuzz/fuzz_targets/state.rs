#![no_main]

use embq_core::partial::{Influence, Moments, Scores};
use embq_files::input::state::from_bytes;

libfuzzer_sys::fuzz_target!(init: embq_fuzz::set_up(), |bytes: &[u8]| {
    if let Ok(table) = from_bytes("fuzzed.arrow", bytes.to_vec()) {
        let _ = Moments::from_table(table.clone(), "fuzzed.arrow");
        let _ = Influence::from_table(table.clone(), "fuzzed.arrow");
        let _ = Scores::from_table(table, "fuzzed.arrow");
    }
});
