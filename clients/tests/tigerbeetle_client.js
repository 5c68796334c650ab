// What test_tigerbeetle.py runs with tigerbeetle-node: node tigerbeetle_client.js HOST:PORT SCRIPT [JSON]. Asserts; prints JSON in
// its last line.
'use strict'

const assert = require('assert')
const path = require('path')
const tb = require(path.join(__dirname, '..', 'node_modules', 'tigerbeetle-node'))

const { AccountFlags, TransferFlags, CreateAccountStatus, CreateTransferStatus, AccountFilterFlags, QueryFilterFlags } = tb
const BATCH_MAX = 8189

function connect () {
  return tb.createClient({ cluster_id: 0n, replica_addresses: [process.argv[2]] })
}

function account (id, fields = {}) {
  return {
    id, debits_pending: 0n, debits_posted: 0n, credits_pending: 0n, credits_posted: 0n, user_data_128: 0n,
    user_data_64: 0n, user_data_32: 0, reserved: 0, ledger: 1, code: 10, flags: 0, timestamp: 0n, ...fields
  }
}

function transfer (id, from, to, amount, fields = {}) {
  return {
    id, debit_account_id: from, credit_account_id: to, amount, pending_id: 0n, user_data_128: 0n, user_data_64: 0n,
    user_data_32: 0, timeout: 0, ledger: 1, code: 20, flags: 0, timestamp: 0n, ...fields
  }
}

function resolving (id, pendingId, amount, flag) {
  return transfer(id, 0n, 0n, amount, { pending_id: pendingId, ledger: 0, code: 0, flags: flag })
}

const names = (statuses, results) => results.map(r => statuses[r.status])
const balances = a => [a.debits_pending, a.debits_posted, a.credits_pending, a.credits_posted].map(Number)

async function accounts (client) {
  const made = await client.createAccounts([
    account(1n, { flags: AccountFlags.history, user_data_128: 7n }), account(2n),
    account(3n, { flags: AccountFlags.debits_must_not_exceed_credits }), account(4n, { code: 11 })])
  assert.deepStrictEqual(names(CreateAccountStatus, made), Array(4).fill('created'))
  for (let i = 1; i < made.length; i++) assert.strictEqual(made[i].timestamp, made[i - 1].timestamp + 1n)
  const again = await client.createAccounts([account(1n, { flags: AccountFlags.history, user_data_128: 7n }),
    account(2n, { ledger: 2 }), account(0n), account(2n ** 128n - 1n), account(5n, { ledger: 0 })])
  assert.deepStrictEqual(names(CreateAccountStatus, again), ['exists', 'exists_with_different_ledger',
    'id_must_not_be_zero', 'id_must_not_be_int_max', 'ledger_must_not_be_zero'])
  assert.strictEqual(again[0].timestamp, made[0].timestamp)
  const found = await client.lookupAccounts([4n, 99n, 1n])
  assert.deepStrictEqual(found.map(a => [a.id, a.code, a.user_data_128]), [[4n, 11, 0n], [1n, 10, 7n]])
  assert.strictEqual(found[1].timestamp, made[0].timestamp)
}

async function twoPhases (client) {
  const status = async batch => names(CreateTransferStatus, await client.createTransfers(batch))
  assert.deepStrictEqual(await status([
    transfer(10n, 1n, 2n, 100n),
    transfer(11n, 1n, 2n, 50n, { flags: TransferFlags.pending, user_data_64: 5n }),
    transfer(12n, 1n, 2n, 70n, { flags: TransferFlags.pending, timeout: 3600 }),
    transfer(13n, 3n, 1n, 1n)]), ['created', 'created', 'created', 'exceeds_credits'])
  assert.deepStrictEqual(await status([
    resolving(20n, 11n, 30n, TransferFlags.post_pending_transfer),
    resolving(21n, 12n, 0n, TransferFlags.void_pending_transfer),
    resolving(22n, 11n, tb.amount_max, TransferFlags.post_pending_transfer),
    transfer(13n, 3n, 1n, 1n)]), ['created', 'created', 'pending_transfer_already_posted', 'id_already_failed'])
  const [one, two] = await client.lookupAccounts([1n, 2n])
  assert.deepStrictEqual([balances(one), balances(two)], [[0, 130, 0, 0], [0, 0, 0, 130]])
  const [posted] = await client.lookupTransfers([20n])
  assert.deepStrictEqual([posted.amount, posted.pending_id, posted.user_data_64, posted.debit_account_id], [30n, 11n, 5n, 1n])
}

async function chains (client) {
  const linked = TransferFlags.linked
  assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([
    transfer(30n, 1n, 2n, 1n, { flags: linked }), transfer(31n, 2n, 1n, 1n),
    transfer(32n, 1n, 2n, 1n, { flags: linked }), transfer(33n, 1n, 99n, 1n, { flags: linked }), transfer(34n, 1n, 2n, 1n),
    transfer(35n, 1n, 2n, 1n, { flags: linked })])),
  ['created', 'created', 'linked_event_failed', 'credit_account_not_found', 'linked_event_failed', 'linked_event_chain_open'])
  assert.deepStrictEqual((await client.lookupTransfers([30n, 31n, 32n, 34n])).map(t => t.id), [30n, 31n])
}

async function balancing (client) {
  assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([
    transfer(40n, 2n, 1n, 1_000_000n, { flags: TransferFlags.balancing_debit }),
    transfer(41n, 1n, 4n, 0n, { flags: TransferFlags.pending | TransferFlags.closing_credit }),
    transfer(42n, 1n, 4n, 1n),
    resolving(43n, 41n, 0n, TransferFlags.void_pending_transfer),
    transfer(44n, 1n, 4n, 1n)])), ['created', 'created', 'credit_account_already_closed', 'created', 'created'])
  const [moved] = await client.lookupTransfers([40n])
  assert.strictEqual(moved.amount, 130n)
}

async function queries (client) {
  const filter = {
    account_id: 1n, user_data_128: 0n, user_data_64: 0n, user_data_32: 0, code: 0, timestamp_min: 0n, timestamp_max: 0n,
    limit: 100, flags: AccountFilterFlags.debits | AccountFilterFlags.credits
  }
  const moved = await client.getAccountTransfers(filter)
  assert.deepStrictEqual(moved.map(t => t.id), [10n, 11n, 12n, 20n, 21n, 30n, 31n, 40n, 41n, 43n, 44n])
  const history = await client.getAccountBalances({ ...filter, flags: filter.flags | AccountFilterFlags.reversed, limit: 3 })
  assert.deepStrictEqual(history.map(b => b.timestamp), moved.slice(-3).reverse().map(t => t.timestamp))
  const [now] = await client.lookupAccounts([1n])
  assert.strictEqual(history[0].debits_posted, now.debits_posted)
  assert.deepStrictEqual(await client.getAccountBalances({ ...filter, account_id: 2n }), []) // keeps no history
  const later = await client.getAccountTransfers({ ...filter, timestamp_min: moved[5].timestamp, flags: AccountFilterFlags.debits })
  assert.deepStrictEqual(later.map(t => t.id), [30n, 41n, 43n, 44n])
  const query = { user_data_128: 0n, user_data_64: 0n, user_data_32: 0, ledger: 0, code: 0, timestamp_min: 0n, timestamp_max: 0n, limit: 10, flags: 0 }
  assert.deepStrictEqual((await client.queryAccounts({ ...query, code: 11 })).map(a => a.id), [4n])
  assert.deepStrictEqual((await client.queryAccounts({ ...query, flags: QueryFilterFlags.reversed, limit: 2 })).map(a => a.id), [4n, 3n])
  assert.deepStrictEqual((await client.queryTransfers({ ...query, user_data_64: 5n })).map(t => t.id), [11n, 20n])
  assert.deepStrictEqual(await client.queryTransfers({ ...query, limit: 0 }), [])
}

async function imported (client) {
  const flags = AccountFlags.imported
  const base = 1000n
  assert.deepStrictEqual(names(CreateAccountStatus, await client.createAccounts([
    account(1n, { flags, timestamp: base }), account(2n, { flags, timestamp: base + 1n }), account(3n, { flags, timestamp: base }),
    account(4n)])), ['created', 'created', 'imported_event_timestamp_must_not_regress', 'imported_event_expected'])
  const results = await client.createTransfers([
    transfer(1n, 1n, 2n, 5n, { flags: TransferFlags.imported, timestamp: base + 10n }),
    transfer(2n, 1n, 2n, 5n, { flags: TransferFlags.imported, timestamp: base + 1n })])
  assert.deepStrictEqual(names(CreateTransferStatus, results), ['created', 'imported_event_timestamp_must_not_regress'])
  assert.strictEqual(results[0].timestamp, base + 10n)
}

async function everything (client) {
  await accounts(client)
  await twoPhases(client)
  await chains(client)
  await balancing(client)
  await queries(client)
  return {}
}

// Full batches, many at once, and empty ones.
async function batches (client, { first, count }) {
  await client.createAccounts([account(1n), account(2n)])
  const batch = i => Array.from({ length: BATCH_MAX }, (_, n) => transfer(BigInt(first + i * BATCH_MAX + n), 1n, 2n, 1n))
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => client.createTransfers(batch(i))))
  for (const answer of answers) {
    assert.strictEqual(answer.length, BATCH_MAX)
    for (const result of answer) assert.strictEqual(result.status, CreateTransferStatus.created)
  }
  assert.deepStrictEqual(await client.createTransfers([]), [])
  const [one] = await client.lookupAccounts([1n])
  const ids = Array.from({ length: BATCH_MAX }, (_, n) => BigInt(first + n))
  assert.strictEqual((await client.lookupTransfers(ids)).length, BATCH_MAX)
  return { debits: Number(one.debits_posted) }
}

// Small requests at once: the client puts them into one message as batches of their own.
async function concurrent (client, { first, count }) {
  await client.createAccounts([account(1n), account(2n)])
  const one = i => client.createTransfers([transfer(BigInt(first + i), 1n, 2n, 1n)])
  const answers = await Promise.all(Array.from({ length: count }, (_, i) => one(i)))
  for (const answer of answers) assert.deepStrictEqual(names(CreateTransferStatus, answer), ['created'])
  return {}
}

// Until it is ended: transfers of 1, one after another; prints the number of each that was acknowledged.
async function pour (client, { first }) {
  await client.createAccounts([account(1n), account(2n)])
  for (let id = first; ; id++) {
    const [result] = await client.createTransfers([transfer(BigInt(id), 1n, 2n, 1n)])
    const status = CreateTransferStatus[result.status]
    assert.ok(status === 'created' || status === 'exists', status)
    process.stdout.write(`${id}\n`)
  }
}

// What is there, as the checks of the crash tests want it.
async function count (client, { first, last }) {
  const [one, two] = await client.lookupAccounts([1n, 2n])
  let found = 0
  for (let at = first; at <= last; at += BATCH_MAX) {
    const ids = Array.from({ length: Math.min(BATCH_MAX, last - at + 1) }, (_, n) => BigInt(at + n))
    found += (await client.lookupTransfers(ids)).length
  }
  return { found, debits: Number(one.debits_posted), credits: Number(two.credits_posted) }
}

async function pending (client, { timeout }) {
  await client.createAccounts([account(1n), account(2n)])
  const made = await client.createTransfers([transfer(1n, 1n, 2n, 10n, { flags: TransferFlags.pending, timeout }),
    transfer(2n, 1n, 2n, 5n, { flags: TransferFlags.pending })])
  assert.deepStrictEqual(names(CreateTransferStatus, made), ['created', 'created'])
  return {}
}

async function expired (client) {
  for (;;) { // the balance is given back by a timer of the server
    const [one] = await client.lookupAccounts([1n])
    if (Number(one.debits_pending) === 5) break
  }
  const late = await client.createTransfers([resolving(3n, 1n, tb.amount_max, TransferFlags.post_pending_transfer),
    resolving(4n, 2n, tb.amount_max, TransferFlags.post_pending_transfer)])
  assert.deepStrictEqual(names(CreateTransferStatus, late), ['pending_transfer_expired', 'created'])
  return {}
}

// A client that is there before and after the server was killed: its session and numbers go on.
async function over (client) {
  await client.createAccounts([account(1n), account(2n)])
  await client.lookupAccounts([1n])
  process.stdout.write('ready\n')
  await new Promise(resolve => process.stdin.once('data', resolve))
  for (let i = 0; i < 5; i++) {
    assert.strictEqual((await client.lookupAccounts([1n, 2n])).length, 2)
    assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([transfer(BigInt(1 + i), 1n, 2n, 1n)])), ['created'])
  }
  process.stdin.destroy()
  return {}
}

// More clients than the server keeps sessions for: the first one is told so.
async function crowd (client, { clients }) {
  await client.createAccounts([account(1n)])
  for (let i = 0; i < clients; i++) {
    const other = connect()
    await other.lookupAccounts([1n])
    other.destroy()
  }
  await assert.rejects(client.lookupAccounts([1n]), { code: 'ERR_CLIENT_EVICTED' })
  console.log('{}')
  process.exit(0) // this release of the client panics in destroy() once it was evicted
}

// Ids that belong to machines are nobody's out here.
async function reserved (client) {
  const id = (((1n << 48n) - 1n) << 80n) | (0xFF20n << 64n) | 7n
  await client.createAccounts([account(1n), account(2n)])
  assert.deepStrictEqual(names(CreateAccountStatus, await client.createAccounts([account(id)])), ['exists_with_different_flags'])
  assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([
    transfer(id, 1n, 2n, 5n), transfer(7n, 1n, 2n, 5n), transfer(id, 1n, 2n, 5n)])),
  ['id_already_failed', 'created', 'id_already_failed'])
  assert.deepStrictEqual((await client.lookupTransfers([id, 7n])).map(t => t.id), [7n])
}

// What is pending, beside nothing else.
async function settle (client, { post, void: voided }) {
  assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([
    resolving(30n, BigInt(post), tb.amount_max, TransferFlags.post_pending_transfer),
    resolving(31n, BigInt(voided), 0n, TransferFlags.void_pending_transfer)])), ['created', 'created'])
}

// An account of a machine that has sealed it: seen, and by no means touched.
async function owned (client, { plain, owned, ledger }) {
  const [mine, theirs] = [BigInt(plain), BigInt(owned)]
  const [before] = await client.lookupAccounts([theirs])
  assert.strictEqual(before.reserved, 0)
  assert.deepStrictEqual(names(CreateTransferStatus, await client.createTransfers([
    transfer(20n, mine, theirs, 5n, { ledger }), transfer(21n, theirs, mine, 5n, { ledger }),
    transfer(22n, theirs, mine, 5n, { ledger, flags: TransferFlags.pending })])),
  ['credit_account_not_found', 'debit_account_not_found', 'debit_account_not_found'])
  assert.deepStrictEqual(await client.lookupAccounts([theirs]), [before])
}

// Until it is ended: requests with everything in flight that a ledger can have: pending transfers with and without time-outs,
// posts, voids, chains, balancing. Prints each request when it is sent, and again with its results when it is acknowledged.
const MIX_ACCOUNTS = 6

function dice (seed) { // the same numbers for the same seed
  let state = BigInt(seed) * 2862933555777941757n + 3037000493n
  return sides => {
    state = (state * 6364136223846793005n + 1442695040888963407n) & (2n ** 64n - 1n)
    return Number((state >> 33n) % BigInt(sides))
  }
}

function mixed (roll, id, pendings) {
  const from = 1 + roll(MIX_ACCOUNTS)
  const to = 1 + (from + roll(MIX_ACCOUNTS - 1)) % MIX_ACCOUNTS
  const amount = BigInt(1 + roll(50))
  const kind = roll(20)
  if (kind < 7 && pendings.length > 0) {
    const pending = pendings[Math.max(0, pendings.length - 1 - roll(8))]
    return kind < 3 ? resolving(id, pending, 0n, TransferFlags.void_pending_transfer)
      : resolving(id, pending, kind < 5 ? tb.amount_max : amount, TransferFlags.post_pending_transfer)
  }
  if (kind < 13) {
    pendings.push(id)
    return transfer(id, BigInt(from), BigInt(to), amount, { flags: TransferFlags.pending, timeout: roll(3) })
  }
  if (kind === 13) return transfer(id, BigInt(from), BigInt(to), amount, { flags: TransferFlags.balancing_debit })
  if (kind === 14) return transfer(id, BigInt(from), 99n, amount)
  return transfer(id, BigInt(from), BigInt(to), amount)
}

const said = event => ({ ...event, amount: event.amount === tb.amount_max ? 'max' : event.amount })
const line = (value, written) => process.stdout.write(JSON.stringify(value, (_, v) => typeof v === 'bigint' ? v.toString() : v) + '\n', written)

async function mix (client, { seed }) {
  const roll = dice(seed)
  await client.createAccounts(Array.from({ length: MIX_ACCOUNTS }, (_, i) => account(BigInt(i + 1),
    { flags: i === 2 ? AccountFlags.debits_must_not_exceed_credits : i % 2 ? AccountFlags.history : 0 })))
  const pendings = []
  for (let id = 1n; ;) {
    const events = Array.from({ length: 1 + roll(6) }, () => mixed(roll, id++, pendings))
    for (const event of events.slice(0, -1)) if (roll(3) === 0) event.flags |= TransferFlags.linked
    line({ sent: events.map(said) })
    const results = await client.createTransfers(events)
    line({ acknowledged: results.map(r => [CreateTransferStatus[r.status], r.timestamp]) })
  }
}

// All that is there.
async function dump (client) {
  const any = { user_data_128: 0n, user_data_64: 0n, user_data_32: 0, ledger: 0, code: 0, timestamp_max: 0n, limit: BATCH_MAX, flags: 0 }
  const transfers = []
  for (let page, from = 0n; page === undefined || page.length === BATCH_MAX;) {
    page = await client.queryTransfers({ ...any, timestamp_min: from })
    transfers.push(...page)
    if (page.length > 0) from = page[page.length - 1].timestamp + 1n
  }
  const accounts = await client.queryAccounts({ ...any, timestamp_min: 0n })
  await new Promise(resolve => line({ transfers: transfers.map(said), accounts }, resolve)) // more than a pipe takes at once
  client.destroy()
  process.exit(0)
}

// Events once more: what comes of each now.
async function again (client, { events }) {
  const event = e => transfer(BigInt(e.id), BigInt(e.debit_account_id), BigInt(e.credit_account_id),
    e.amount === 'max' ? tb.amount_max : BigInt(e.amount),
    { pending_id: BigInt(e.pending_id), timeout: e.timeout, ledger: e.ledger, code: e.code, flags: e.flags })
  const results = await client.createTransfers(events.map(event))
  return { results: results.map(r => [CreateTransferStatus[r.status], r.timestamp.toString()]) }
}

const scripts = { everything, imported, batches, concurrent, pour, count, pending, expired, over, crowd, reserved, owned, settle, mix, dump, again }

async function main () {
  const client = connect()
  const result = await scripts[process.argv[3]](client, JSON.parse(process.argv[4] || '{}'))
  client.destroy()
  console.log(JSON.stringify(result || {}))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
