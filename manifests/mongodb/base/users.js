// Makes the user that may read the data and nothing else, and the one that may read the server's
// status, for the exporter of its metrics. Run again, it sets their passwords anew.
const fs = require("fs");
const read = (name) => fs.readFileSync(`/run/secrets/mongodb/${name}`, "utf8");
const login = [read("username"), read("password")].map(encodeURIComponent).join(":");
const options = "authSource=admin&directConnection=true&serverSelectionTimeoutMS=60000";
const admin = new Mongo(`mongodb://${login}@mongodb:27017/?${options}`).getDB("admin");
const ALREADY_EXISTS = 51003;
const NOT_IMPLEMENTED = 238;
const make = (name, roles) => {
  const user = read(`${name}-username`);
  const pwd = read(`${name}-password`);
  try {
    admin.createUser({ user, pwd, roles });
    print(`made ${user}`);
  } catch (error) {
    if (error.code !== ALREADY_EXISTS) {
      throw error;
    }
    admin.updateUser(user, { pwd });
    print(`${user} was there; its password is set`);
  }
};
for (const [name, roles] of [
  ["reader", [{ role: "read", db: "mcp_demo" }]],
  ["monitor", [{ role: "clusterMonitor", db: "admin" }, { role: "read", db: "local" }]],
]) {
  try {
    make(name, roles);
  } catch (error) {
    if (error.code !== NOT_IMPLEMENTED) {
      throw error;
    }
    print(`this server has no roles: the ${name} may do more`);
    make(name, []);
  }
}
