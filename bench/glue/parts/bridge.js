// From mosquitto into JetStream, and from JetStream, priced and within the meter's limit, into PostgreSQL.
// Nothing is acknowledged before the next part has it: mosquitto's PUBLISH after JetStream's answer, JetStream's message after the
// commit. So every part may deliver twice; the reading's own key, (meter, seq), says that it is the same.
'use strict';

const mqtt = require('mqtt');
const nats = require('nats');
const { Pool } = require('pg');

const STREAM = 'READINGS';
const SUBJECT = 'readings'; // one for all: a meter's name may hold what a subject may not
const CONSUMER = 'settlement';
const BATCH_READINGS = 256; // of one transaction
const UNACKNOWLEDGED_MAX = 2048;
const IN_FLIGHT_MAX = 1024; // from mosquitto: on their way to JetStream
const RETRY_MS = 250;
const KWH_MAX = 1e6; // between two readings; more is a broken meter

const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));
const log = (what, error) => console.error(`${new Date().toISOString()} ${what}: ${error.message}`);

async function connectToNats() {
  const connection = await nats.connect({ servers: process.env.NATS_URL, maxReconnectAttempts: -1, reconnectTimeWait: RETRY_MS, waitOnFirstConnect: true });
  const manager = await connection.jetstreamManager();
  await manager.streams.add({
    name: STREAM,
    subjects: [SUBJECT],
    storage: nats.StorageType.File,
    max_age: nats.nanos(90 * 24 * 3600 * 1000),
  });
  await manager.consumers.add(STREAM, {
    durable_name: CONSUMER,
    ack_policy: nats.AckPolicy.Explicit,
    ack_wait: nats.nanos(5000),
    max_ack_pending: UNACKNOWLEDGED_MAX,
  });
  return connection;
}

// ---- mosquitto to JetStream ----

async function store(jetstream, meter, payload) {
  const reading = JSON.stringify({ meter, payload: payload.toString() });
  for (;;) {
    try {
      return await jetstream.publish(SUBJECT, reading);
    } catch (error) {
      log('JetStream', error);
      await pause(RETRY_MS);
    }
  }
}

function readMeters(jetstream) {
  const client = mqtt.connect(process.env.MQTT_URL, {
    protocolVersion: 5,
    clientId: 'bridge',
    clean: false,
    properties: { sessionExpiryInterval: 0xffffffff, receiveMaximum: IN_FLIGHT_MAX },
    reconnectPeriod: RETRY_MS,
  });
  // The client hands on the next packet when `done` is called, and sends the PUBACK unless that has an error. So that many readings are
  // on their way at once the PUBACK is sent here, in the order of the packets. On another connection its identifier would name another message.
  let answered = Promise.resolve();
  client.handleMessage = (packet, done) => {
    const connection = client.stream;
    const stored = store(jetstream, packet.topic.split('/')[1], packet.payload);
    answered = answered.then(() => stored).then(() => {
      if (client.stream === connection && client.connected) connection.write(Buffer.from([0x40, 2, packet.messageId >> 8, packet.messageId & 255]));
    });
    done(new Error('acknowledged later'));
  };
  client.on('connect', async () => {
    client.stream.setNoDelay(true);
    await client.subscribeAsync('meters/+/reading', { qos: 1 }).then(() => console.error('ready'), (error) => log('MQTT', error));
  });
  client.on('error', (error) => log('MQTT', error));
}

// ---- JetStream to PostgreSQL ----

function parse(message) {
  const { meter, payload } = message.json();
  const reading = { at: message.seq, meter, payload: payload.replaceAll('\0', '\ufffd') }; // a text of PostgreSQL has no NUL
  try {
    const { seq, kwh } = JSON.parse(payload);
    if (!Number.isSafeInteger(seq)) return { ...reading, why: 'seq is no whole number' };
    if (typeof kwh !== 'number' || Math.abs(kwh) > KWH_MAX) return { ...reading, why: 'kwh is no amount' };
    return { ...reading, seq, kwh };
  } catch {
    return { ...reading, why: 'no JSON' };
  }
}

async function settle(pool, messages) {
  const readings = messages.map(parse);
  const column = (name) => readings.map((reading) => reading[name] ?? null);
  await pool.query({
    name: 'settle',
    text: 'SELECT settle($1, $2, $3, $4, $5, $6)',
    values: ['at', 'meter', 'payload', 'seq', 'kwh', 'why'].map(column),
  });
}

// One transaction at a time, of all that has come meanwhile: each commit is one sync.
async function settleAll(connection, pool) {
  const waiting = [];
  let settling = false;
  const work = async () => {
    if (settling) return;
    settling = true;
    while (waiting.length > 0) {
      const batch = waiting.splice(0, BATCH_READINGS);
      try {
        await settle(pool, batch);
        batch.forEach((message) => message.ack());
      } catch (error) {
        log('PostgreSQL', error);
        await pause(RETRY_MS);
        batch.forEach((message) => message.nak());
      }
    }
    settling = false;
  };
  const consumer = await connection.jetstream().consumers.get(STREAM, CONSUMER);
  await consumer.consume({
    max_messages: UNACKNOWLEDGED_MAX,
    expires: 5000,
    callback: (message) => {
      waiting.push(message);
      work();
    },
  });
}

async function main() {
  const pool = new Pool({ connectionString: process.env.DATABASE_URL, max: 1 });
  pool.on('error', (error) => log('PostgreSQL', error));
  const connection = await connectToNats();
  await settleAll(connection, pool);
  readMeters(connection.jetstream());
}

// What it cannot repair by connecting again is repaired by whoever starts it again.
main().catch((error) => {
  log('bridge', error);
  process.exit(1);
});
