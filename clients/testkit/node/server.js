// One Heptane process on loopback: free ports, a data directory of its own, ended by its id.
//
// Ports stay the same over restarts, so that clients find the server again. What it prints is kept over restarts too:
// stdout(), stderr(). A start that is refused throws Refused with the exit code and the reason. At the end its two newest
// snapshots are compared: replay of the log must lead from the older to the newer.
'use strict'

const { execFile, spawn } = require('node:child_process')
const fs = require('node:fs')
const os = require('node:os')
const path = require('node:path')
const { Deadline, POLL_MS, freePort, pause } = require('./wait')

const ROOT = path.resolve(__dirname, '..', '..', '..')
const START_SECONDS = 60
const STOP_SECONDS = 60
const NOTHING_COMPARED = 3 // exit code of `log compare`

const all = new Set()
let watching = false

function closeAll () {
  for (const server of all) server._closeNow()
}

// Whatever ends this process ends its servers first; a signal then does what it would have done.
function watchExit () {
  if (watching) return
  watching = true
  process.on('exit', closeAll)
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP']) {
    process.once(signal, () => {
      closeAll()
      process.kill(process.pid, signal)
    })
  }
}

function defaultBinary () {
  return process.env.HEPTANE_BINARY || path.join(ROOT, 'build', 'heptane')
}

class Refused extends Error {
  constructor (code, stderr) {
    super(`the start ended with exit code ${code}: ${stderr.trim()}`)
    this.name = 'Refused'
    this.code = code
    this.stderr = stderr
  }
}

class Server {
  // data: kept at the end if given, else a temporary directory. listen: {name: 'HOST:PORT'}; other listeners take free
  // ports. prefix: a command that runs the server, such as strace with its options.
  constructor ({ binary, data, args = [], env, listen = {}, prefix = [] } = {}) {
    this.binary = binary || defaultBinary()
    this.work = fs.mkdtempSync(path.join(os.tmpdir(), 'heptane-test-'))
    this.data = data || path.join(this.work, 'data')
    this.args = args.map(String)
    this.env = { ...(env || process.env) }
    this.listen = { ...listen }
    this.prefix = prefix.map(String)
    this.endpoints = {}
    this.exitCode = null
    this._wasReady = false // the last start; what was damaged since has not been seen by one
    this._process = null
    this._endpointsFile = path.join(this.work, 'endpoints.json')
    all.add(this)
    watchExit()
  }

  // A Server above the power-cut layer; the options of both.
  static withPowercut (options) {
    const { PowercutServer } = require('./powercut')
    return new PowercutServer(options)
  }

  command () {
    const listen = Object.entries(this.listen).flatMap(([name, address]) => ['--listen', `${name}=${address}`])
    return [...this.prefix, this.binary, 'serve', '--data', this.data, '--ephemeral-ports', '--endpoints-file',
      this._endpointsFile, ...listen, ...this.args]
  }

  // Starts and waits until it is ready.
  async start ({ seconds = START_SECONDS } = {}) {
    this.launch()
    return this.waitReady({ seconds })
  }

  // Starts and does not wait.
  launch () {
    if (this.running()) throw new Error('it is running')
    fs.rmSync(this._endpointsFile, { force: true })
    this.exitCode = null
    this._wasReady = false
    const streams = ['stdout', 'stderr'].map(name => fs.openSync(path.join(this.work, name), 'a'))
    const [program, ...rest] = this.command()
    const child = spawn(program, rest, { stdio: ['ignore', ...streams], env: this.env })
    streams.forEach(fs.closeSync)
    child.unref() // a forgotten server does not keep this process alive; its end ends the server
    this._process = child
    this._ended = new Promise(resolve => {
      child.once('error', resolve)
      child.once('exit', (code, signal) => {
        this.exitCode = signal ? -os.constants.signals[signal] : code
        resolve(null)
      })
    })
    return this
  }

  async waitReady ({ seconds = START_SECONDS } = {}) {
    const deadline = new Deadline(seconds)
    let ended = false
    const end = this._ended.then(error => {
      ended = true
      if (error) throw error
    })
    end.catch(() => {}) // thrown below, where somebody waits
    while (!fs.existsSync(this._endpointsFile)) {
      if (ended) {
        await end
        throw new Refused(this.exitCode, this.stderr())
      }
      if (deadline.over()) {
        await this.kill()
        throw new Error(`not ready within ${seconds} s; stderr: ${this.stderr()}`)
      }
      await Promise.race([pause(POLL_MS / 1000), end.catch(() => {})])
    }
    this.endpoints = JSON.parse(fs.readFileSync(this._endpointsFile, 'utf8'))
    Object.assign(this.listen, this.endpoints)
    this._wasReady = true
    return this
  }

  // Before the first start: a port that clients can go on trying while nobody listens.
  async useStablePort (name = 'kafka') {
    this.listen[name] = `127.0.0.1:${await freePort()}`
    return this
  }

  address (name = 'kafka') {
    const endpoint = this.endpoints[name]
    if (!endpoint) throw new Error(`there is no listener ${name}: ${Object.keys(this.endpoints).join(', ')}`)
    const colon = endpoint.lastIndexOf(':')
    return { host: endpoint.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(endpoint.slice(colon + 1)) }
  }

  // HOST:PORT.
  get kafka () { return this.endpoints.kafka }
  get admin () { return this.endpoints.admin }

  // Of the server itself, also when `prefix` runs it.
  get pid () {
    if (this.prefix.length === 0) return this._process.pid
    const id = this._process.pid
    return Number(fs.readFileSync(`/proc/${id}/task/${id}/children`, 'ascii').split(' ')[0])
  }

  running () {
    const child = this._process
    return child !== null && child.pid !== undefined && child.exitCode === null && child.signalCode === null
  }

  // Waits for its end; the exit code, negative for a signal.
  async wait ({ seconds = STOP_SECONDS } = {}) {
    let timer
    const late = new Promise(resolve => { timer = setTimeout(resolve, seconds * 1000, 'late') })
    const first = await Promise.race([this._ended, late])
    clearTimeout(timer)
    if (first === 'late') throw new Error(`it did not end within ${seconds} s; stderr: ${this.stderr()}`)
    return this.exitCode
  }

  // SIGKILL: the process is gone, what it wrote stays in the page cache.
  kill () { return this._signal('SIGKILL') }

  // SIGTERM; the exit code.
  stop () { return this._signal('SIGTERM') }

  async restart () {
    const code = await this.stop()
    if (code !== 0) throw new Error(`a clean stop ended with ${code}: ${this.stderr()}`)
    return this.start()
  }

  async crashRestart () {
    await this.kill()
    return this.start()
  }

  // Another command of the same binary, for example run('log', 'verify', '--data', server.data).
  run (...args) {
    return new Promise(resolve => {
      const options = { env: this._commandEnvironment(), timeout: 120_000, maxBuffer: 64 << 20 }
      execFile(this.binary, args.map(String), options, (error, stdout, stderr) =>
        resolve({ code: error ? error.code : 0, stdout, stderr }))
    })
  }

  logVerify () { return this.run('log', 'verify', '--data', this.data) }

  stdout () { return this._text('stdout') }
  stderr () { return this._text('stderr') }

  // File names, the oldest first.
  snapshots () {
    try {
      return fs.readdirSync(path.join(this.data, 'shard-0', 'snapshots')).filter(name => name.endsWith('.snap')).sort()
    } catch {
      return []
    }
  }

  // Ends it if it runs, compares its two newest snapshots, and removes the temporary directory. compare false: the test
  // damaged the data on purpose.
  async close ({ compare = true } = {}) {
    if (this.running()) await this.kill()
    try {
      if (compare && this._wasReady) await this._compareSnapshots()
    } finally {
      this._wasReady = false // once
      this._closeNow()
    }
  }

  async _compareSnapshots () {
    if (this.snapshots().length < 2) return
    const done = await this.run('log', 'compare', '--data', this.data)
    if (done.code !== 0 && done.code !== NOTHING_COMPARED) {
      throw new Error(`log compare ended with ${done.code}: ${done.stdout}${done.stderr}`)
    }
  }

  _commandEnvironment () { return this.env }

  async _signal (signal) {
    if (this.running()) {
      try {
        process.kill(this.pid, signal)
      } catch (error) {
        if (error.code !== 'ESRCH' && error.code !== 'ENOENT') throw error // it ended by itself just now
      }
      try {
        await this.wait()
      } catch (late) {
        this._process.kill('SIGKILL')
        throw late
      }
    }
    return this.exitCode
  }

  _text (stream) {
    try {
      return fs.readFileSync(path.join(this.work, stream), 'utf8')
    } catch {
      return ''
    }
  }

  _closeNow () {
    if (this.running()) {
      try {
        process.kill(this.pid, 'SIGKILL')
      } catch {
        this._process.kill('SIGKILL')
      }
    }
    fs.rmSync(this.work, { recursive: true, force: true, maxRetries: 3 })
    all.delete(this)
  }
}

if (Symbol.asyncDispose) Server.prototype[Symbol.asyncDispose] = function () { return this.close() }

module.exports = { ROOT, Refused, Server, defaultBinary }
