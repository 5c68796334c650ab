import testkit from './index.js'

export const { Deadline, PowercutLayer, PowercutServer, ROOT, Refused, Server, defaultBinary, freePort, pause, waitUntil } =
  testkit
export default testkit
