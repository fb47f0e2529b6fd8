// An automerge-repo server with its WebSocket and nodefs adapters: `node server.mjs FOLDER` prints its address once it serves.

import { once } from "node:events"
import { setTimeout as sleep } from "node:timers/promises"

import { Repo } from "@automerge/automerge-repo"
import { WebSocketServerAdapter } from "@automerge/automerge-repo-network-websocket"
import { NodeFSStorageAdapter } from "@automerge/automerge-repo-storage-nodefs"
import { WebSocketServer } from "ws"

const folder = process.argv[2]
if (!folder) throw new Error("usage: node server.mjs FOLDER")

const sockets = new WebSocketServer({ host: "127.0.0.1", port: 0 })
const listening = once(sockets, "listening")
const repo = new Repo({
  network: [new WebSocketServerAdapter(sockets)],
  storage: new NodeFSStorageAdapter(folder),
  peerId: "automerge-repo",
  // Servers serve what they are asked for and announce nothing.
  sharePolicy: async () => false,
})
process.on("SIGTERM", async () => {
  // What it has acknowledged may not be on disk yet.
  await repo.flush().catch(() => {})
  process.exit()
})
await listening
// Whoever connects before the adapter listens is never heard.
while (sockets.listenerCount("connection") === 0) await sleep(5)
console.log(`ws://127.0.0.1:${sockets.address().port}`)
