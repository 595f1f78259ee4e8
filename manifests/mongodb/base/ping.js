// A probe that logs in, by the pod's own address: while the image makes its first user, a server
// without one listens on loopback alone, and would answer a ping.
const fs = require("fs");
const read = (name) => encodeURIComponent(fs.readFileSync(`/run/secrets/mongodb/${name}`, "utf8"));
const login = `${read("username")}:${read("password")}`;
const options = "authSource=admin&directConnection=true&serverSelectionTimeoutMS=3000";
const server = new Mongo(`mongodb://${login}@${process.env.POD_IP}:27017/?${options}`);
server.getDB("admin").runCommand({ ping: 1 });
