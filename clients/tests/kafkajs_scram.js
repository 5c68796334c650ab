// What test_auth.py runs with kafkajs: node kafkajs_scram.js HOST:PORT MECHANISM USER PASSWORD TOPIC. Produces one record and
// reads its offset back; prints JSON: {"offset": "0"} or {"error": TYPE}.
'use strict'

const path = require('path')
const { Kafka, logLevel } = require(path.join(__dirname, '..', 'node_modules', 'kafkajs'))

const [address, mechanism, username, password, topic] = process.argv.slice(2)
const kafka = new Kafka({
  clientId: 'test',
  brokers: [address],
  sasl: { mechanism, username, password },
  logLevel: logLevel.NOTHING,
  retry: { retries: 0 }
})

async function main () {
  const producer = kafka.producer()
  await producer.connect()
  const [answer] = await producer.send({ topic, messages: [{ value: 'from kafkajs' }] })
  await producer.disconnect()
  const admin = kafka.admin()
  await admin.connect()
  const [end] = await admin.fetchTopicOffsets(topic)
  await admin.disconnect()
  return { offset: answer.baseOffset, end: end.high }
}

main()
  .catch(error => ({ error: error.type || error.name, message: error.message }))
  .then(result => console.log(JSON.stringify(result)))
