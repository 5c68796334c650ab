// Fleet provisioning as AWS IoT has it, with its device SDK, unmodified: aws_iot_provision.js PORT CA DIRECTORY STEP ...
//   ask NAME CLIENT TOPIC PAYLOAD    publishes to a provisioning topic as the client with NAME.pem; prints {topic, answer}
//   shadow NAME THING                as the thing: an update and a get of its shadow; prints what it was answered
'use strict';

const path = require('path');
const awsIot = require('aws-iot-device-sdk');

const [port, ca, directory, step, name, ...rest] = process.argv.slice(2);

function options(clientId) {
  return {
    host: 'localhost',
    port: Number(port),
    clientId,
    caPath: ca,
    certPath: path.join(directory, `${name}.pem`),
    keyPath: path.join(directory, `${name}.key`),
    ALPNProtocols: ['x-amzn-mqtt-ca'],
  };
}

function next(emitter, event) {
  return new Promise((resolve, reject) => {
    emitter.once(event, (...of) => resolve(of));
    emitter.once('error', reject);
  });
}

async function ask(clientId, topic, payload) {
  const device = awsIot.device(options(clientId));
  await next(device, 'connect');
  await new Promise((resolve, reject) => device.subscribe([`${topic}/accepted`, `${topic}/rejected`], {qos: 1},
      (error, granted) => (error || granted.some((one) => one.qos > 1) ? reject(error || granted) : resolve())));
  const answered = next(device, 'message');
  device.publish(topic, payload, {qos: 1});
  const [heard, answer] = await answered;
  device.end(true);
  return {topic: heard, answer: JSON.parse(answer.toString())};
}

async function shadow(thing) {
  const client = awsIot.thingShadow(options(thing), {operationTimeout: 20000});
  await next(client, 'connect');
  await new Promise((resolve, reject) => client.register(thing, {},
      (error, failed) => (error || failed ? reject(error || failed) : resolve())));
  const said = [];
  for (const ask of [() => client.update(thing, {state: {reported: {on: true}}}), () => client.get(thing)]) {
    const answered = next(client, 'status');
    ask();
    const [, status, , state] = await answered;
    said.push({status, state});
  }
  client.end(true);
  return said;
}

(step === 'ask' ? ask(...rest) : shadow(...rest))
    .then((answer) => { console.log(JSON.stringify(answer)); process.exit(0); })
    .catch((error) => { console.error(error); process.exit(1); });
