// node pg_client.js PORT: what the `pg` client reads over the simple and the extended protocol; prints one JSON object.
'use strict';

const { Client } = require('pg');

async function main() {
  const client = new Client({ host: '127.0.0.1', port: Number(process.argv[2]), user: 'node', database: 'heptane' });
  await client.connect();
  const seen = {};
  seen.simple = (await client.query('SELECT count(*) AS n FROM meters')).rows;
  seen.extended = (await client.query('SELECT meter, kwh FROM meters WHERE kwh > $1 ORDER BY meter', [15])).rows;
  const named = { name: 'by meter', text: 'SELECT kwh FROM meters WHERE meter = $1' };
  seen.named = [];
  for (const meter of ['a', 'b']) seen.named.push((await client.query({ ...named, values: [meter] })).rows[0].kwh);
  seen.types = (await client.query("SELECT 1::INTEGER AS i, 2.5::DOUBLE AS f, true AS b, NULL AS n, 'x' AS t, 12.50::DECIMAL(9,2) AS d")).rows[0];
  seen.instant = (await client.query("SELECT TIMESTAMPTZ '2026-01-02 03:04:05.678+00' AS at")).rows[0].at.toISOString();
  try {
    await client.query('SELECT * FROM nowhere');
  } catch (error) {
    seen.error = error.code;
  }
  seen.after = (await client.query('SELECT 1 AS one')).rows[0].one;
  await client.end();
  console.log(JSON.stringify(seen));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
