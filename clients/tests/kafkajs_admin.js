// What test_kafka_admin.py runs with kafkajs: node kafkajs_admin.js HOST:PORT. Asserts; prints JSON in its last line.
'use strict'

const assert = require('assert')
const path = require('path')
const { Kafka, logLevel, CompressionTypes, ConfigResourceTypes } = require(
  path.join(__dirname, '..', 'node_modules', 'kafkajs'))

const kafka = new Kafka({ clientId: 'test', brokers: [process.argv[2]], logLevel: logLevel.NOTHING, retry: { retries: 2 } })

async function topics (admin) {
  assert.strictEqual(await admin.createTopics({
    topics: [{ topic: 'js', numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '86400000000000' }] }]
  }), true)
  assert.strictEqual(await admin.createTopics({ topics: [{ topic: 'js' }] }), false) // is there already
  await assert.rejects(admin.createTopics({ topics: [{ topic: 'replicas', replicationFactor: 3 }] }),
    error => error.errors[0].type === 'INVALID_REPLICATION_FACTOR')
  assert.deepStrictEqual(await admin.listTopics(), ['js'])
  const metadata = await admin.fetchTopicMetadata({ topics: ['js'] })
  assert.deepStrictEqual(metadata.topics[0].partitions.map(p => [p.partitionId, p.leader, p.isr]), [[0, 1, [1]], [1, 1, [1]]])
  const cluster = await admin.describeCluster()
  assert.deepStrictEqual([cluster.controller, cluster.brokers.length], [1, 1])
}

async function produce () {
  const producer = kafka.producer({ idempotent: true })
  await producer.connect()
  const answers = await producer.send({
    topic: 'js',
    compression: CompressionTypes.GZIP,
    messages: [{ value: 'a', partition: 0, timestamp: '1000' }, { value: 'b', partition: 1, timestamp: '2000' },
      { value: 'c', partition: 0, timestamp: '3000' }]
  })
  assert.deepStrictEqual(answers.map(a => [a.partition, a.errorCode, a.baseOffset]), [[0, 0, '0'], [1, 0, '0']])
  await producer.disconnect()
}

async function offsets (admin) {
  const ends = async () => (await admin.fetchTopicOffsets('js')).map(p => [p.partition, p.low, p.high])
  assert.deepStrictEqual(await ends(), [[0, '0', '2'], [1, '0', '1']])
  const timed = await admin.fetchTopicOffsetsByTimestamp('js', 1001)
  assert.deepStrictEqual(timed.map(p => [p.partition, p.offset]), [[0, '1'], [1, '0']])
  await admin.deleteTopicRecords({ topic: 'js', partitions: [{ partition: 0, offset: '1' }] })
  assert.deepStrictEqual(await ends(), [[0, '1', '2'], [1, '0', '1']])
  const [committed] = await admin.fetchOffsets({ groupId: 'g', topics: ['js'] })
  assert.deepStrictEqual(committed.partitions.map(p => p.offset), ['-1', '-1'])
}

async function configs (admin) {
  const resource = { type: ConfigResourceTypes.TOPIC, name: 'js' }
  const value = async name => {
    const answer = await admin.describeConfigs({ resources: [{ ...resource, configNames: [name] }] })
    return answer.resources[0].configEntries[0].configValue
  }
  assert.strictEqual(await value('retention.ms'), '86400000000000')
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.bytes', value: '1000000' }] }] })
  assert.deepStrictEqual([await value('retention.ms'), await value('retention.bytes')], ['-1', '1000000'])
}

// Groups cannot be joined: the consumer says so and does not start again.
async function joining () {
  const consumer = kafka.consumer({ groupId: 'g' })
  const crashed = new Promise(resolve => consumer.on('consumer.crash', event => resolve(event.payload)))
  await consumer.connect()
  await consumer.subscribe({ topic: 'js', fromBeginning: true })
  consumer.run({ eachMessage: async () => {} }).catch(() => {})
  const { error, restart } = await crashed
  assert.strictEqual(restart, false)
  await consumer.disconnect()
  return { name: error.name, code: error.code }
}

async function partitions (admin) {
  await admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 3 }] })
  const [topic] = (await admin.fetchTopicMetadata({ topics: ['js'] })).topics
  assert.deepStrictEqual(topic.partitions.map(p => p.partitionId).sort(), [0, 1, 2])
  await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 3 }] }),
    error => error.type === 'INVALID_PARTITIONS')
  const producer = kafka.producer()
  await producer.connect()
  const [sent] = await producer.send({ topic: 'js', messages: [{ partition: 2, value: 'new' }] })
  assert.strictEqual(sent.baseOffset, '0')
  await producer.disconnect()
}

async function main () {
  const admin = kafka.admin()
  await admin.connect()
  await topics(admin)
  await produce()
  await offsets(admin)
  await configs(admin)
  await partitions(admin)
  const seen = { joining: await joining() }
  const [group] = (await admin.describeGroups(['g'])).groups
  assert.strictEqual(group.state, 'Dead')
  await admin.deleteTopics({ topics: ['js'] })
  assert.deepStrictEqual(await admin.listTopics(), [])
  // The records stay for the test to read.
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }] })
  await produce()
  await admin.disconnect()
  console.log(JSON.stringify(seen))
}

main().then(() => process.exit(0), error => {
  console.error(error)
  process.exit(1)
})
