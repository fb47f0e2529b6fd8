// The status page: asks the relay how it does every two seconds, and listens to what happens.

const INTERVAL = 2000
const POINTS = 60
const EVENTS_MAX = 40
const KEY = "pannier.token"

const at = id => document.getElementById(id)
const rates = []
let token = sessionStorage.getItem(KEY)
let listening

// Anything but an answer: its status says what kind.
class Refusal extends Error {
  constructor(status, detail) {
    super(detail)
    this.status = status
  }
}

async function ask(path, options = {}) {
  const headers = token ? { authorization: `Bearer ${token}` } : {}
  const answer = await fetch(path, { cache: "no-store", ...options, headers: { ...headers, ...options.headers } })
  if (answer.ok) return answer
  const problem = await answer.json().catch(() => ({}))
  throw new Refusal(answer.status, problem.detail ?? answer.statusText)
}

function say(id, text) {
  const element = at(id)
  if (element.textContent !== text) element.textContent = text
}

function number(value) {
  if (value >= 1e6) return `${(value / 1e6).toFixed(value >= 1e7 ? 0 : 1)} M`
  if (value >= 1e4) return `${Math.round(value / 1000)} k`
  return value >= 100 || Number.isInteger(value) ? Math.round(value).toLocaleString("en") : value.toFixed(1)
}

function bytes(value) {
  const units = ["B", "KB", "MB", "GB", "TB"]
  let unit = 0
  while (value >= 1000 && unit < units.length - 1) {
    value /= 1000
    unit++
  }
  return `${value >= 100 || unit === 0 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`
}

function span(seconds) {
  if (seconds < 60) return `${Math.max(0, Math.round(seconds))} s`
  if (seconds < 3600) return `${Math.round(seconds / 60)} min`
  if (seconds < 86400) return `${Math.floor(seconds / 3600)} h ${Math.round((seconds % 3600) / 60)} min`
  return `${Math.floor(seconds / 86400)} d ${Math.round((seconds % 86400) / 3600)} h`
}

const milliseconds = value => (value >= 1000 ? `${(value / 1000).toFixed(2)} s` : `${value < 10 ? value.toFixed(2) : Math.round(value)} ms`)

function show(status) {
  const { counters, metadata } = status
  const works = status.storage === "ok"
  at("state").dataset.state = works ? "good" : "bad"
  say("state", works ? "works" : "storage fails")
  say("about", `ws://${location.host}`.replace("ws:", location.protocol === "https:" ? "wss:" : "ws:"))
  say("connections", number(counters.connections))
  say("connections-hint", `${number(counters.frames_received)} frames heard`)
  say("documents", number(status.documents))
  say("rooms", `in memory: ${number(counters.rooms)}`)
  say("bytes", bytes(status.bytes))
  say("storage", works ? `tenant ${status.tenant}` : status.storage)
  say("rate", number(status.changes_per_second))
  say("stored", `${number(counters.changes_stored)} since the start`)
  say("version", `relay ${metadata.version}, up for ${span(status.uptime_seconds)}`)
  rates.push(status.changes_per_second)
  if (rates.length > POINTS) rates.shift()
  draw()
  const latency = status.durable_after_milliseconds
  say("sample", latency.count ? `${number(latency.count)} ${latency.count === 1 ? "write" : "writes"} over the last minute` : "nothing was written in the last minute")
  for (const name of ["p50", "p95", "p99", "max"]) {
    // On a scale of powers, so that neither a tenth nor a thousand of a millisecond is out of sight.
    const share = latency.count ? Math.min(1, Math.log10(1 + latency[name] * 10) / 4) : 0
    at(name).style.width = `${(100 * share).toFixed(1)}%`
    say(`${name}-text`, latency.count ? milliseconds(latency[name]) : "–")
  }
  at("troubles").replaceChildren(...status.troubles.map(item))
  at("no-troubles").hidden = status.troubles.length > 0
}

function draw() {
  const top = Math.max(1, ...rates)
  const x = index => 600 - (rates.length - 1 - index) * (600 / (POINTS - 1))
  const y = rate => 114 - (rate / top) * 108
  const points = rates.map((rate, index) => `${x(index).toFixed(1)} ${y(rate).toFixed(1)}`)
  const line = points.length > 1 ? `M${points.join("L")}` : ""
  at("line").setAttribute("d", line)
  at("area").setAttribute("d", line && `${line}L600 120L${x(0).toFixed(1)} 120Z`)
  say("peak", `at most ${number(Math.max(...rates))}`)
}

const words = {
  connected: "came",
  disconnected: "left",
  denied: "refused",
  compacted: "packed",
  erased: "erased",
  missed: "missed",
  "storage-failed": "not stored",
}

function item(event) {
  const entry = document.createElement("li")
  const time = document.createElement("time")
  const moment = new Date(event.at ?? Date.now())
  time.dateTime = moment.toISOString()
  time.textContent = moment.toLocaleTimeString("en-GB")
  const what = document.createElement("b")
  what.textContent = words[event.kind] ?? event.kind
  const about = [event.peer, event.subject && event.subject !== event.peer && `(${event.subject})`, event.reason, event.bytes && bytes(event.bytes), event.count, event.document]
  entry.append(time, what, ` ${about.filter(Boolean).join(" · ")}`)
  entry.className = event.kind === "denied" || event.kind === "storage-failed" ? "bad" : ""
  return entry
}

function showSessions({ sessions, next, metadata }) {
  const rows = sessions.map(session => {
    const row = document.createElement("tr")
    const since = `${span((metadata.timestamp - session.connected_at) / 1000)} ago`
    const documents = `${number(session.documents)}${session.documents === 1 ? " document" : " documents"}`
    for (const text of [session.peer, session.subject, session.transport, documents, since]) {
      row.insertCell().textContent = text
    }
    return row
  })
  at("sessions").replaceChildren(...rows)
  at("no-sessions").hidden = rows.length > 0
  at("more-sessions").hidden = !next
}

// Reads the stream of events until it ends; the caller begins it anew.
async function listen(signal) {
  let last
  for (;;) {
    try {
      const headers = { accept: "text/event-stream", ...(last && { "last-event-id": last }) }
      const answer = await ask("/v1/events", { headers, signal })
      let rest = ""
      const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader()
      for (;;) {
        const { value, done } = await reader.read()
        if (done) break
        const parts = (rest + value).split("\n\n")
        rest = parts.pop()
        for (const part of parts) {
          const field = name => part.split("\n").find(line => line.startsWith(`${name}: `))?.slice(name.length + 2)
          last = field("id") ?? last
          const data = field("data")
          if (!data) continue
          at("events").prepend(item(JSON.parse(data)))
          while (at("events").childElementCount > EVENTS_MAX) at("events").lastElementChild.remove()
          at("no-events").hidden = true
        }
      }
    } catch {
      if (signal.aborted) return
    }
    await new Promise(resolve => setTimeout(resolve, INTERVAL))
  }
}

function askForToken(refusal) {
  listening?.abort()
  listening = undefined
  at("figures").hidden = true
  at("door").hidden = false
  at("forget").hidden = true
  at("state").dataset.state = "waiting"
  say("state", "locked")
  if (token) say("why", refusal.message)
  token = null
  sessionStorage.removeItem(KEY)
}

async function look() {
  try {
    const [status, sessions] = await Promise.all([ask("/v1/status"), ask("/v1/sessions?limit=100")])
    show(await status.json())
    showSessions(await sessions.json())
    at("figures").hidden = false
    at("door").hidden = true
    at("forget").hidden = !token
    if (!listening) {
      listening = new AbortController()
      listen(listening.signal)
    }
  } catch (error) {
    if (error.status === 401 || error.status === 403) return askForToken(error)
    at("state").dataset.state = "bad"
    say("state", error.status ? "in trouble" : "does not answer")
  }
}

async function watch() {
  for (;;) {
    if (!document.hidden && at("door").hidden) await look()
    await new Promise(resolve => setTimeout(resolve, INTERVAL))
  }
}

at("door").addEventListener("submit", event => {
  event.preventDefault()
  token = at("token").value.trim()
  at("token").value = ""
  sessionStorage.setItem(KEY, token)
  look()
})

at("forget").addEventListener("click", () => {
  say("why", "This relay tells how it does to administrators only.")
  token = null
  askForToken()
})

watch()
