// An edge node by Eclipse's sparkplug-client: it is born when it is connected and when it is told so. Arguments: port, node.
// Lines of JSON on standard input: {"data": VALUE}, {"device": VALUE}, {"skip": true} counts a message that is never sent, {"stop": true};
// on standard output: what happened.
"use strict";

const readline = require("readline");
const path = require("path");

const modules = path.join(__dirname, "..", "node_modules");
const sparkplug = require(path.join(modules, "sparkplug-client"));

const [port, node] = process.argv.slice(2);
const say = (what) => process.stdout.write(JSON.stringify(what) + "\n");

const edge = sparkplug.newClient({
  serverUrl: `mqtt://127.0.0.1:${port}`,
  username: "",
  password: "",
  groupId: "plant",
  edgeNode: node,
  clientId: node,
  keepalive: 30,
  mqttOptions: { reconnectPeriod: 200 },
});

function beBorn(why) {
  edge.publishNodeBirth({
    timestamp: 1000,
    metrics: [
      { name: "Node Control/Rebirth", type: "Boolean", value: false },
      { name: "Temp", alias: 1, type: "Double", value: 20.5 },
      { name: "Level", alias: 2, type: "Int32", value: -3 },
    ],
  });
  edge.publishDeviceBirth("pump", { timestamp: 1000, metrics: [{ name: "Speed", alias: 3, type: "UInt64", value: 7 }] });
  say({ born: why });
}

edge.on("birth", () => beBorn("connected"));
edge.on("ncmd", (payload) => {
  const rebirth = payload.metrics.some((one) => one.name === "Node Control/Rebirth" && one.value === true);
  if (rebirth) beBorn("told");
});
edge.on("error", (error) => say({ failure: String(error) }));

readline.createInterface({ input: process.stdin }).on("line", (line) => {
  const wish = JSON.parse(line);
  if (wish.data !== undefined)
    edge.publishNodeData({ timestamp: 2000, metrics: [{ alias: 1, type: "Double", value: wish.data }] });
  if (wish.device !== undefined)
    edge.publishDeviceData("pump", { timestamp: 2000, metrics: [{ alias: 3, type: "UInt64", value: wish.device }] });
  if (wish.skip) edge.incrementSeqNum();
  if (wish.stop) edge.stop();
});
