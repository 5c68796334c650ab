// The AWS IoT device SDK's jobs client against the server, unmodified: aws_iot_jobs.js PORT CA CERTIFICATE_DIRECTORY LAST. The device
// `pump-1` proves itself with its certificate. It starts every job that it is told of and ends it as the document says
// (`{"operation":"…","end":"succeeded"}`), until it has ended the job LAST. A line of JSON for each thing that it did.
'use strict';

const path = require('path');
const awsIot = require('aws-iot-device-sdk');

const [port, ca, directory, last] = process.argv.slice(2);
const THING = 'pump-1';

function say(what) {
  process.stdout.write(`${JSON.stringify(what)}\n`);
}

const jobs = awsIot.jobs({
  host: 'localhost',
  port: Number(port),
  clientId: THING,
  caPath: ca,
  certPath: path.join(directory, `${THING}.pem`),
  keyPath: path.join(directory, `${THING}.key`),
  ALPNProtocols: ['x-amzn-mqtt-ca'],
  baseReconnectTimeMs: 200,
});

function update(job, call, details) {
  return new Promise((resolve, reject) => job[call](details, (error) => (error ? reject(error) : resolve())));
}

const begun = new Set();

async function work(job) {
  say({heard: job.id, status: job.status.status, document: job.document});
  if (begun.has(job.id)) return;
  begun.add(job.id);
  if (job.status.status !== 'IN_PROGRESS') {
    await update(job, 'inProgress', {step: 'download'});
    say({started: job.id});
  }
  if (job.document.waits) {
    await new Promise((resolve) => process.stdin.once('data', resolve));
  }
  await update(job, job.document.end, {step: 'done'});
  say({ended: job.id});
  if (job.id === last) setTimeout(() => process.exit(0), 0);
}

jobs.subscribeToJobs(THING, (error, job) => {
  if (error) throw error;
  if (job) work(job).catch((failure) => { say({failure: String(failure)}); process.exit(1); });
});
jobs.on('connect', () => {
  say({connected: true});
  jobs.startJobNotifications(THING, () => {});
});
jobs.on('error', (error) => say({error: String(error)}));
