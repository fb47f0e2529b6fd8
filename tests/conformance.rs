//! Every vector in `tests/vectors/` holds, natively. How they are run: `pannier_conformance`.

use std::fs;
use std::path::Path;

use serde_json::Value;

#[test]
fn every_vector_holds() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("vectors");
    let mut files: Vec<_> = fs::read_dir(&folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    let (mut told, mut vectors) = (Vec::new(), 0);
    for file in &files {
        let text = fs::read_to_string(file).unwrap();
        let page: Value = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file:?}: {error}"));
        assert_eq!(page["format"], "pannier-vectors/1", "{file:?}");
        for vector in page["vectors"].as_array().expect("a file of vectors") {
            let report: Value = serde_json::from_str(&pannier_conformance::run(&vector.to_string())).unwrap();
            told.extend(report["differences"].as_array().unwrap().iter().map(ToString::to_string));
            vectors += 1;
        }
    }
    assert!(told.is_empty(), "\n{}\n", told.join("\n"));
    assert!(vectors >= files.len(), "a file without vectors proves nothing");
}
