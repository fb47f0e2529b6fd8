// Runs the relay's binary, and clients of it.

import { execFileSync, spawn } from "node:child_process"
import { randomBytes } from "node:crypto"
import { once } from "node:events"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"

import { Repo } from "@automerge/automerge-repo"
import { WebSocketClientAdapter } from "@automerge/automerge-repo-network-websocket"

const binary = process.env.PANNIER_RELAY
if (!binary) throw new Error("PANNIER_RELAY names no binary; run these tests by `cargo xtask test`")

export class Relay {
  // A relay that lets everyone in, or only who bears a token.
  static async start({ asksForTokens = false } = {}) {
    const relay = new Relay()
    relay.folder = await mkdtemp(join(tmpdir(), "relay-"))
    relay.port = await freePort()
    relay.query = ""
    relay.flags = []
    if (asksForTokens) {
      const secret = join(relay.folder, "secret")
      await writeFile(secret, randomBytes(32).toString("hex"))
      relay.flags = ["--token-secret", secret]
      const token = execFileSync(binary, ["token", "student-7", ...relay.flags], { encoding: "utf8" })
      relay.query = `?token=${token.trim()}`
    }
    await relay.run()
    return relay
  }

  get url() {
    return `ws://127.0.0.1:${this.port}/${this.query}`
  }

  async run() {
    const data = join(this.folder, "data")
    const args = ["--listen", `127.0.0.1:${this.port}`, "--data", data, "--log", "warn", ...this.flags]
    this.process = spawn(binary, args, { stdio: ["ignore", "ignore", "inherit"] })
    for (let attempt = 0; ; attempt++) {
      const ready = await fetch(`http://127.0.0.1:${this.port}/readyz`).catch(() => undefined)
      if (ready?.ok) return
      if (attempt > 200) throw new Error("the relay does not come up")
      await sleep(50)
    }
  }

  async end(signal) {
    if (this.process.exitCode !== null || this.process.signalCode !== null) return
    const exited = once(this.process, "exit")
    this.process.kill(signal)
    await exited
  }

  async stop() {
    await this.end("SIGTERM")
    await rm(this.folder, { recursive: true })
  }

  // A client that retries soon, so that tests need not wait for it.
  client(peerId) {
    const adapter = new WebSocketClientAdapter(this.url, 200)
    // As published it throws on a reset connection, where nobody can catch it, instead of retrying.
    adapter.onError = () => {}
    const repo = new Repo({ network: [adapter], peerId })
    repo.adapter = adapter
    return repo
  }
}

export const sleep = time => new Promise(resolve => setTimeout(resolve, time))

export async function eventually(what, check, time = 15_000) {
  const deadline = Date.now() + time
  while (!(await check())) {
    if (Date.now() > deadline) throw new Error(`not so after ${time} ms: ${what}`)
    await sleep(20)
  }
}

async function freePort() {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address()
  server.close()
  await once(server, "close")
  return port
}
