//! Runs conformance vectors of format `pannier-vectors/1`: JSON in, views out.
//!
//! A vector is a short story about named replicas of one document:
//!
//! ```
//! let vector = r#"{
//!     "id": "both-writes-survive",
//!     "doc": "facts",
//!     "steps": ["phone put n/cart leave-at-door", "laptop put n/cart ring-twice"],
//!     "expect": {"n/cart": ["leave-at-door", "ring-twice"]}
//! }"#;
//! let report: serde_json::Value = serde_json::from_str(&pannier_conformance::run(vector)).unwrap();
//! assert_eq!(report["differences"], serde_json::json!([]));
//! assert_eq!(report["views"]["fresh"], report["views"]["phone"]);
//! ```
//!
//! * Each step is one committed change on the replica it names first; `A~B` is a full exchange between two.
//! * `A put KEY TEXT` and `A delete KEY` write raw facts, as a hostile or newer writer would; `A reload` saves the
//!   replica and loads it again. All other verbs belong to the kind of document: one module each.
//! * A step ending in `!name` must fail with that error. A step ending in `=name` names what it wrote, and `$name` in
//!   later steps stands for it.
//! * After the last step all replicas exchange everything. Each of them, and a fresh one that receives every change
//!   singly, shuffled and twice, must show what `expect` says: every field of `expect` equals the same field of the view.
//!
//! The report holds the views, and the differences as sentences: none when the vector passes. An implementation in
//! another language runs the same steps and compares its views with the same `expect`; one that embeds this crate calls
//! [`run`]. Built for wasm32 this crate is a module with the same `run` for JavaScript: a browser's build of the core
//! answers to the same vectors.

mod allotment;
mod cart;
mod enrollment;
mod facts;
mod profile;
mod progress;
mod vector;
#[cfg(target_arch = "wasm32")]
mod wasm;
mod world;

use serde_json::{Value, json};

use self::vector::Vector;
use self::world::World;

/// Runs one vector. The report is `{"id", "views": {replica: view}, "differences": [sentence]}`.
pub fn run(vector: &str) -> String {
    let report = match serde_json::from_str::<Vector>(vector) {
        Ok(vector) => report(&vector),
        Err(error) => json!({"id": null, "views": {}, "differences": [format!("not a vector: {error}")]}),
    };
    report.to_string()
}

fn report(vector: &Vector) -> Value {
    let views = match vector.doc.as_str() {
        "cart" => World::<cart::CartReplica>::play(vector),
        "enrollment" => World::<enrollment::EnrollmentReplica>::play(vector),
        "profile" => World::<profile::ProfileReplica>::play(vector),
        "progress" => World::<progress::ProgressReplica>::play(vector),
        "facts" => World::<facts::Facts>::play(vector),
        "allotment" => World::<allotment::Seats>::play(vector),
        unknown => Err(format!("no document is of kind {unknown:?}")),
    };
    match views {
        Ok(views) => {
            let differences: Vec<String> =
                views.iter().flat_map(|(replica, view)| vector.differences(replica, view)).collect();
            json!({"id": vector.id, "views": views, "differences": differences})
        }
        Err(why) => json!({"id": vector.id, "views": {}, "differences": [why]}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn differences(vector: &Value) -> Vec<String> {
        let report: Value = serde_json::from_str(&run(&vector.to_string())).unwrap();
        serde_json::from_value(report["differences"].clone()).unwrap()
    }

    #[test]
    fn a_view_that_differs_is_told_for_every_replica() {
        let vector = json!({
            "id": "wrong", "doc": "facts", "steps": ["A put k 1", "A~B", "B delete k"], "expect": {"k": ["1"]}
        });
        let told = differences(&vector);
        assert_eq!(told.len(), 3, "{told:?}");
        assert!(told[0].contains(r#"A shows k as null, not ["1"]"#), "{told:?}");
    }

    #[test]
    fn a_step_that_fails_unexpectedly_or_succeeds_unexpectedly_is_told() {
        for (steps, why) in [
            (json!(["A dance"]), "`A dance` failed: unknown-step"),
            (json!(["A put k 1 !forbidden"]), "`A put k 1 !forbidden` succeeded"),
            (json!(["A dance !forbidden"]), "`A dance !forbidden` failed: unknown-step"),
            (json!(["A put k $nothing"]), "names nothing"),
            (json!(["A"]), "no verb"),
        ] {
            let told = differences(&json!({"id": "x", "doc": "facts", "steps": steps, "expect": {}}));
            assert!(told.len() == 1 && told[0].contains(why), "{told:?}");
        }
        assert_eq!(
            differences(
                &json!({"id": "x", "doc": "facts", "steps": ["A dance !unknown-step"], "expect": {}})
            ),
            Vec::<String>::new()
        );
        assert!(differences(&json!({"id": "x", "doc": "?", "steps": [], "expect": {}}))[0].contains("kind"));
        assert!(differences(&json!([]))[0].contains("not a vector"));
    }
}
