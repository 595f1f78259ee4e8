// Makes the user that may read the data and nothing else, and the one that may read the server's
// status, for the exporter of its metrics. Run again, it sets their passwords anew.
const fs = require("fs");
const read = (name) => fs.readFileSync(`/run/secrets/mongodb/${name}`, "utf8");
const login = [read("username"), read("password")].map(encodeURIComponent).join(":");
const options = "authSource=admin&directConnection=true&serverSelectionTimeoutMS=60000";
// mongosh gives up at once where nobody listens yet or the name is not known yet, whatever
// serverSelectionTimeoutMS says; the pod would be restarted, after ever longer pauses.
const connected = (uri) => {
  for (const until = Date.now() + 600000; ; sleep(500)) {
    try {
      const admin = new Mongo(uri).getDB("admin");
      return admin;
    } catch (error) {
      if (error.name !== "MongoNetworkError" || Date.now() > until) {
        throw error;
      }
    }
  }
};
const admin = connected(`mongodb://${login}@mongodb:27017/?${options}`);
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
