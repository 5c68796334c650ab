// Produces over TLS with kafkajs: node kafkajs_tls.js HOST:PORT CA_FILE TOPIC. Prints the end offset as JSON.
const fs = require('fs');
const { Kafka, logLevel } = require('kafkajs');

const [address, ca, topic] = process.argv.slice(2);
const kafka = new Kafka({
  clientId: 'tls-test',
  brokers: [address],
  ssl: { ca: [fs.readFileSync(ca, 'utf-8')] },
  logLevel: logLevel.ERROR,
});

async function main() {
  const admin = kafka.admin();
  await admin.connect();
  await admin.createTopics({ topics: [{ topic, numPartitions: 1 }] });
  const producer = kafka.producer();
  await producer.connect();
  for (let i = 0; i < 3; i += 1) await producer.send({ topic, messages: [{ value: `value ${i}` }] });
  await producer.disconnect();
  const offsets = await admin.fetchTopicOffsets(topic);
  await admin.disconnect();
  console.log(JSON.stringify({ end: Number(offsets[0].high) }));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
