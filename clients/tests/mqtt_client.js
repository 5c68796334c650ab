// mqtt.js against the server: mqtt_client.js URL [FILES [OPTIONS]]. FILES and OPTIONS are options of mqtt.js as JSON, those as the
// names of files that hold them. Publishes and takes at every QoS in the versions it speaks, properties and
// retained messages; prints what came as JSON.
'use strict';

const fs = require('fs');

const mqtt = require('mqtt');

const url = process.argv[2];
const proof = JSON.parse(process.argv[4] || '{}');
for (const [name, file] of Object.entries(JSON.parse(process.argv[3] || '{}'))) proof[name] = fs.readFileSync(file);

function opened(options) {
  return new Promise((resolve, reject) => {
    const client = mqtt.connect(url, {reconnectPeriod: 0, connectTimeout: 20000, ...proof, ...options});
    client.once('connect', () => resolve(client));
    client.once('error', reject);
  });
}

async function talk(protocolVersion) {
  const subscriber = await opened({protocolVersion, clientId: `js-s${protocolVersion}`});
  const publisher = await opened({protocolVersion, clientId: `js-p${protocolVersion}`});
  const prefix = `js/${protocolVersion}`;
  const got = [];
  const all = new Promise((resolve) => {
    subscriber.on('message', (topic, payload, packet) => {
      got.push({
        topic,
        payload: payload.toString(),
        qos: packet.qos,
        retain: packet.retain,
        user: packet.properties && packet.properties.userProperties ? {...packet.properties.userProperties} : null,
      });
      if (got.length === 4) resolve();
    });
  });
  await publisher.publishAsync(`${prefix}/kept`, 'retained', {qos: 1, retain: true});
  await subscriber.subscribeAsync(`${prefix}/#`, {qos: 2});
  const properties = protocolVersion === 5 ? {userProperties: {unit: 'K'}, contentType: 'text/plain'} : undefined;
  for (const qos of [0, 1, 2]) await publisher.publishAsync(`${prefix}/t`, `at ${qos}`, {qos, properties});
  await all;
  await publisher.endAsync();
  await subscriber.endAsync();
  return got;
}

(async () => {
  console.log(JSON.stringify({four: await talk(4), five: await talk(5)}));
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
