// The testkit itself: what it starts is ended, what it says of an end is true, and a cut loses what was not synced.
'use strict'

const assert = require('node:assert')
const { execFile } = require('node:child_process')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const test = require('node:test')
const { Refused, Server, freePort, waitUntil } = require('..')

const SMALL_SEGMENTS = ['--segment-mib', 16]

function get (address, url) {
  return new Promise((resolve, reject) => {
    http.get(`http://${address}${url}`, answer => {
      let body = ''
      answer.on('data', part => { body += part })
      answer.on('end', () => resolve({ status: answer.statusCode, body }))
    }).on('error', reject)
  })
}

function transact (server, body) {
  return new Promise((resolve, reject) => {
    const request = http.request(`http://${server.admin}/api/v1/transact`,
      { method: 'POST', headers: { 'Content-Type': 'application/json' } }, answer => {
        let text = ''
        answer.on('data', part => { text += part })
        answer.on('end', () => answer.statusCode === 200 ? resolve(JSON.parse(text)) : reject(new Error(text)))
      })
    request.on('error', reject)
    request.end(JSON.stringify(body))
  })
}

const append = value => ({ operations: [{ append: { stream: 's', records: [{ value }] } }] })

async function create (server) {
  await transact(server, { operations: [{ create_stream: { name: 's', partitions: 1 } }] })
}

// How many records the stream has; none while there is no stream.
async function records (server) {
  const { status, body } = await get(server.admin, '/api/v1/streams/s')
  return status === 404 ? 0 : JSON.parse(body).partitions[0].end_offset
}

function alive (pid) {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}

test('starts on free ports, stops cleanly, keeps its ports', async t => {
  const server = new Server({ args: SMALL_SEGMENTS })
  t.after(() => server.close())
  await server.start()
  assert.ok(server.running())
  assert.deepStrictEqual(server.address('admin'), { host: '127.0.0.1', port: Number(server.admin.split(':')[1]) })
  assert.throws(() => server.address('no-such'), /no listener no-such/)
  assert.strictEqual((await get(server.admin, '/livez')).status, 200)
  const { admin, kafka, pid } = server
  await server.restart()
  assert.deepStrictEqual([server.admin, server.kafka], [admin, kafka])
  assert.notStrictEqual(server.pid, pid)
  assert.strictEqual(await server.stop(), 0)
  assert.ok(!server.running())
  assert.match(server.stdout(), /Heptane is ready[^]*Heptane is ready/)
  assert.strictEqual((await server.logVerify()).code, 0)
})

test('kill -9 is seen as such, and what was acknowledged is there again', async t => {
  const server = new Server({ args: SMALL_SEGMENTS })
  t.after(() => server.close())
  await server.start()
  await create(server)
  for (let i = 0; i < 3; ++i) await transact(server, append(i))
  assert.strictEqual(await server.kill(), -9)
  await server.start()
  assert.strictEqual(await records(server), 3)
  await server.crashRestart()
  assert.strictEqual(await records(server), 3)
})

test('a refused start says why', async t => {
  const server = new Server({ args: ['--no-such-option'] })
  t.after(() => server.close())
  await assert.rejects(server.start(), error => error instanceof Refused && error.code > 0 && /no-such-option/.test(error.stderr))
  await assert.rejects(new Server({ binary: '/no/such/binary' }).start(), /ENOENT/)
})

test('two servers on one data directory: the second is refused', async t => {
  const first = new Server({ args: SMALL_SEGMENTS })
  t.after(() => first.close())
  await first.start()
  const second = new Server({ args: SMALL_SEGMENTS, data: first.data })
  await assert.rejects(second.start(), Refused)
  await second.close()
  assert.ok(fs.existsSync(first.data), 'a directory that was given is kept')
})

test('a stable port lies below those the system hands out', async t => {
  const top = parseInt(fs.readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'ascii'), 10)
  assert.ok(await freePort() < Math.max(top, 10100))
  const server = await new Server({ args: SMALL_SEGMENTS }).useStablePort()
  t.after(() => server.close())
  const wanted = server.listen.kafka
  await server.start()
  assert.strictEqual(server.kafka, wanted)
})

test('prefix: signals go to the server itself', async t => {
  const server = new Server({ args: SMALL_SEGMENTS, prefix: ['env', 'sh', '-c', '"$@"; exit $?', 'sh'] })
  t.after(() => server.close())
  await server.start()
  assert.match(fs.readFileSync(`/proc/${server.pid}/cmdline`, 'utf8'), /serve/)
  assert.strictEqual(await server.stop(), 0)
})

test('the end of the process ends the server and removes its directory', async () => {
  for (const end of ['process.exit(3)', 'throw new Error("x")', 'process.kill(process.pid, "SIGTERM")', 'undefined']) {
    const script = `const { Server } = require(${JSON.stringify(path.join(__dirname, '..'))})
      new Server({ args: ['--segment-mib', 16] }).start().then(server => {
        console.log(JSON.stringify([server.pid, server.work]))
        ${end}
      })`
    const printed = await new Promise(resolve => execFile(process.execPath, ['-e', script], (error, out) => resolve(out)))
    const [pid, work] = JSON.parse(printed)
    await waitUntil(() => !alive(pid), `the end of the server after ${end}`)
    assert.ok(!fs.existsSync(work), end)
  }
})

test('a power cut keeps what was acknowledged and the layer sees everything', async t => {
  const server = Server.withPowercut({ args: SMALL_SEGMENTS })
  t.after(() => server.close())
  await server.start()
  await create(server)
  const moments = []
  for (let i = 0; i < 4; ++i) {
    await transact(server, append(i))
    moments.push(server.position())
  }
  await server.kill()
  for (const [seed, mode] of [[1, 'lose'], [2, 'reorder'], [3, 'tear'], [4, 'keep']]) {
    const after = server.afterCut({ seed, mode, at: moments[2] })
    t.after(() => after.close())
    await after.start()
    assert.ok(await records(after) >= 3, mode)
    assert.strictEqual(await after.stop(), 0)
  }
  assert.ok(server.lastCut)
})

test('a disk that lies loses records: the cut proves something', async t => {
  const server = Server.withPowercut({ args: SMALL_SEGMENTS, lieSync: '1-' })
  t.after(() => server.close())
  await server.start()
  await create(server)
  await transact(server, append(1))
  await server.kill()
  const after = server.afterCut({ mode: 'lose' })
  t.after(() => after.close())
  const kept = await after.start().then(() => records(after)).catch(() => 0)
  assert.strictEqual(kept, 0)
})

test('imports as an ES module', async () => {
  const module = await import('../index.mjs')
  assert.deepStrictEqual(Object.keys(module).filter(name => name !== 'default').sort(), Object.keys(require('..')).sort())
})
