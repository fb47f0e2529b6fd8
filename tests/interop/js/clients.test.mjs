// Unmodified automerge-repo clients do with the relay what they do with their own server.

import assert from "node:assert/strict"
import { after, before, describe, test } from "node:test"

import * as Automerge from "@automerge/automerge"
import { generateAutomergeUrl, parseAutomergeUrl } from "@automerge/automerge-repo"

import { Relay, eventually, sleep } from "./relay.mjs"

for (const [admission, options] of [
  ["everyone is let in", {}],
  ["tokens are asked for", { asksForTokens: true }],
]) describe(admission, () => {
  let relay
  const clients = []

  before(async () => {
    relay = await Relay.start(options)
  })

  after(async () => {
    for (const client of clients) client.adapter.disconnect()
    await relay.stop()
  })

  function client(peerId) {
    const repo = relay.client(peerId)
    clients.push(repo)
    return repo
  }

  const eggs = handle => handle.doc()?.eggs

  test("what one client creates another finds", async () => {
    const phone = client("phone-create")
    const laptop = client("laptop-create")
    const created = phone.create({ eggs: 2 })
    // The relay has it once its heads have come back.
    await eventually("it is stored", async () => (await laptop.find(created.url).catch(() => undefined)) !== undefined)
    const found = await laptop.find(created.url)
    assert.equal(found.doc().eggs, 2)
  })

  test("concurrent edits meet", async () => {
    const phone = client("phone-edit")
    const laptop = client("laptop-edit")
    const created = phone.create({ notes: {} })
    let found
    await eventually("it is found", async () => (found = await laptop.find(created.url).catch(() => undefined)))
    for (let n = 0; n < 20; n++) {
      created.change(doc => { doc.notes[`phone-${n}`] = n })
      found.change(doc => { doc.notes[`laptop-${n}`] = n })
    }
    for (const handle of [created, found]) {
      await eventually("all edits are there", () => Object.keys(handle.doc().notes).length === 40)
    }
    assert.deepEqual(created.doc(), found.doc())
  })

  test("a document that is nowhere is unavailable, and arrives later", async () => {
    const laptop = client("laptop-later")
    const phone = client("phone-later")
    const url = generateAutomergeUrl()
    await assert.rejects(laptop.find(url), /unavailable/)
    const { documentId } = parseAutomergeUrl(url)
    phone.import(Automerge.save(Automerge.from({ eggs: 7 })), { docId: documentId })
    let found
    await eventually("it arrives", async () => (found = await laptop.find(url).catch(() => undefined)))
    await eventually("with its content", () => eggs(found) === 7)
  })

  test("ephemeral messages reach the others, once", async () => {
    const phone = client("phone-ephemeral")
    const laptop = client("laptop-ephemeral")
    const tablet = client("tablet-ephemeral")
    const created = phone.create({ eggs: 1 })
    const heard = []
    for (const [name, repo] of [["laptop", laptop], ["tablet", tablet]]) {
      let found
      await eventually("it is found", async () => (found = await repo.find(created.url).catch(() => undefined)))
      found.on("ephemeral-message", ({ message }) => heard.push(`${name} ${message.at}`))
    }
    for (let at = 0; at < 3; at++) created.broadcast({ at })
    await eventually("all are heard", () => heard.length >= 6)
    await sleep(200)
    assert.deepEqual(heard.sort(), ["laptop 0", "laptop 1", "laptop 2", "tablet 0", "tablet 1", "tablet 2"])
  })

  test("what was written while the relay was away arrives when it is back", async () => {
    const phone = client("phone-offline")
    const laptop = client("laptop-offline")
    const created = phone.create({ eggs: 1 })
    let found
    await eventually("it is found", async () => (found = await laptop.find(created.url).catch(() => undefined)))
    await relay.end("SIGTERM")
    created.change(doc => { doc.eggs = 12 })
    await sleep(300)
    await relay.run()
    await eventually("it arrives", () => eggs(found) === 12)
  })

  test("nothing that the relay has shown is lost when it is killed", async () => {
    const phone = client("phone-kill")
    const laptop = client("laptop-kill")
    const created = phone.create({ eggs: 0 })
    let found
    await eventually("it is found", async () => (found = await laptop.find(created.url).catch(() => undefined)))
    for (let round = 1; round <= 5; round++) {
      created.change(doc => { doc.eggs = round })
      await eventually("the other has it, so the relay has shown it", () => eggs(found) === round)
      await relay.end("SIGKILL")
      await relay.run()
      const tablet = client(`tablet-kill-${round}`)
      // Only the relay can have it: the tablet reads before the others are back, or gets the same from them.
      let copy
      await eventually("it survives", async () => (copy = await tablet.find(created.url).catch(() => undefined)))
      await eventually("whole", () => eggs(copy) === round)
    }
  })

  if (options.asksForTokens) test("who bears no token is kept out", async () => {
    const phone = client("phone-token")
    const created = phone.create({ eggs: 3 })
    await eventually("it is stored", async () => {
      const laptop = client(`laptop-token-${Date.now()}`)
      return (await laptop.find(created.url).catch(() => undefined)) !== undefined
    })
    relay.query = ""
    const stranger = client("stranger")
    const search = stranger.find(created.url, { signal: AbortSignal.timeout(1_000) })
    await assert.rejects(search)
  })
})
