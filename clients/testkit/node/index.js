'use strict'

const { Server, Refused, ROOT, defaultBinary } = require('./server')
const { PowercutServer, PowercutLayer } = require('./powercut')
const { Deadline, freePort, pause, waitUntil } = require('./wait')

module.exports = { Deadline, PowercutLayer, PowercutServer, ROOT, Refused, Server, defaultBinary, freePort, pause, waitUntil }
