// What a side tells of each reading: rows {meter, seq, outcome: 'settled' | 'refused', why} in the order in which they became visible, and the
// balance of an account in cents. next(): what is new since the last call; all(): everything, from the beginning.
'use strict';

const http = require('node:http');
const { Pool } = require('pg');

const PAGE = 10000;

function seqOf(payload) {
  try {
    return JSON.parse(payload).seq;
  } catch {
    return null;
  }
}

class PostgresReader {
  constructor({ url }) {
    this.pool = new Pool({ connectionString: url, max: 1, connectionTimeoutMillis: 2000 });
    this.pool.on('error', () => {});
    this.last = 0;
  }

  async after(n) {
    const { rows } = await this.pool.query({
      name: 'look',
      text: 'SELECT n, meter, seq, refused FROM transfer WHERE n > $1 ORDER BY n LIMIT $2',
      values: [n, PAGE],
    });
    return rows.map((row) => ({
      n: Number(row.n), meter: row.meter, seq: Number(row.seq), outcome: row.refused === null ? 'settled' : 'refused', why: row.refused,
    }));
  }

  async next() {
    const rows = await this.after(this.last);
    this.last = rows.at(-1)?.n ?? this.last;
    return rows;
  }

  async all() {
    const found = [];
    for (;;) {
      const rows = await this.after(found.at(-1)?.n ?? 0);
      if (rows.length === 0) break;
      found.push(...rows);
    }
    const { rows } = await this.pool.query('SELECT meter, payload, why FROM dead_letter');
    return found.concat(rows.map(({ meter, payload, why }) => ({ meter, seq: seqOf(payload), outcome: 'refused', why })));
  }

  async balance(account) {
    const { rows } = await this.pool.query('SELECT balance_cents FROM account WHERE id = $1', [account]);
    return Number(rows[0].balance_cents);
  }

  close() {
    return this.pool.end();
  }
}

// Of Heptane: the rule's receipts and dead letters, records of `iot.rules`. Bills that it publishes lie there, too.
function outcomeOf({ key, value }) {
  if (key !== '$rules/metering/transfer' && key !== '$rules/metering/dead_letter') return [];
  if (value.event === 'repeated') return []; // the same reading again: nothing was moved
  const outcome = key.endsWith('/transfer') ? 'settled' : 'refused';
  return [{ meter: value.topic?.split('/')[1], seq: value.payload?.seq, outcome, why: value.why }];
}

class StreamReader {
  constructor({ admin }) {
    this.admin = admin;
    this.agent = new http.Agent({ keepAlive: true, maxSockets: 1 });
    this.last = 0;
  }

  get(path, headers = {}) {
    return new Promise((resolve, reject) => {
      const request = http.get({ host: '127.0.0.1', port: this.admin, path, headers, agent: this.agent, timeout: 10000 }, (response) => {
        const parts = [];
        response.on('data', (part) => parts.push(part));
        response.on('error', reject);
        response.on('end', () => {
          const text = Buffer.concat(parts).toString();
          if (response.statusCode === 200) resolve(text);
          else reject(new Error(`${path}: ${response.statusCode} ${text}`));
        });
      });
      request.on('timeout', () => request.destroy(new Error(`${path}: no answer`)));
      request.on('error', reject);
    });
  }

  // Records of iot.rules from an offset on: {records, next}.
  async from(offset) {
    const text = await this.get(`/api/v1/streams/iot.rules/records?offset=${offset}&limit=${PAGE}`, { Accept: 'application/x-ndjson' });
    const records = text.split('\n').filter(Boolean).map((line) => JSON.parse(line));
    return { records, next: records.length > 0 ? records.at(-1).offset + 1 : offset };
  }

  async next() {
    const { records, next } = await this.from(this.last);
    this.last = next;
    return records.flatMap(outcomeOf);
  }

  async all() {
    const found = [];
    for (let offset = 0; ; ) {
      const { records, next } = await this.from(offset);
      if (next === offset) return found;
      found.push(...records.flatMap(outcomeOf));
      offset = next;
    }
  }

  async balance(account) {
    const { credits_posted: credits, debits_posted: debits } = JSON.parse(await this.get(`/api/v1/ledger/accounts/${account}`));
    return Math.round(credits * 100) - Math.round(debits * 100);
  }

  async close() {
    this.agent.destroy();
  }
}

// The same records by SQL.
class SqlReader extends StreamReader {
  async from(offset) {
    const query = `SELECT "offset", key, value FROM iot.rules WHERE "offset" >= ${offset} ORDER BY "offset" LIMIT ${PAGE}`;
    const { rows } = JSON.parse(await this.get(`/api/v1/sql?q=${encodeURIComponent(query)}`));
    const records = rows.map(([at, key, value]) => ({ offset: Number(at), key, value: typeof value === 'string' ? JSON.parse(value) : value }));
    return { records, next: records.length > 0 ? records.at(-1).offset + 1 : offset };
  }
}

const READERS = { postgres: PostgresReader, stream: StreamReader, sql: SqlReader };

function makeReader(options) {
  return new READERS[options.kind](options);
}

module.exports = { makeReader };
