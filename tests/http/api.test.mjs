// The relay does what its description says, whatever is sent: asked by schemathesis, which makes requests up from it.

import assert from "node:assert/strict"
import { spawn } from "node:child_process"
import { once } from "node:events"
import { mkdtemp, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, test } from "node:test"

import { start, stop } from "./relay.mjs"

const program = process.env.PANNIER_SCHEMATHESIS
if (!program) throw new Error("PANNIER_SCHEMATHESIS names no program; run these tests by `cargo xtask test --only api`")

after(stop)

test("no request breaks the relay, and every answer is as described", async () => {
  const url = await start()
  const folder = await mkdtemp(join(tmpdir(), "api-"))
  const args = [
    "run", `${url}/v1/openapi.json`, "--no-color", "--seed", "1", "--max-examples", "12", "--request-timeout", "5",
    "--phases", "examples,coverage,fuzzing",
    // A stream of events has no end, and asking to wait makes the others wait.
    "--exclude-path", "/v1/events", "--exclude-path", "/v1/changes",
    // No schema can say that an id, a tag or a document carries a checksum.
    "--exclude-checks", "positive_data_acceptance",
    "--suppress-health-check", "all",
  ]
  const asking = spawn(program, args, { cwd: folder, stdio: ["ignore", "pipe", "pipe"] })
  let said = ""
  for (const stream of [asking.stdout, asking.stderr]) stream.on("data", data => (said += data))
  const [code] = await once(asking, "close")
  await rm(folder, { recursive: true })
  assert.equal(code, 0, said)
  assert.match(said, /Test cases:\s+\d{3,} generated/, said)
  const ready = await fetch(`${url}/readyz`)
  assert.equal(await ready.text(), "ready\n", "it still works")
})
