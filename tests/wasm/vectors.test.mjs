// Runs every vector of tests/vectors in the WASM build of the core, which is what browsers run.
// `cargo xtask test --only wasm` builds the module and says where it is.

import assert from "node:assert/strict";
import { readFileSync, readdirSync } from "node:fs";
import { createRequire } from "node:module";
import { test } from "node:test";

const { run } = createRequire(import.meta.url)(process.env.PANNIER_WASM_MODULE);

const folder = new URL("../vectors/", import.meta.url);
for (const file of readdirSync(folder).filter((name) => name.endsWith(".json"))) {
  const { vectors } = JSON.parse(readFileSync(new URL(file, folder), "utf8"));
  for (const vector of vectors) {
    test(vector.id, () => {
      const { views, differences } = JSON.parse(run(JSON.stringify(vector)));
      assert.deepEqual(differences, []);
      for (const [replica, view] of Object.entries(views)) {
        for (const [field, expected] of Object.entries(vector.expect)) {
          // A view leaves out what is not there; a vector says `null` to demand that.
          assert.deepEqual(view[field] ?? null, expected, `${replica} shows ${field}`);
        }
      }
      assert.ok("fresh" in views, "a fresh replica took part");
    });
  }
}

test("what is not a vector is an answer, not an abort", () => {
  assert.match(JSON.parse(run("{")).differences[0], /not a vector/);
});
