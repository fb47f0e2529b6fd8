// The status page as people see it: on a phone and on a desk, light and dark, with and without tokens.

import assert from "node:assert/strict"
import { execFile } from "node:child_process"
import { createHash } from "node:crypto"
import { once } from "node:events"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { after, before, test } from "node:test"
import { promisify } from "node:util"

import { chromium } from "playwright-core"

import { binary, start, stop } from "./relay.mjs"

const { PANNIER_CHROMIUM: program, PANNIER_SCREENSHOTS: shots } = process.env
if (!program) throw new Error("PANNIER_CHROMIUM names no browser; run these tests by `cargo xtask test --only page`")

const packed = await readFile(new URL("../golden/cart-v1.automerge", import.meta.url))
const documents = [1, 2, 3, 4].map(documentId)

let browser, folder

before(async () => {
  folder = await mkdtemp(join(tmpdir(), "page-"))
  if (shots) await mkdir(shots, { recursive: true })
  browser = await chromium.launch({
    executablePath: program,
    args: ["--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"],
  })
})

after(async () => {
  await browser?.close()
  stop()
  await rm(folder, { recursive: true, force: true })
})

// A tab whose troubles are remembered.
async function tab(options) {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.troubles = []
  page.on("console", message => message.type() === "error" && page.troubles.push(message.text()))
  page.on("pageerror", error => page.troubles.push(String(error)))
  return page
}

async function isAsWideAsItsScreen(page) {
  const { scroll, client } = await page.evaluate(() => ({
    scroll: document.documentElement.scrollWidth,
    client: document.documentElement.clientWidth,
  }))
  assert.ok(scroll <= client, `${scroll} px of content in ${client} px`)
}

async function shot(page, name) {
  if (shots) await page.screenshot({ path: join(shots, `${name}.png`), fullPage: true })
}

// Somebody edits, somebody misbehaves, and two are connected.
async function populate(url) {
  for (const document of documents) {
    const answer = await fetch(`${url}/v1/documents/${document}`, { method: "PUT", body: packed })
    assert.equal(answer.status, 201, await answer.text())
  }
  // Sockets of a page of the same origin: Node.js 20 has none of its own.
  const host = await tab({})
  await host.goto(`${url}/healthz`)
  await host.evaluate(async () => {
    const opened = async first => {
      const socket = new WebSocket(location.origin.replace("http", "ws"))
      await new Promise(resolve => socket.addEventListener("open", resolve))
      const answered = new Promise(resolve => socket.addEventListener("message", resolve))
      socket.send(first)
      await answered
    }
    // {type: "join", senderId: name}, in CBOR.
    const bytes = text => [...new TextEncoder().encode(text)]
    const item = text => [...(text.length < 24 ? [0x60 + text.length] : [0x78, text.length]), ...bytes(text)]
    const join = name => Uint8Array.from([0xa2, ...item("type"), ...item("join"), ...item("senderId"), ...item(name)])
    for (const name of ["phone", "laptop", `a-peer-with-a-name-${"that-is-longer-than-a-screen-is-wide-".repeat(3)}`]) {
      await opened(join(name))
    }
    await opened("this is no frame")
  })
  return () => host.context().close()
}

// The id of sixteen equal bytes: base58 with a checksum.
function documentId(byte) {
  const hash = bytes => createHash("sha256").update(bytes).digest()
  const bytes = Buffer.alloc(16, byte)
  let number = BigInt(`0x${Buffer.concat([bytes, hash(hash(bytes)).subarray(0, 4)]).toString("hex")}`)
  let id = ""
  for (; number > 0n; number /= 58n) id = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz"[Number(number % 58n)] + id
  return id
}

const text = (page, id) => page.locator(`#${id}`).textContent()

for (const colorScheme of ["light", "dark"]) {
  for (const [device, viewport] of [["phone", { width: 360, height: 740 }], ["desk", { width: 1280, height: 800 }]]) {
    test(`the page tells how the relay does, ${colorScheme} on a ${device}`, async () => {
      const url = await start()
      const leave = await populate(url)
      const page = await tab({ colorScheme, viewport })
      await page.goto(url)
      await page.waitForFunction(() => document.getElementById("state").textContent === "works")
      // The hub counts once a second.
      await page.waitForFunction(() => document.getElementById("connections").textContent === "3")
      assert.equal(await text(page, "documents"), String(documents.length))
      assert.match(await text(page, "bytes"), /^[\d.]+ K?B$/)
      assert.match(await text(page, "p50-text"), /^[\d.]+ ms$/)
      assert.match(await text(page, "max-text"), /^[\d.]+ m?s$/)
      assert.match(await text(page, "troubles"), /refused/)
      assert.equal(await page.locator("#sessions tr").count(), 3)
      // What happens now is told without being asked for.
      await page.waitForFunction(() => document.getElementById("rate").textContent !== "–")
      await shot(page, `${device}-${colorScheme}-busy`)
      leave()
      await page.waitForFunction(() => document.querySelectorAll("#events li").length >= 3)
      await page.waitForFunction(() => document.getElementById("line").getAttribute("d").includes("L"))
      await isAsWideAsItsScreen(page)
      const ground = await page.evaluate(() => getComputedStyle(document.body).backgroundColor)
      const [red] = ground.match(/\d+/g).map(Number)
      assert.equal(red > 128, colorScheme === "light", ground)
      assert.deepEqual(await unreadable(page), [], "text that is hard to read")
      assert.deepEqual(page.troubles, [])
      await shot(page, `${device}-${colorScheme}`)
      await page.context().close()
    })
  }
}

// Texts whose colour is too near to the one behind them (WCAG 2, level AA).
function unreadable(page) {
  return page.evaluate(() => {
    const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true })
    const channels = color => {
      canvas.clearRect(0, 0, 1, 1)
      canvas.fillStyle = color
      canvas.fillRect(0, 0, 1, 1)
      return [...canvas.getImageData(0, 0, 1, 1).data]
    }
    const luminance = ([r, g, b]) => {
      const [x, y, z] = [r, g, b].map(value => (value / 255 <= 0.04045 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4))
      return 0.2126 * x + 0.7152 * y + 0.0722 * z
    }
    const behind = element => {
      for (let at = element; at; at = at.parentElement) {
        const color = channels(getComputedStyle(at).backgroundColor)
        if (color[3] === 255) return color
      }
      return [255, 255, 255, 255]
    }
    const found = []
    for (const element of document.querySelectorAll("body *")) {
      const says = [...element.childNodes].some(node => node.nodeType === 3 && node.textContent.trim())
      if (!says || !element.checkVisibility()) continue
      const [one, other] = [luminance(channels(getComputedStyle(element).color)), luminance(behind(element))].sort((a, b) => b - a)
      const contrast = (one + 0.05) / (other + 0.05)
      if (contrast < 4.5) found.push(`${element.tagName} "${element.textContent.trim().slice(0, 30)}": ${contrast.toFixed(2)}`)
    }
    return found
  })
}

test("where tokens are checked the page asks for one, and forgets it", async () => {
  const secret = join(folder, "secret")
  await writeFile(secret, "thirty-two bytes that nobody guesses\n")
  const url = await start("--token-secret", secret)
  const token = async (...flags) => (await promisify(execFile)(binary, ["token", "--token-secret", secret, ...flags])).stdout.trim()
  const page = await tab({ colorScheme: "light", viewport: { width: 360, height: 740 } })
  await page.goto(url)
  await page.waitForSelector("#door:not([hidden])")
  await shot(page, "phone-door")
  await isAsWideAsItsScreen(page)

  await page.getByLabel("Token of an administrator").fill(await token("student-7"))
  await page.getByRole("button", { name: "Look" }).click()
  await page.waitForFunction(() => document.getElementById("why").textContent.includes("administrators"))
  await page.getByLabel("Token of an administrator").fill(await token("desk", "--role", "admin"))
  await page.getByRole("button", { name: "Look" }).click()
  await page.waitForFunction(() => document.getElementById("state").textContent === "works")
  assert.equal(await text(page, "documents"), "0")
  assert.equal(await page.evaluate(() => localStorage.length + document.cookie.length), 0, "in this tab only")
  await page.reload()
  await page.waitForFunction(() => document.getElementById("state").textContent === "works")
  await page.getByRole("button", { name: "Forget the token" }).click()
  await page.waitForSelector("#door:not([hidden])")
  assert.equal(await page.evaluate(() => sessionStorage.length), 0)
  const unexpected = page.troubles.filter(trouble => !/status of 40[13]/.test(trouble))
  assert.deepEqual(unexpected, [])
  await page.context().close()
})
