// What test_ledger_views.py runs with tigerbeetle-node: node ledger_views_client.js HOST:PORT. Transfers of every kind; prints
// what the ledger says of them, as JSON with large numbers as text.
'use strict'

const assert = require('assert')
const path = require('path')
const tb = require(path.join(__dirname, '..', 'node_modules', 'tigerbeetle-node'))

const { AccountFlags, TransferFlags, CreateTransferStatus } = tb
const IDS = Array.from({ length: 30 }, (_, i) => BigInt(i + 1))

const account = (id, flags = 0) => ({
  id, debits_pending: 0n, debits_posted: 0n, credits_pending: 0n, credits_posted: 0n, user_data_128: 2n ** 100n,
  user_data_64: 2n ** 60n, user_data_32: 3, reserved: 0, ledger: 1, code: 10, flags, timestamp: 0n
})
const transfer = (id, from, to, amount, fields = {}) => ({
  id, debit_account_id: from, credit_account_id: to, amount, pending_id: 0n, user_data_128: 0n, user_data_64: 0n,
  user_data_32: 0, timeout: 0, ledger: 1, code: 20, flags: 0, timestamp: 0n, ...fields
})
const resolving = (id, pendingId, amount, flags) =>
  transfer(id, 0n, 0n, amount, { pending_id: pendingId, ledger: 0, code: 0, flags })

async function main () {
  const client = tb.createClient({ cluster_id: 0n, replica_addresses: [process.argv[2]] })
  await client.createAccounts([account(1n), account(2n, AccountFlags.history), account(3n), account(2n ** 127n)])
  const results = await client.createTransfers([
    transfer(1n, 1n, 2n, 2n ** 70n, { user_data_128: 2n ** 99n }),
    transfer(2n, 1n, 99n, 1n), // no such account
    transfer(3n, 1n, 2n, 50n, { flags: TransferFlags.pending, user_data_64: 2n ** 61n, user_data_32: 5, timeout: 3600 }),
    resolving(4n, 3n, 20n, TransferFlags.post_pending_transfer),
    transfer(5n, 2n, 3n, 7n, { flags: TransferFlags.linked }),
    transfer(6n, 2n, 98n, 7n), // takes the chain with it
    transfer(7n, 2n, 2n ** 127n, 2n ** 127n, { flags: TransferFlags.balancing_debit }),
    transfer(8n, 1n, 3n, 0n, { flags: TransferFlags.pending | TransferFlags.closing_credit }),
    transfer(9n, 1n, 3n, 1n), // closed
    resolving(10n, 8n, 0n, TransferFlags.void_pending_transfer)
  ])
  const created = results.filter(result => result.status === CreateTransferStatus.created)
  assert.strictEqual(created.length, 6)
  const known = await client.lookupTransfers(IDS)
  client.destroy()
  const text = known.map(({ flags, ...fields }) => ({
    ...fields,
    flags: Object.keys(TransferFlags).filter(name => (flags & TransferFlags[name]) !== 0 && isNaN(name))
  }))
  console.log(JSON.stringify(text, (_, value) => typeof value === 'bigint' ? value.toString() : value))
}

main().catch(error => {
  console.error(error)
  process.exit(1)
})
