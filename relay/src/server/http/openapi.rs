//! The description of everything here, for programs (`OpenAPI`).

use axum::http::header;
use axum::response::IntoResponse;

use super::route::Routes;

const DESCRIPTION: &str = include_str!("openapi.json");

pub(super) fn routes() -> Routes {
    Routes::new().get("/v1/openapi.json", async || {
        let description = DESCRIPTION.replacen("VERSION", env!("CARGO_PKG_VERSION"), 1);
        ([(header::CONTENT_TYPE, "application/json")], description).into_response()
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::super::routes as all_routes;
    use super::*;

    #[test]
    fn every_route_is_described_and_nothing_else() {
        let description: Value = serde_json::from_str(DESCRIPTION).unwrap();
        let mut described = BTreeSet::new();
        for (path, methods) in description["paths"].as_object().unwrap() {
            for (method, operation) in methods.as_object().unwrap() {
                assert!(operation["summary"].is_string(), "{method} {path}");
                described.insert(format!("{method} {path}"));
                for name in path.split('{').skip(1).filter_map(|rest| rest.split('}').next()) {
                    let parameters = operation["parameters"].as_array().unwrap();
                    assert!(parameters.iter().any(|it| it["name"] == name), "{method} {path}: {name}");
                }
            }
        }
        let routes = all_routes();
        let there = routes.listed().iter().map(|(method, path)| {
            let method = format!("{method:?}").to_lowercase();
            format!("{method} {path}")
        });
        assert_eq!(there.collect::<BTreeSet<_>>(), described);
    }
}
