// Makes the replica set of the members, and the user that may only read. Run again, it changes nothing.
const fs = require("fs");
const read = (name) => fs.readFileSync(`/run/secrets/mongodb/${name}`, "utf8");
const login = [read("username"), read("password")].map(encodeURIComponent).join(":");
const NOT_YET_INITIALIZED = 94;
const ALREADY_EXISTS = 51003;
const hosts = [0, 1, 2].map((number) => `mongodb-replicas-${number}.mongodb-replicas:27017`);
const patience = "authSource=admin&serverSelectionTimeoutMS=120000";

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
const first = connected(`mongodb://${login}@${hosts[0]}/?directConnection=true&${patience}`);
try {
  first.adminCommand({ replSetGetStatus: 1 });
  print("the replica set is there");
} catch (error) {
  if (error.code !== NOT_YET_INITIALIZED) {
    throw error;
  }
  const members = hosts.map((host, _id) => ({ _id, host }));
  first.adminCommand({ replSetInitiate: { _id: "rs0", members } });
  print("made the replica set");
}

// Waits until the members have elected a primary.
const admin = connected(`mongodb://${login}@${hosts.join(",")}/?replicaSet=rs0&${patience}`);
const user = read("reader-username");
const pwd = read("reader-password");
try {
  admin.createUser({ user, pwd, roles: [{ role: "read", db: "mcp_demo" }] });
  print(`made ${user}`);
} catch (error) {
  if (error.code !== ALREADY_EXISTS) {
    throw error;
  }
  admin.updateUser(user, { pwd });
  print(`${user} was there; its password is set`);
}
