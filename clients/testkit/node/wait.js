// Waiting for what can be seen, with a deadline: the one place where a test's process waits by polling.
'use strict'

const fs = require('node:fs')
const net = require('node:net')

const POLL_MS = 5

class Deadline {
  constructor (seconds) {
    this.end = performance.now() + seconds * 1000
  }

  left () {
    return Math.max(0, this.end - performance.now()) / 1000
  }

  over () {
    return this.left() === 0
  }
}

// Lets time pass between two polls.
function pause (seconds) {
  return new Promise(resolve => setTimeout(resolve, seconds * 1000))
}

// The first true value of predicate(), which may be asynchronous; an Error naming `what` when there is none in time.
async function waitUntil (predicate, what, seconds = 20) {
  const deadline = new Deadline(seconds)
  for (;;) {
    const value = await predicate()
    if (value) return value
    if (deadline.over()) throw new Error(`waited ${seconds} s in vain for ${what}`)
    await pause(POLL_MS / 1000)
  }
}

function canListen (port) {
  return new Promise(resolve => {
    const probe = net.createServer()
    probe.once('error', () => resolve(false))
    probe.listen({ host: '127.0.0.1', port, exclusive: true }, () => probe.close(() => resolve(true)))
  })
}

// A port below those that the system hands out by itself. A client that reconnects to a port of that range while the
// server is down can be given it as its own end and be connected to itself.
async function freePort () {
  const range = fs.readFileSync('/proc/sys/net/ipv4/ip_local_port_range', 'ascii')
  const top = Math.max(Math.min(parseInt(range, 10), 32768), 10100)
  for (let attempt = 0; attempt < 1000; ++attempt) {
    const port = 10000 + Math.floor(Math.random() * (top - 10000))
    if (await canListen(port)) return port
  }
  throw new Error('no free port on 127.0.0.1')
}

module.exports = { Deadline, POLL_MS, freePort, pause, waitUntil }
