// Runs the relay's binary on a port that is free.

import { spawn } from "node:child_process"
import { createInterface } from "node:readline"

export const binary = process.env.PANNIER_RELAY
if (!binary) throw new Error("PANNIER_RELAY names no binary; run these tests by `cargo xtask test`")

const relays = []

// A relay that forgets everything, and its address.
export async function start(...flags) {
  const args = ["--listen", "127.0.0.1:0", "--in-memory", "--log", "error", ...flags]
  const relay = spawn(binary, args, { stdio: ["ignore", "pipe", "inherit"] })
  relays.push(relay)
  for await (const line of createInterface({ input: relay.stdout })) {
    const address = line.match(/ws:\/\/(\S+)/)?.[1]
    if (address) return `http://${address}`
  }
  throw new Error("the relay does not come up")
}

// Ends every relay that was started.
export function stop() {
  for (const relay of relays.splice(0)) relay.kill("SIGKILL")
}
