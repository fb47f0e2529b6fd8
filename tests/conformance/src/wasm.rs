//! The runner as JavaScript calls it.

use wasm_bindgen::prelude::wasm_bindgen;

/// Runs one vector: JSON in, the report out, as [`crate::run`].
#[wasm_bindgen]
pub fn run(vector: &str) -> String {
    crate::run(vector)
}
