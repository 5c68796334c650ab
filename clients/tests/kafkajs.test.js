// kafkajs against the real server: producer over a kill, administration, and what a consumer that wants a group is told.
'use strict'

const assert = require('node:assert')
const path = require('node:path')
const test = require('node:test')
const { Server } = require('../testkit/node')
const { Kafka, logLevel, CompressionTypes, ConfigResourceTypes, PartitionAssigners } = require(
  path.join(__dirname, '..', 'node_modules', 'kafkajs'))

const SMALL_SEGMENTS = ['--segment-mib', 16]

async function startServer (t) {
  const server = await new Server({ args: SMALL_SEGMENTS }).useStablePort()
  t.after(() => server.close())
  return server.start()
}

const connect = (server, retry = { retries: 2 }) =>
  new Kafka({ clientId: 'test', brokers: [server.kafka], logLevel: logLevel.NOTHING, retry })

async function withAdmin (t, server) {
  const admin = connect(server).admin()
  t.after(() => admin.disconnect())
  await admin.connect()
  return admin
}

async function withProducer (t, server, options, retry) {
  const producer = connect(server, retry).producer(options)
  t.after(() => producer.disconnect())
  await producer.connect()
  return producer
}

// What another client reads: [[key, value]] of a partition, over HTTP.
async function read (server, stream, partition = 0) {
  const records = []
  for (let next = 0; ;) {
    const url = `http://${server.admin}/api/v1/streams/${stream}/records?partition=${partition}&offset=${next}`
    const answer = await fetch(url)
    const page = await answer.json()
    assert.strictEqual(answer.status, 200, JSON.stringify(page))
    if (page.records.length === 0) return records
    for (const record of page.records) records.push([record.key, record.value])
    next = page.records[page.records.length - 1].offset + 1
  }
}

test('producer: acks, codecs, keys, partitions', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }] })
  for (const [options, acks, compression] of [
    [{}, -1, CompressionTypes.None], [{}, 1, CompressionTypes.GZIP], [{ idempotent: true }, -1, CompressionTypes.GZIP]
  ]) {
    const producer = await withProducer(t, server, options)
    const answers = await producer.send({
      topic: 'js',
      acks,
      compression,
      messages: [{ key: 'k', value: 'a', partition: 0 }, { value: 'b', partition: 1 }, { value: 'c', partition: 0 }]
    })
    assert.deepStrictEqual(answers.map(answer => [answer.partition, answer.errorCode]), [[0, 0], [1, 0]])
  }
  const three = list => [...list, ...list, ...list]
  assert.deepStrictEqual((await read(server, 'js', 0)).map(([, value]) => value), three(['a', 'c']))
  assert.deepStrictEqual((await read(server, 'js', 1)).map(([, value]) => value), three(['b']))
})

test('an idempotent producer goes on over kills: every record is there, once and in order', async t => {
  const server = await startServer(t)
  const producer = await withProducer(t, server, { idempotent: true, maxInFlightRequests: 1 },
    { retries: 50, initialRetryTime: 20, maxRetryTime: 200 })
  const acknowledged = new Map()
  let sent = 0
  const sendBatch = async () => {
    const first = sent
    const messages = Array.from({ length: 50 }, () => ({ value: String(sent++), partition: 0 }))
    const [answer] = await producer.send({ topic: 't', messages, compression: CompressionTypes.GZIP })
    messages.forEach((message, i) => acknowledged.set(first + i, Number(answer.baseOffset) + i))
  }
  for (let round = 0; round < 4; ++round) {
    for (let i = 0; i < 10; ++i) await sendBatch()
    const underWay = sendBatch()
    await server.crashRestart()
    await underWay
  }
  const values = (await read(server, 't')).map(([, value]) => Number(value))
  assert.deepStrictEqual(values, Array.from({ length: sent }, (_, n) => n))
  for (const [n, offset] of acknowledged) assert.strictEqual(values[offset], n)
})

test('administration: topics', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  assert.strictEqual(await admin.createTopics({
    topics: [{ topic: 'js', numPartitions: 2, configEntries: [{ name: 'retention.ms', value: '86400000000000' }] }]
  }), true)
  assert.strictEqual(await admin.createTopics({ topics: [{ topic: 'js' }] }), false) // is there already
  await assert.rejects(admin.createTopics({ topics: [{ topic: 'replicas', replicationFactor: 3 }] }),
    error => error.errors[0].type === 'INVALID_REPLICATION_FACTOR')
  assert.deepStrictEqual(await admin.listTopics(), ['js'])
  const { topics: [topic] } = await admin.fetchTopicMetadata({ topics: ['js'] })
  assert.deepStrictEqual(topic.partitions.map(p => [p.partitionId, p.leader, p.isr]), [[0, 1, [1]], [1, 1, [1]]])
  const cluster = await admin.describeCluster()
  assert.deepStrictEqual([cluster.controller, cluster.brokers.length], [1, 1])
  await server.crashRestart()
  assert.deepStrictEqual(await admin.listTopics(), ['js'])
  await admin.deleteTopics({ topics: ['js'] })
  assert.deepStrictEqual(await admin.listTopics(), [])
  await assert.rejects(admin.deleteTopics({ topics: ['js'] }), /does not host this topic/)
})

test('administration: offsets, by time, deleted records', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  const producer = await withProducer(t, server, { idempotent: true })
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }] })
  await producer.send({
    topic: 'js',
    compression: CompressionTypes.GZIP,
    messages: [{ value: 'a', partition: 0, timestamp: '1000' }, { value: 'b', partition: 1, timestamp: '2000' },
      { value: 'c', partition: 0, timestamp: '3000' }]
  })
  const ends = async () => (await admin.fetchTopicOffsets('js')).map(p => [p.partition, p.low, p.high])
  assert.deepStrictEqual(await ends(), [[0, '0', '2'], [1, '0', '1']])
  const timed = await admin.fetchTopicOffsetsByTimestamp('js', 1001)
  assert.deepStrictEqual(timed.map(p => [p.partition, p.offset]), [[0, '1'], [1, '0']])
  await admin.deleteTopicRecords({ topic: 'js', partitions: [{ partition: 0, offset: '1' }] })
  assert.deepStrictEqual(await ends(), [[0, '1', '2'], [1, '0', '1']])
  await server.crashRestart()
  assert.deepStrictEqual(await ends(), [[0, '1', '2'], [1, '0', '1']])
  const [committed] = await admin.fetchOffsets({ groupId: 'g', topics: ['js'] })
  assert.deepStrictEqual(committed.partitions.map(p => p.offset), ['-1', '-1'])
})

test('administration: more partitions', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  await admin.createTopics({ topics: [{ topic: 'js', numPartitions: 2 }] })
  await admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 3 }] })
  await assert.rejects(admin.createPartitions({ topicPartitions: [{ topic: 'js', count: 3 }] }),
    { type: 'INVALID_PARTITIONS' })
  await server.crashRestart()
  const { topics: [topic] } = await admin.fetchTopicMetadata({ topics: ['js'] })
  assert.deepStrictEqual(topic.partitions.map(p => p.partitionId).sort(), [0, 1, 2])
  const producer = await withProducer(t, server, {})
  const [sent] = await producer.send({ topic: 'js', messages: [{ partition: 2, value: 'new' }] })
  assert.strictEqual(sent.baseOffset, '0')
})

test('administration: configurations', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  await admin.createTopics({ topics: [{ topic: 'js', configEntries: [{ name: 'retention.ms', value: '86400000' }] }] })
  const resource = { type: ConfigResourceTypes.TOPIC, name: 'js' }
  const value = async name => {
    const answer = await admin.describeConfigs({ resources: [{ ...resource, configNames: [name] }] })
    return answer.resources[0].configEntries[0].configValue
  }
  assert.strictEqual(await value('retention.ms'), '86400000')
  await admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.bytes', value: '1000000' }] }] })
  assert.deepStrictEqual([await value('retention.ms'), await value('retention.bytes')], ['-1', '1000000'])
  await assert.rejects(admin.alterConfigs({ resources: [{ ...resource, configEntries: [{ name: 'retention.bytes', value: 'some' }] }] }),
    { type: 'INVALID_CONFIG' })
})

// Groups cannot be joined: the consumer says so and does not start again.
test('a consumer that wants a group is told so once', async t => {
  const server = await startServer(t)
  const admin = await withAdmin(t, server)
  await admin.createTopics({ topics: [{ topic: 'js' }] })
  const consumer = connect(server).consumer({ groupId: 'g', partitionAssigners: [PartitionAssigners.roundRobin] })
  t.after(() => consumer.disconnect())
  const crashes = []
  const crashed = new Promise(resolve => consumer.on('consumer.crash', event => {
    crashes.push(event.payload)
    resolve()
  }))
  await consumer.connect()
  await consumer.subscribe({ topic: 'js', fromBeginning: true })
  consumer.run({ eachMessage: async () => {} }).catch(() => {})
  await crashed
  assert.strictEqual(crashes[0].restart, false)
  assert.deepStrictEqual([crashes[0].error.name, crashes[0].error.code], ['KafkaJSProtocolError', 35])
  const { groups: [group] } = await admin.describeGroups(['g'])
  assert.strictEqual(group.state, 'Dead')
  assert.strictEqual(crashes.length, 1)
})
