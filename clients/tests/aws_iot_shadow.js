// The AWS IoT device SDK's shadow client against the server, unmodified: aws_iot_shadow.js PORT CA CERTIFICATE_DIRECTORY. The device
// `pump-1` proves itself with its certificate, the application `backend` with its own; ALPN is what AWS IoT asks for. Prints what
// the two hear, as JSON.
'use strict';

const path = require('path');
const awsIot = require('aws-iot-device-sdk');

const [port, ca, directory] = process.argv.slice(2);
const THING = 'pump-1';

function connect(clientId) {
  return new Promise((resolve, reject) => {
    const shadow = awsIot.thingShadow({
      host: 'localhost',
      port: Number(port),
      clientId,
      caPath: ca,
      certPath: path.join(directory, `${clientId}.pem`),
      keyPath: path.join(directory, `${clientId}.key`),
      ALPNProtocols: ['x-amzn-mqtt-ca'],
    }, {operationTimeout: 20000});
    shadow.once('connect', () => resolve(shadow));
    shadow.once('error', reject);
  });
}

function register(shadow, options) {
  return new Promise((resolve, reject) => {
    shadow.register(THING, options, (error, failed) => (error || failed ? reject(error || failed) : resolve()));
  });
}

function next(shadow, event) {
  return new Promise((resolve) => shadow.once(event, (...of) => resolve(of)));
}

// One operation at a time, as the SDK has it: what it was answered.
async function ask(shadow, operation, body) {
  const answered = next(shadow, 'status');
  const token = body === undefined ? shadow[operation](THING) : shadow[operation](THING, body);
  const [thing, status, answeredToken, state] = await answered;
  if (thing !== THING || token === null || answeredToken !== token) throw new Error(`${operation}: another answer`);
  return {operation, status, state};
}

(async () => {
  const device = await connect(THING);
  const backend = await connect('backend');
  await register(device, {});
  await register(backend, {ignoreDeltas: true, discardStale: false});
  const said = [];
  said.push(await ask(device, 'get'));  // there is none
  said.push(await ask(device, 'update', {state: {reported: {on: false, level: 3}}}));
  const delta = next(device, 'delta');
  const foreign = next(device, 'foreignStateChange');
  said.push(await ask(backend, 'update', {state: {desired: {on: true, level: 3}}}));
  const [, deltaState] = await delta;
  const [, foreignOperation] = await foreign;
  said.push(await ask(device, 'update', {state: {reported: {on: true}}}));
  said.push(await ask(backend, 'get'));
  said.push(await ask(backend, 'delete'));
  console.log(JSON.stringify({said, delta: deltaState, foreign: foreignOperation}));
  process.exit(0);
})().catch((error) => {
  console.error(error);
  process.exit(1);
});
