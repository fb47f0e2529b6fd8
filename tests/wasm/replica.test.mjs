// Two replicas inside WASM, driven from here: time and random bytes go in as arguments, frames travel over a pipe.
// `cargo xtask test --only wasm` builds the module and says where it is.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { test } from "node:test";

const { Device } = createRequire(import.meta.url)(process.env.PANNIER_WASM_SMOKE);

// A world of two: the phone dials the laptop through a pipe that can be cut.
class World {
  constructor(seed) {
    this.now = 1_700_000_000_000;
    this.devices = ["phone", "laptop"].map((name, n) => {
      const random = Uint8Array.from({ length: 32 }, (_, at) => (seed + 31 * n + at) % 256);
      return new Device(name, this.now, random);
    });
    this.events = [[], []];
    // Sync messages that were sent.
    this.messages = 0;
    this.trace = [];
    this.pipe = undefined;
    this.isWhole = true;
    for (const device of this.devices) device.open(this.now);
    this.devices[0].connect(this.now);
    this.run();
  }

  get phone() {
    return this.devices[0];
  }

  get laptop() {
    return this.devices[1];
  }

  // Does what the devices want until they want nothing.
  run() {
    for (let isQuiet = false; !isQuiet; ) {
      isQuiet = true;
      this.devices.forEach((device, at) => {
        for (let effect; (effect = device.poll(this.now)); ) {
          isQuiet = false;
          this.carryOut(at, effect);
        }
      });
    }
  }

  carryOut(at, { kind, connection, frame, event }) {
    this.trace.push(`${at} ${kind} ${connection} ${Buffer.from(frame).toString("hex")} ${event}`);
    if (kind === "event") this.events[at].push(event);
    if (kind === "dial" && !this.isWhole) this.devices[at].closed(this.now, connection);
    if (kind === "dial" && this.isWhole) {
      this.pipe = [connection, this.laptop.accept()];
      this.devices[at].connected(this.now, connection);
    }
    if (kind === "send" && this.pipe?.[at] === connection) {
      if (Buffer.from(frame).includes("dsync")) this.messages++;
      this.devices[1 - at].receive(this.now, this.pipe[1 - at], frame);
    }
    if (kind === "close" && this.pipe?.[at] === connection) {
      const other = this.pipe[1 - at];
      this.pipe = undefined;
      this.devices[1 - at].closed(this.now, other);
    }
  }

  cut() {
    this.isWhole = false;
    const ends = this.pipe;
    this.pipe = undefined;
    ends.forEach((connection, at) => this.devices[at].closed(this.now, connection));
    this.run();
  }

  mend() {
    this.isWhole = true;
    this.pass(120_000);
    assert.ok(this.pipe, "the phone dials again by itself");
  }

  // Lets time pass, waking whoever wants to be woken.
  pass(time) {
    const end = this.now + time;
    for (;;) {
      const deadlines = this.devices.map((device) => device.deadline() ?? Infinity);
      const next = Math.min(...deadlines);
      if (next > end) break;
      this.now = Math.max(this.now, next);
      this.devices.forEach((device, at) => {
        if (deadlines[at] <= this.now) device.wake(this.now);
      });
      this.run();
    }
    this.now = end;
  }

  shows() {
    return this.devices.map((device) => device.quantity(this.now, "tea"));
  }
}

// The story of the README: what the phone saw is gone, what it had not seen stays.
function story(seed) {
  const world = new World(seed);
  world.phone.add(world.now, "tea", 3);
  world.run();
  assert.deepEqual(world.shows(), [3n, 3n]);

  world.cut();
  world.phone.remove(world.now, "tea");
  world.laptop.add(world.now, "tea", 1);
  world.run();
  assert.deepEqual(world.shows(), [0n, 4n]);

  world.mend();
  assert.deepEqual(world.shows(), [1n, 1n]);
  return world;
}

test("two devices edit one cart offline and meet", () => {
  const world = story(1);
  assert.ok(world.messages >= 6, `${world.messages} messages`);
  for (const events of world.events) {
    assert.ok(events.some((event) => event.startsWith("SyncCompleted")), events.join("\n"));
  }
  const before = world.messages;
  world.pass(60_000);
  assert.equal(world.messages, before, "whoever agrees has nothing to say");
});

test("the same time and random bytes make the same run", () => {
  assert.deepEqual(story(2).trace, story(2).trace);
  assert.notDeepEqual(story(2).trace, story(3).trace);
});

test("bytes that are no frame end their connection, and nothing else", () => {
  const world = new World(4);
  world.phone.add(world.now, "tea", 2);
  world.run();
  world.laptop.receive(world.now, world.pipe[1], Uint8Array.of(0xff, 0, 1, 2));
  world.run();
  assert.equal(world.pipe, undefined);
  world.pass(120_000);
  world.laptop.add(world.now, "tea", 5);
  world.run();
  assert.deepEqual(world.shows(), [7n, 7n]);
});

test("what the cart refuses is an error with a reason", () => {
  const world = new World(5);
  assert.throws(() => world.phone.add(world.now, "tea", 0), /quantity|0/i);
  assert.throws(() => world.phone.add(world.now, "", 1), /./);
  assert.deepEqual(world.shows(), [0n, 0n]);
});
