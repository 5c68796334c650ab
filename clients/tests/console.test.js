// The console in a real browser, every page while MQTT, Kafka and HTTP clients are at work: what it shows is what the server did. A
// request to another host, a break of the page's Content-Security-Policy, an error of a script fails the test that it happened in.
'use strict'

const assert = require('node:assert')
const fs = require('node:fs')
const http = require('node:http')
const path = require('node:path')
const test = require('node:test')
const { execFileSync } = require('node:child_process')
const { Kafka, logLevel } = require('kafkajs')
const mqtt = require('mqtt')
const { chromium } = require('playwright-core')
const { ROOT, Server, pause, waitUntil } = require('../testkit/node')

const CHROMIUM = process.env.CHROMIUM || '/usr/bin/chromium'
const SECONDS = 60
const TAIL_KEPT = 300
const LIST_PAGE = 50

let browser
test.before(async () => {
  browser = await chromium.launch({ executablePath: CHROMIUM, args: ['--no-sandbox', '--disable-background-networking'] })
})
test.after(() => browser.close())

// What is begun last ends first: clients before their server.
const undone = new WeakMap()
function atEnd (t, undo) {
  if (!undone.has(t)) {
    undone.set(t, [])
    t.after(async () => {
      for (const one of undone.get(t).reverse()) await one()
    })
  }
  undone.get(t).push(undo)
}

async function startServer (t, ...args) {
  const server = await new Server({ args: ['--segment-mib', 16, ...args] }).useStablePort('admin')
  atEnd(t, () => server.close())
  return server.start()
}

// A page of the console, in light or dark; what it may not do is noted and judged at the end.
async function openPage (t, server, place = '', options = {}) {
  const context = await browser.newContext({ viewport: { width: 1280, height: 900 }, ...options })
  const page = await context.newPage()
  page.setDefaultTimeout(SECONDS * 1000)
  const wrong = []
  const own = new URL(`http://${server.admin}`).host
  const judge = url => {
    if (!url.startsWith('data:') && !url.startsWith('blob:') && new URL(url).host !== own) wrong.push(`asked ${url}`)
    if (url.startsWith('data:')) wrong.push(`inline ${url.slice(0, 60)}`)
  }
  page.on('request', request => judge(request.url()))
  page.on('websocket', socket => judge(socket.url()))
  page.on('pageerror', error => wrong.push(`script: ${error.stack}`))
  page.on('console', message => {
    if (/content security policy/i.test(message.text())) wrong.push(message.text())
  })
  await page.addInitScript(() => {
    window.violations = []
    document.addEventListener('securitypolicyviolation', event => window.violations.push(event.violatedDirective))
  })
  atEnd(t, async () => {
    const violations = await page.evaluate(() => window.violations).catch(() => [])
    await context.close()
    assert.deepStrictEqual([...wrong, ...violations], [])
  })
  await page.goto(`http://${server.admin}/${place}`)
  return page
}

const shot = async (page, name) => {
  if (process.env.CONSOLE_SHOTS) await page.screenshot({ path: path.join(process.env.CONSOLE_SHOTS, `${name}.png`), fullPage: true })
}

async function call (server, method, target, body, token) {
  const headers = { 'Content-Type': 'application/json', ...(token ? { Authorization: `Bearer ${token}` } : {}) }
  const answer = await fetch(`http://${server.admin}${target}`, { method, headers, body: body && JSON.stringify(body) })
  const text = await answer.text()
  return { status: answer.status, body: text ? JSON.parse(text) : undefined }
}

async function make (server, name, partitions = 1, token) {
  const made = await call(server, 'POST', '/api/v1/streams', { name, partitions }, token)
  assert.strictEqual(made.status, 201, JSON.stringify(made.body))
}

async function append (server, name, records, token) {
  const done = await call(server, 'POST', `/api/v1/streams/${name}/records`, { records }, token)
  assert.strictEqual(done.status, 200, JSON.stringify(done.body))
  return done.body
}

// Three protocols at work until the test ends.
async function traffic (t, server) {
  const producer = new Kafka({ clientId: 'c', brokers: [server.kafka], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  const { host, port } = server.address('mqtt')
  const client = await mqtt.connectAsync(`mqtt://${host}:${port}`, { clientId: 'meter' })
  let working = true
  let n = 0
  const work = (async () => {
    while (working) {
      n += 1
      await producer.send({ topic: 'kafka.orders', messages: [{ key: `k${n}`, value: JSON.stringify({ n }) }] })
      await client.publishAsync('plant/meter', JSON.stringify({ n }), { qos: 1 })
      await append(server, 'orders', [{ key: `k${n}`, value: { n, side: n % 2 ? 'buy' : 'sell' } }])
      await pause(0.005)
    }
  })()
  atEnd(t, async () => {
    working = false
    await work
    await producer.disconnect()
    await client.endAsync()
  })
  return () => n
}

const number = text => Number(text.replace(/[^0-9.-]/g, ''))

test('the overview shows what is going on', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  await traffic(t, server)
  const page = await openPage(t, server)
  await page.waitForSelector('.status[data-state=live]')
  for (const protocol of ['kafka', 'mqtt_in', 'http'])
    await waitUntil(async () => {
      const [rate, total] = await page.locator(`[data-protocol=${protocol}] td.number`).allInnerTexts()
      return number(rate) > 0 && number(total) > 0
    }, `a rate of ${protocol}`, SECONDS)
  await waitUntil(async () => /\d/.test(await page.innerText('[data-tile="Sync p99"] .tile-value')), 'a latency', SECONDS)
  const machines = await page.locator('[data-machine]').evaluateAll(rows => rows.map(row => row.dataset.machine))
  for (const machine of ['kernel', 'streams', 'broker']) assert.ok(machines.includes(machine), machines.join())
  assert.strictEqual(await page.getAttribute('.health', 'data-health'), 'good')
  assert.strictEqual(await page.locator('.chart canvas').count(), 2)
  const position = () => page.innerText('.status-position')
  const before = await position()
  await waitUntil(async () => (await position()) !== before, 'the watermark moves', SECONDS)
  await shot(page, 'overview-light')
  await page.emulateMedia({ colorScheme: 'dark' })
  await shot(page, 'overview-dark')
})

test('the overview finds the server again after kill -9', async t => {
  const server = await startServer(t)
  const page = await openPage(t, server)
  await page.waitForSelector('.status[data-state=live]')
  await server.kill()
  await page.waitForSelector('.status[data-state=unreachable]')
  await server.start()
  await page.waitForSelector('.status[data-state=live]')
})

test('nothing jumps while numbers change', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  await traffic(t, server)
  const page = await openPage(t, server)
  await page.waitForSelector('.tiles')
  const places = () => page.evaluate(() => [...document.querySelectorAll('.tile, .panel, .status')].map(element => {
    const { left, top, width } = element.getBoundingClientRect()
    return [left, top, width].map(Math.round).join()
  }))
  const first = await places()
  const seen = await page.innerText('.status-position')
  await waitUntil(async () => (await page.innerText('.status-position')) !== seen, 'another message', SECONDS)
  assert.deepStrictEqual(await places(), first)
})

test('streams: find, browse by offset and time, page by page', async t => {
  const server = await startServer(t)
  await make(server, 'orders', 2)
  await make(server, 'other')
  for (let n = 0; n < 3; ++n)
    await append(server, 'orders', Array.from({ length: 40 }, (_, i) => ({
      key: `k${n * 40 + i}`, value: { n: n * 40 + i, text: '<b>"&' }, timestamp: 1_600_000_000_000 + (n * 40 + i) * 1000,
    })))
  const page = await openPage(t, server, '#/streams')
  await page.waitForSelector('[data-stream=orders]')
  await page.keyboard.press('/')
  await page.keyboard.type('ORD')
  assert.strictEqual(await page.locator('[data-stream]').count(), 1)
  await page.click('[data-stream=orders]')
  const offsets = () => page.locator('[data-offset]').evaluateAll(rows => rows.map(row => Number(row.dataset.offset)))
  const first = async wanted => waitUntil(async () => (await offsets())[0] === wanted, `a page from ${wanted} on`, SECONDS)
  await first(120 - LIST_PAGE)
  assert.strictEqual((await offsets()).at(-1), 119)
  await page.click('text=Older')
  await first(120 - 2 * LIST_PAGE)
  await page.click('text=Oldest')
  await first(0)
  await page.click('text=Newer')
  await first(LIST_PAGE)
  await page.fill('[aria-label="Go to offset"]', '77')
  await page.keyboard.press('Enter')
  await first(77)
  await page.fill('[aria-label="Go to time"]', new Date(1_600_000_000_000 + 101_000).toISOString().slice(0, 19))
  await page.click('text=Go')
  await first(101)
  await page.click('[data-offset="101"] button')
  assert.match(await page.innerText('tr.detail pre'), /"n": 101,\s+"text": "<b>\\"&"/)
  await shot(page, 'streams')
  await page.selectOption('select', '1')
  await page.waitForSelector('text=There is no record from here on.')
  await page.goto(`http://${server.admin}/#/streams/nothing`)
  await page.waitForSelector('text=There is no stream nothing')
})

// What JavaScript's numbers cannot say; it also has names that are numbers in an order of its own.
const EXACT = '{"id":9007199254740993,"price":10.00,"a":{"2":1.50e1,"1":-0},"none":[],"text":"\\u0041\\"}]"}'

test('what a record says is shown as it was written', async t => {
  const server = await startServer(t)
  await make(server, 'exact')
  const put = async () => {
    const answer = await fetch(`http://${server.admin}/api/v1/streams/exact/records`, {
      method: 'POST', headers: { 'Content-Type': 'application/x-ndjson' },
      body: `{"value":${EXACT}}\n`,
    })
    assert.strictEqual(answer.status, 200, await answer.text())
  }
  await put()
  const page = await openPage(t, server, '#/streams/exact')
  const shown = offset => page.innerText(`[data-offset="${offset}"] td:nth-child(4)`)
  await page.waitForSelector('[data-offset="0"]')
  assert.strictEqual(await shown(0), EXACT)
  await page.click('[data-offset="0"] button')
  assert.strictEqual((await page.innerText('tr.detail pre')).replace(/\n */g, '').replaceAll('": ', '":'), EXACT)
  await page.goto(`http://${server.admin}/#/streams/exact?tail=1`)
  await page.waitForSelector('[data-tail-state=live]')
  await put()
  await page.waitForSelector('[data-offset="1"]')
  assert.strictEqual(await shown(1), EXACT)
  await page.route('**/api/v1/sql?*', route => route.fulfill({
    contentType: 'application/json',
    body: '{"columns":[{"name":"n","type":"bigint"},{"name":"d","type":"numeric"},{"name":"j","type":"json"},{"name":"t","type":"text"}],' +
      '"rows":[[9007199254740993, 10.00, {"a": 1.50}, "null"], [null,-0,[],""]]}',
  }))
  await page.goto(`http://${server.admin}/#/sql`)
  await page.fill('textarea', 'SELECT 1')
  await page.keyboard.press('Control+Enter')
  await page.waitForSelector('[data-sql-state=answer]')
  assert.deepStrictEqual(await page.locator('table.rows td').allInnerTexts(),
    ['9007199254740993', '10.00', '{"a": 1.50}', 'null', 'NULL', '-0', '[]', ''])
})

test('tail: records as they come, and no more of them than the page can hold', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  const page = await openPage(t, server, '#/streams/orders?tail=1')
  await page.waitForSelector('[data-tail-state=live]')
  await append(server, 'orders', [{ key: 'first', value: 'one' }])
  await page.waitForSelector('[data-offset="0"]')
  for (let n = 0; n < 5; ++n) await append(server, 'orders', Array.from({ length: 200 }, (_, i) => ({ value: { i } })))
  await page.waitForSelector('[data-offset="1000"]')
  assert.strictEqual(await page.locator('[data-offset]').count(), TAIL_KEPT)
  await page.click('text=Pause')
  await append(server, 'orders', [{ value: 'while it was paused' }])
  await page.waitForSelector('[data-tail-state=paused]')
  await page.click('text=Go on')
  await page.waitForSelector('[data-offset="1001"]')
  await shot(page, 'tail')
  await server.crashRestart()
  await page.waitForSelector('[data-tail-state=live]')
  await append(server, 'orders', [{ value: 'after the kill' }])
  await page.waitForSelector('[data-offset="1002"]')
  await call(server, 'DELETE', '/api/v1/streams/orders', {})
  await page.waitForSelector('text=The stream was deleted.')
})

test('explain: from a record to the command that made it, and from an effect to its cause', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  const { position } = await append(server, 'orders', [{ key: 'a', value: 'x' }, { key: 'b', value: 'y' }])
  const page = await openPage(t, server, '#/streams/orders?offset=1')
  await page.click('[data-offset="1"] button')
  await page.click('[data-follow]')
  await page.waitForSelector(`.node[data-position="${position}"][data-asked=true]`)
  assert.match(await page.innerText('.leaf[data-here=true]'), /orders\/0 1\s+b = y/)
  assert.strictEqual(await page.locator('.leaf').count(), 2)
  await shot(page, 'explain')
  await page.fill('[aria-label=Position]', '0:999999')
  await page.keyboard.press('Enter')
  await page.waitForSelector('text=no command has been synced at 0:999999 yet')
  await page.fill('[aria-label=Position]', 'nonsense')
  await page.keyboard.press('Enter')
  await page.waitForSelector('text=a position is SHARD:SEQUENCE')
})

// A pending transfer arms a timer; what the timer does goes back to the transfer.
test('explain: waits while the server explains another position', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  const { position } = await append(server, 'orders', [{ value: 'x' }])
  const page = await openPage(t, server)
  let refused = 0
  await page.route('**/api/v1/explain/*', route => {
    if (++refused > 2) return route.continue()
    return route.fulfill({ status: 503, headers: { 'Retry-After': '1' }, json: { error: { code: 'overloaded', message: 'busy' } } })
  })
  await page.goto(`http://${server.admin}/#/explain/${position}`)
  await page.waitForSelector(`.node[data-position="${position}"]`)
  assert.strictEqual(refused, 3)
})

test('explain: an effect stands below what caused it', async t => {
  const server = await startServer(t)
  const post = async (target, body) => {
    const done = await call(server, 'POST', target, body)
    assert.ok(done.status < 300, JSON.stringify(done.body))
  }
  await post('/api/v1/ledger/assets', { code: 'USD', ledger: 840, scale: 2 })
  await post('/api/v1/ledger/accounts', { accounts: ['1', '2'].map(id => ({ id, asset: 'USD', code: 1 })) })
  await post('/api/v1/ledger/transfers', { transfers: [{
    id: '1', debit_account_id: 1, credit_account_id: 2, amount: '1.50', asset: 'USD', code: 1, flags: ['pending'], timeout: 1,
  }] })
  const cause = (await call(server, 'GET', '/api/v1/ledger/transfers/1/position')).body.position
  const told = (await call(server, 'GET', `/api/v1/explain/${cause}`)).body
  assert.strictEqual(told.what, 'ledger: create transfers')
  const first = Number(cause.slice(2))
  const effect = await waitUntil(async () => {
    for (let sequence = first + 1; ; ++sequence) {
      const { status, body } = await call(server, 'GET', `/api/v1/explain/0:${sequence}`)
      if (status !== 200) return undefined
      if (body.facts.some(fact => fact.name === 'cause' && fact.value.split('/')[0] === cause)) return body
    }
  }, 'the timer of the transfer', SECONDS)
  assert.strictEqual(effect.what, 'a timer fires')
  const page = await openPage(t, server, `#/explain/${effect.position}`)
  await page.waitForSelector(`.node[data-position="${cause}"] .node[data-position="${effect.position}"][data-asked=true]`)
  await shot(page, 'causes')
})

test('the position of a record is that of the command, whoever sent it', async t => {
  const server = await startServer(t)
  await make(server, 'mixed')
  const at = []
  const producer = new Kafka({ clientId: 'c', brokers: [server.kafka], logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  for (let round = 0; round < 5; ++round) {
    const done = await Promise.all(Array.from({ length: 8 }, (_, i) => append(server, 'mixed', [{ value: `${round} ${i}` }, { value: 'twin' }])))
    for (const one of done) at.push([one.offset, one.position], [one.offset + 1, one.position])
    await producer.send({ topic: 'mixed', messages: [{ value: 'kafka' }, { value: 'too' }] })
  }
  await producer.disconnect()
  for (const [offset, position] of at) {
    const found = await call(server, 'GET', `/api/v1/streams/mixed/records/${offset}/position`)
    assert.deepStrictEqual(found, { status: 200, body: { position } })
  }
  const end = (await call(server, 'GET', '/api/v1/streams/mixed')).body.partitions[0].end_offset
  for (let offset = 0; offset < end; ++offset) {
    const { body } = await call(server, 'GET', `/api/v1/streams/mixed/records/${offset}/position`)
    const explained = await call(server, 'GET', `/api/v1/explain/${body.position}`)
    assert.ok(explained.body.records.some(record => record.offset === offset), JSON.stringify(explained.body))
    const told = JSON.parse((await server.run('explain', '--data', server.data, '--json', body.position)).stdout)
    assert.deepStrictEqual(explained.body.records.map(record => record.text), told.records.map(record => record.text))
    assert.strictEqual(explained.body.what, told.what)
    if (offset > 20) break
  }
  assert.strictEqual((await call(server, 'GET', `/api/v1/streams/mixed/records/${end}/position`)).status, 404)
})

test('the position of a record of a view is that of the command it is rendered out of', async t => {
  const server = await startServer(t)
  const post = async (target, body) => {
    const done = await call(server, 'POST', target, body)
    assert.ok(done.status < 300, JSON.stringify(done.body))
  }
  await post('/api/v1/ledger/assets', { code: 'USD', ledger: 840, scale: 2 })
  await post('/api/v1/ledger/accounts', { accounts: ['1', '2'].map(id => ({ id, asset: 'USD', code: 1 })) })
  for (let first = 1; first < 30; first += 3)
    await post('/api/v1/ledger/transfers', {
      transfers: [0, 1, 2].map(n => ({
        id: String(first + n), debit_account_id: 1, credit_account_id: 2, amount: '1.50', asset: 'USD', code: 1,
      })),
    })
  for (let id = 1; id <= 30; ++id) {
    const { stream, offset, position } = (await call(server, 'GET', `/api/v1/ledger/transfers/${id}/position`)).body
    const found = await call(server, 'GET', `/api/v1/streams/${stream}/records/${offset}/position`)
    assert.deepStrictEqual(found, { status: 200, body: { position } })
  }
})

// What the page does with every kind of answer; the statements themselves are test_sql.py's.
test('sql: rows, errors with their place, the past, CSV, and an answer that is too long', async t => {
  const server = await startServer(t)
  const page = await openPage(t, server, '#/sql')
  const asked = []
  const rows = Array.from({ length: 700 }, (_, i) => [i, i % 2 ? 'odd' : null, '12345678901234567890'])
  await page.route('**/api/v1/sql?*', route => {
    const query = new URL(route.request().url()).searchParams
    asked.push(Object.fromEntries(query))
    const statement = query.get('q')
    if (statement.includes('wrong')) {
      const error = { code: '42P01', message: 'there is no table wrong', hint: 'SHOW TABLES names them', position: statement.indexOf('wrong') + 1 }
      return route.fulfill({ status: 400, json: { error } })
    }
    if (query.get('format') === 'csv') return route.fulfill({ contentType: 'text/csv', body: 'n\r\n1\r\n' })
    if (statement.includes('long')) return route.fulfill({ contentType: 'application/json', body: 'x'.repeat((16 << 20) + 1) })
    const columns = [{ name: 'n', type: 'int64' }, { name: 'kind', type: 'text' }, { name: 'big', type: 'numeric' }]
    return route.fulfill({ json: { position: '0:12', columns, rows } })
  })
  await page.fill('textarea', 'SELECT *\nFROM orders')
  await page.fill('[aria-label="As of position"]', '0:12')
  await page.keyboard.press('Control+Enter')
  await page.waitForSelector('[data-sql-state=answer]')
  assert.match(await page.innerText('[data-sql-summary]'), /^700 rows, the first 500 are shown, .*, as of 0:12$/)
  assert.strictEqual(await page.locator('table.rows tbody tr').count(), 500)
  assert.deepStrictEqual(await page.locator('table.rows tbody tr:first-child td').allInnerTexts(), ['0', 'NULL', '12345678901234567890'])
  assert.deepStrictEqual(asked[0], { q: 'SELECT *\nFROM orders', as_of: '0:12' })
  await shot(page, 'sql')
  await page.fill('[aria-label="As of position"]', '')
  await page.fill('textarea', 'SELECT 1\n  FROM wrong')
  await page.click('text=Run')
  await page.waitForSelector('[data-sql-state=error]')
  assert.match(await page.innerText('.sql-error pre'), /^ {2}FROM wrong\n {7}\^ line 2, character 8$/)
  assert.match(await page.innerText('.sql-error'), /42P01 there is no table wrong[^]*SHOW TABLES names them/)
  await page.fill('textarea', 'SELECT 1')
  const [download] = await Promise.all([page.waitForEvent('download'), page.click('text=Download CSV')])
  assert.strictEqual(fs.readFileSync(await download.path(), 'utf8'), 'n\r\n1\r\n')
  await page.fill('textarea', 'SELECT long')
  await page.click('text=Run')
  await page.waitForSelector('text=The answer is longer than 16.0 MiB')
  await page.click('text=Overview')
  await page.click('text=SQL')
  assert.strictEqual(await page.inputValue('textarea'), 'SELECT long')
})

test('sql: records of a stream as rows', async t => {
  const server = await startServer(t)
  await make(server, 'orders')
  await append(server, 'orders', Array.from({ length: 7 }, (_, n) => ({ value: { n } })))
  const first = await call(server, 'GET', `/api/v1/sql?q=${encodeURIComponent('SELECT 1 AS one')}`)
  if (first.status !== 200) return t.skip(`no SQL here: ${first.body.error.message}`)
  const page = await openPage(t, server, '#/sql')
  await waitUntil(async () => {
    await page.fill('textarea', 'SELECT count(*) AS n, max(position) AS newest FROM orders')
    await page.click('text=Run')
    await page.waitForSelector('[data-sql-state=answer], [data-sql-state=error]')
    return await page.locator('table.rows td').first().innerText({ timeout: 100 }).catch(() => '') === '7'
  }, 'seven rows', SECONDS)
  await page.fill('textarea', 'SELECT * FROM nothing')
  await page.click('text=Run')
  await page.waitForSelector('[data-sql-state=error]')
  assert.match(await page.innerText('.sql-error'), /nothing/)
})

test('one list of many streams, a page at a time', async t => {
  const server = await startServer(t)
  for (let n = 0; n < 5; ++n) await make(server, `s${n}`)
  const names = []
  for (let after = ''; ;) {
    const { body } = await call(server, 'GET', `/api/v1/streams?limit=2&after=${after}`)
    assert.ok(body.streams.length <= 2)
    names.push(...body.streams.map(stream => stream.name))
    if (body.next === undefined) break
    after = body.next
  }
  const all = (await call(server, 'GET', '/api/v1/streams')).body.streams.map(stream => stream.name)
  assert.deepStrictEqual(names, all)
  assert.strictEqual((await call(server, 'GET', '/api/v1/streams?limit=0')).status, 400)
})

function oneTimeToken (server) {
  return server.stdout().match(/^ {2}(hpt_[0-9a-f]{48})$/m)?.[1]
}

test('with authentication: a token opens it, a reader sees what he may, a revoked one is out', async t => {
  const server = await startServer(t, '--auth')
  const first = await waitUntil(() => oneTimeToken(server), 'the one-time token', SECONDS)
  const token = (await call(server, 'POST', '/api/v1/tokens', { name: 'test' }, first)).body.token
  await make(server, 'orders', 1, token)
  await append(server, 'orders', [{ value: 'x' }], token)
  const page = await openPage(t, server)
  await page.fill('#token', 'hpt_nonsense')
  await page.keyboard.press('Enter')
  await page.waitForSelector('text=The server does not know that token.')
  await shot(page, 'sign-in')
  await page.fill('#token', token)
  await page.keyboard.press('Enter')
  await page.waitForSelector('.status[data-state=live]')
  await page.reload()
  await page.waitForSelector('.status[data-state=live]')
  await page.goto(`http://${server.admin}/#/streams/orders?tail=1`)
  await page.waitForSelector('[data-tail-state=live]')
  await append(server, 'orders', [{ value: 'live' }], token)
  await page.waitForSelector('[data-offset="1"]')
  await page.click('text=Sign out')
  await page.waitForSelector('#token')
  assert.strictEqual(await page.evaluate(() => sessionStorage.getItem('heptane.token')), null)

  assert.strictEqual((await call(server, 'POST', '/api/v1/roles', { name: 'orders', permissions: [
    { module: 'streams', pattern: 'orders', verbs: ['read'] }] }, token)).status, 201)
  assert.strictEqual((await call(server, 'POST', '/api/v1/users', { name: 'rita', password: 'correct horse battery', roles: ['orders'] }, token)).status, 201)
  const hers = (await call(server, 'POST', '/api/v1/tokens', { name: 'r', owner: 'rita' }, token)).body
  await page.fill('#token', hers.token)
  await page.keyboard.press('Enter')
  await page.waitForSelector('[data-offset="1"], [data-tail-state=live]')
  await page.keyboard.press('1')
  await page.waitForSelector('text=may not read admin:metrics')
  await page.goto(`http://${server.admin}/#/streams/orders?offset=0`)
  await page.click('[data-offset="0"] button')
  await page.click('[data-follow]')
  await page.waitForSelector('text=rita may not admin admin:explain')
  assert.strictEqual((await call(server, 'DELETE', `/api/v1/tokens/${hers.id}`, {}, token)).status, 200)
  await page.keyboard.press('2')
  await page.waitForSelector('text=That token is not valid any more.')
})

test('the files: kept for ever by their names, the page never, nobody frames it, no foreign Host', async t => {
  const server = await startServer(t)
  const page = await fetch(`http://${server.admin}/`)
  assert.strictEqual(page.headers.get('cache-control'), 'no-store')
  const policy = page.headers.get('content-security-policy')
  assert.match(policy, /^default-src 'none'; script-src 'self'; style-src 'self';.*frame-ancestors 'none'$/)
  assert.strictEqual(page.headers.get('x-content-type-options'), 'nosniff')
  const files = [...(await page.text()).matchAll(/(?:src|href)="([^"]+)"/g)].map(found => found[1])
  assert.strictEqual(files.length, 3)
  for (const file of files) {
    assert.match(file, /^\/assets\/[\w.-]+$/)
    const asset = await fetch(`http://${server.admin}${file}`)
    assert.strictEqual(asset.status, 200)
    assert.match(asset.headers.get('cache-control'), /immutable/)
  }
  const { host, port } = server.address('admin')
  const status = await new Promise((resolve, reject) => {
    http.get({ host, port, path: '/', headers: { Host: 'evil.example' } }, answer => resolve(answer.resume().statusCode)).on('error', reject)
  })
  assert.strictEqual(status, 421)
})

test('the pages are what the strict compiler takes', { skip: !fs.existsSync(path.join(ROOT, 'console/node_modules/typescript')) }, () => {
  execFileSync('node', ['node_modules/typescript/bin/tsc'], { cwd: path.join(ROOT, 'console'), stdio: 'inherit' })
})
