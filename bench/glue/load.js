// The load of bench-glue, the same for both sides: meters that publish readings at QoS 1 in an open loop, and a reader that looks for
// what became of each reading. A meter keeps what was not acknowledged and sends it again on its next connection, under the number it has.
//
//   node load.js '{"mqtt": PORT, "reader": {"kind": "postgres" | "stream" | "sql", ...}, "meters": [...], "seed": N}'
//
// Commands come as lines of JSON on stdin, one answer a line on stdout. Times are the monotonic clock's, from when a reading was due.
'use strict';

const net = require('node:net');
const readline = require('node:readline');
const { makeReader } = require('./readers.js');

const TICK_MS = 1;
const RECONNECT_MS = 20;
const IN_FLIGHT_MAX = 1000; // of one meter's connection
const LOOK_MS = 1; // between two looks of the reader
const LATE_MS = 10000; // seen so long after it was due: late
const LIMIT = 'exceeds_credits'; // what both sides call a refusal by the meter's limit

const now = () => Number(process.hrtime.bigint()) / 1e6;
const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

// 28.75 cents a kWh, half a cent away from zero; of thousandths of a kWh, in integers.
const centsOf = (wh) => Math.floor((wh * 2875 + 50000) / 100000);

// ---- meters ----

function connectPacket(id) {
  const name = Buffer.from(`meter-${id}`);
  const head = Buffer.from([0x10, 12 + name.length, 0, 4, 0x4d, 0x51, 0x54, 0x54, 4, 2, 0, 0, 0, name.length]);
  return Buffer.concat([head, name]);
}

function publishPacket(topic, packetId, payload) {
  const length = 2 + topic.length + 2 + payload.length; // below 128: one byte says it
  const packet = Buffer.allocUnsafe(2 + length);
  packet[0] = 0x32;
  packet[1] = length;
  packet.writeUInt16BE(topic.length, 2);
  packet.write(topic, 4, 'latin1');
  packet.writeUInt16BE(packetId, 4 + topic.length);
  packet.write(payload, 6 + topic.length, 'latin1');
  return packet;
}

class Meter {
  constructor(id, port) {
    this.id = id;
    this.port = port;
    this.topic = `meters/${id}/reading`;
    this.readings = []; // by seq - 1
    this.waiting = []; // to be sent
    this.inFlight = new Map(); // packet identifier to reading, in the order sent
    this.packetId = 0;
    this.acknowledged = 0;
    this.connected = false;
    this.connect();
  }

  connect() {
    this.socket = net.connect({ host: '127.0.0.1', port: this.port, noDelay: true });
    this.rest = Buffer.alloc(0);
    this.socket.on('connect', () => this.socket.write(connectPacket(this.id)));
    this.socket.on('data', (bytes) => this.take(bytes));
    this.socket.on('error', () => {});
    this.socket.on('close', () => {
      this.connected = false;
      this.waiting = [...this.inFlight.values(), ...this.waiting];
      this.inFlight.clear();
      if (!this.closed) setTimeout(() => this.connect(), RECONNECT_MS);
    });
  }

  read(wh, due) {
    const reading = { meter: this.id, seq: this.readings.length + 1, wh, cents: centsOf(wh), due, acknowledged: false, outcome: null };
    this.readings.push(reading);
    this.waiting.push(reading);
  }

  flush() {
    if (!this.connected || this.waiting.length === 0) return;
    const count = Math.min(this.waiting.length, IN_FLIGHT_MAX - this.inFlight.size);
    if (count <= 0) return;
    const packets = this.waiting.splice(0, count).map((reading) => {
      do this.packetId = (this.packetId % 65535) + 1;
      while (this.inFlight.has(this.packetId));
      this.inFlight.set(this.packetId, reading);
      return publishPacket(this.topic, this.packetId, `{"seq":${reading.seq},"kwh":${(reading.wh / 1000).toFixed(3)}}`);
    });
    this.socket.write(Buffer.concat(packets));
  }

  // CONNACK and PUBACK, four bytes each.
  take(bytes) {
    const all = this.rest.length > 0 ? Buffer.concat([this.rest, bytes]) : bytes;
    let at = 0;
    for (; all.length - at >= 4; at += 4) {
      if (all[at] === 0x20) {
        this.connected = all[at + 3] === 0;
      } else {
        const packetId = all.readUInt16BE(at + 2);
        const reading = this.inFlight.get(packetId);
        if (reading && !reading.acknowledged) {
          reading.acknowledged = true;
          this.acknowledged += 1;
        }
        this.inFlight.delete(packetId);
      }
    }
    this.rest = all.subarray(at);
    this.flush();
  }

  close() {
    this.closed = true;
    this.socket.destroy();
  }
}

// ---- the load ----

// A small generator of numbers (mulberry32): the same readings for both sides.
function random(seed) {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

class Load {
  constructor({ mqtt, reader, meters, seed }) {
    this.meters = meters.map((id) => new Meter(id, mqtt));
    this.byId = new Map(this.meters.map((meter) => [meter.id, meter]));
    this.reader = makeReader(reader);
    this.random = random(seed);
    this.made = 0;
    this.seen = 0; // readings whose outcome was seen
    this.late = 0; // of them
    this.movedLast = now(); // something was seen or acknowledged, or nobody could look
    this.latencies = [];
    this.warmUntil = 0;
    this.rate = 0;
    this.look();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  tick() {
    if (this.rate > 0) {
      for (; this.nextDue <= now(); this.nextDue += 1000 / this.rate) {
        this.meters[this.made % this.meters.length].read(1 + Math.floor(this.random() * 2000), this.nextDue);
        this.made += 1;
      }
    }
    for (const meter of this.meters) meter.flush();
  }

  async look() {
    while (!this.closed) {
      try {
        const rows = await this.reader.next();
        const at = now();
        for (const row of rows) this.note(row, at);
      } catch {
        this.movedLast = now();
        await pause(20); // that side is being started again
      }
      await pause(LOOK_MS);
    }
  }

  note({ meter, seq, outcome }, at) {
    const reading = this.byId.get(meter)?.readings[seq - 1];
    if (!reading || reading.outcome) return;
    reading.outcome = outcome;
    this.seen += 1;
    this.movedLast = at;
    if (at - reading.due > LATE_MS) this.late += 1;
    if (reading.due >= this.warmUntil) this.latencies.push(at - reading.due);
  }

  status() {
    return { made: this.made, acknowledged: this.meters.reduce((sum, meter) => sum + meter.acknowledged, 0), seen: this.seen };
  }

  start({ rate, warm_ms: warmMs = 0 }) {
    this.rate = rate;
    this.nextDue = now();
    this.warmUntil = this.nextDue + warmMs;
    this.latencies = [];
    this.begun = { at: now(), cpu: process.cpuUsage() };
    return this.status();
  }

  stop() {
    this.rate = 0;
    const spent = process.cpuUsage(this.begun.cpu);
    const elapsedMs = now() - this.begun.at;
    return { ...this.status(), elapsed_ms: elapsedMs, cpu: (spent.user + spent.system) / 1000 / elapsedMs };
  }

  // Until each reading is acknowledged and seen, or nothing has moved for so long: then what is missing is lost. What is still on its way
  // at the limit is late.
  async drain({ limit_ms: limitMs, quiet_ms: quietMs }) {
    const end = now() + limitMs;
    let before = 0;
    const done = () => {
      const { made, acknowledged, seen } = this.status();
      if (acknowledged !== before) this.movedLast = now();
      before = acknowledged;
      return acknowledged === made && seen === made;
    };
    this.movedLast = now();
    while (!done() && now() < end && now() - this.movedLast < quietMs) await pause(5);
    this.moving = !done() && now() - this.movedLast < quietMs;
    const sorted = Float64Array.from(this.latencies).sort();
    const quantile = (p) => (sorted.length > 0 ? sorted[Math.min(sorted.length - 1, Math.floor(p * sorted.length))] : null);
    return { ...this.status(), measured: sorted.length, p50_ms: quantile(0.5), p99_ms: quantile(0.99), max_ms: quantile(1) };
  }

  // From the beginning, whatever was seen before: what became of every reading, and whether the money agrees.
  async count({ funds, poor }) {
    const settled = new Map();
    const refused = new Map(); // to each reason why
    const wrong = new Set();
    for (const { meter, seq, outcome, why } of await this.reader.all()) {
      const key = `${meter}:${seq}`;
      if (!this.byId.get(meter)?.readings[seq - 1]) wrong.add(key); // nobody sent that
      else if (outcome === 'settled') settled.set(key, (settled.get(key) ?? 0) + 1);
      else refused.set(key, [...(refused.get(key) ?? []), why]);
    }
    const counts = { made: this.made, acknowledged: 0, settled: 0, refused: 0, wrong: 0, late: this.late, lost: 0, doubled: 0, balances_wrong: 0 };
    for (const meter of this.meters) {
      let balance = funds[meter.id];
      for (const reading of meter.readings) {
        const key = `${meter.id}:${reading.seq}`;
        const times = settled.get(key) ?? 0;
        counts.acknowledged += reading.acknowledged ? 1 : 0;
        counts.settled += times > 0 ? 1 : 0;
        counts.doubled += times > 1 ? 1 : 0;
        if (reading.acknowledged && times === 0 && !refused.has(key)) counts[this.moving ? 'late' : 'lost'] += 1;
        balance -= times > 0 ? reading.cents : 0;
      }
      counts.balances_wrong += balance >= 0 && (await this.reader.balance(meter.id)) === balance ? 0 : 1;
      // A refusal is right by the limit alone, of a meter that has one it can reach; and balances only fall, so what was
      // above one is above the last.
      for (const reading of meter.readings) {
        const key = `${meter.id}:${reading.seq}`;
        if (!refused.has(key)) continue;
        const right = meter.id === poor && !settled.has(key) && reading.cents > balance && refused.get(key).every((why) => why === LIMIT);
        if (right) counts.refused += 1;
        else wrong.add(key);
      }
    }
    return { ...counts, wrong: wrong.size };
  }

  async close() {
    this.closed = true;
    clearInterval(this.timer);
    for (const meter of this.meters) meter.close();
    await this.reader.close();
    return {};
  }
}

async function main() {
  const load = new Load(JSON.parse(process.argv[2]));
  for await (const line of readline.createInterface({ input: process.stdin })) {
    const { command, ...options } = JSON.parse(line);
    const answer = await load[command](options);
    process.stdout.write(`${JSON.stringify(answer)}\n`);
    if (command === 'close') process.exit(0);
  }
  process.exit(0);
}

main();
